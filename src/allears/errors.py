"""Named exceptions. An error is part of the interface: it says which item, what was expected, what was found,
the likely cause and what to do. Every message is one readable sentence (or a few), fit to be shown to a user.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Mapping

MOST_COMPARED, ALIKE = 20_000, 4  # names, first letters


class AllearsError(Exception):
    """Base of all errors that are shown to people as a sentence, without a traceback."""


class ConfigError(AllearsError):
    """A parameter, a YAML key or a command line is wrong."""


class CorpusError(AllearsError):
    """A corpus, its sources or its layout cannot be used as asked."""


class AudioError(AllearsError):
    """A recording cannot be decoded, or not as its header declares. Carries a reason code for the quarantine."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        return type(self), (self.reason, str(self))


class PassingError(AudioError):
    """A failure that another run may not meet (a file still being written, a share that hangs): never journalled."""


class StorageError(AllearsError):
    """A file or folder cannot be read or written: space, permission, a missing path."""


class LockedError(AllearsError):
    """Another process works on the same corpus."""


class StaleError(AllearsError):
    """A digest does not match: data, index or sidecar of another version."""


class DamageError(StaleError):
    """A clip cannot be read from its shard: bytes that were changed, cut off or are gone."""


class TrainingError(AllearsError):
    """A training cannot start, diverged, collapsed or died."""


class PeerLostError(TrainingError):
    """Another process of the same training has ended; why, that one knows."""


class TrackingError(AllearsError):
    """MLflow cannot be reached or refuses what it is sent."""


def is_memory_error(error: BaseException) -> bool:
    """Return whether memory ran out: errors of Python, numpy, torch and oneDNN, known without importing these."""
    signs = ("can't allocate memory", "bad_alloc", "could not create a primitive", "can't start new thread")
    words = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(sign in words for sign in signs) and "descriptor" not in words)
    )


def command(*words: str) -> str:
    """Return the line to type for these words of a command: quoted where a shell would take them apart."""
    return shlex.join(words)


def run_command(pipeline: str, params: Mapping[str, str]) -> str:
    """Return the line to type that runs a pipeline with these parameters."""
    told = ",".join(f"{name}={value}" for name, value in params.items())
    return command("kedro", "run", "--pipeline", pipeline, "--params", told)


def nearest(name: str, valid: Iterable[str]) -> str:
    """The words `; did you mean 'x'?` for the closest valid name, or an empty string.

    Of more than MOST_COMPARED names only those that begin alike are compared: a corpus may have a million.
    """
    names = list(valid)
    if len(names) > MOST_COMPARED:
        names = sorted(each for each in names if each[:ALIKE] == name[:ALIKE])[:MOST_COMPARED]
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
