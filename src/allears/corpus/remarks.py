"""Differences between a corpus's tables and its recordings that cost no clip: a sentence for each kind."""

from __future__ import annotations

from dataclasses import dataclass, field

_NOTICED_S = 1e-3  # times in tables are rounded to milliseconds


@dataclass(slots=True)
class _Most:
    """Number of cases, their seconds in all, and the largest of them."""

    count: int = 0
    total_s: float = 0.0
    most_s: float = 0.0
    at: str = ""

    def add(self, seconds: float, at: str) -> None:
        """Add a case."""
        self.count += 1
        self.total_s += seconds
        if seconds > self.most_s:
            self.most_s, self.at = seconds, at


@dataclass(slots=True)
class Remarks:
    """Differences found while the manifest of a corpus was built.

    `cut`: segments that end past the end of their file, and are cut there; `shorter`: whole files that are shorter than
    their table says; `beginnings`: durations without a start in longer files; `mixed`: recordings of several channels
    and speakers; `unclear`: as in `corpus.channels`.
    """

    cut: _Most = field(default_factory=_Most)
    shorter: _Most = field(default_factory=_Most)
    beginnings: _Most = field(default_factory=_Most)
    mixed: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)

    def note_past(self, past_s: float, at: str, *, whole: bool, slack_s: float) -> None:
        """Note what lies past the end of a file; of the duration of a whole one more than `slack_s`."""
        if past_s > (slack_s if whole else _NOTICED_S):
            (self.shorter if whole else self.cut).add(past_s, at)

    def sentences(self) -> list[str]:
        """Return a sentence for each kind of difference that was found."""
        cut, shorter, beginnings, found = self.cut, self.shorter, self.beginnings, []
        if cut.count:
            found.append(
                f"{cut.count} segment(s) end after their recording, and are cut there: {cut.total_s:.2f} s in all, at "
                f"most {cut.most_s:.3f} s ({cut.at})"
            )
        if shorter.count:
            found.append(
                f"{shorter.count} recording(s) are shorter than the corpus says: by {shorter.total_s:.2f} s in all, at "
                f"most {shorter.most_s:.2f} s ({shorter.at}); they are used as they are, so check that these files are "
                "complete"
            )
        if beginnings.count:
            found.append(
                f"{beginnings.count} line(s) give a duration, no offset, and name a longer recording: its beginning of "
                f"that duration is used, {beginnings.total_s:.2f} s in all are not (at most {beginnings.most_s:.2f} s, "
                f"{beginnings.at})"
            )
        if self.mixed:
            found.append(
                f"{len(self.mixed)} recording(s) have several channels, and probably speakers, and no channel is "
                f"named: the channels are mixed ({self.mixed[0]} …); ingest.channels=split makes a clip of each"
            )
        if self.unclear:
            found.append(
                f"{len(self.unclear)} recording(s) have several channels, and all clips of the corpus name the same "
                f"number, which may count from 0 or from 1: the channels are mixed ({self.unclear[0]} …); call them A "
                "and B, or give ingest.channels=split, which makes a clip of each"
            )
        return found
