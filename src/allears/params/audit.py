"""Parameters of `audit`: where the measures cut, and what follows from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from allears.params.base import Params
from allears.params.listen import ListenParams

Axis = Literal["language", "accent", "gender", "age", "label"]


class MeasureParams(Params):
    """How clips are measured; a change measures every clip again."""

    clip_level: float = Field(default=0.99, gt=0, le=1)
    """Amplitude from which a sample counts as clipped."""
    silence_dbfs: float = Field(default=-50.0, lt=0)
    """Level under which a frame of 32 ms counts as silent …"""
    silence_below_loud_db: float = Field(default=40.0, gt=0)
    """… if it is also so far under the loudest tenth of a clip's frames, or under -68 dBFS: a quiet voice is not
    silence. 40 dB is about the range of speech."""
    bandwidth_drop_db: float = Field(default=60.0, gt=0)
    """The bandwidth ends where the mean spectrum has fallen this far under its peak. At 50 dB a second of clean speech
    without an s counts as narrow; resampling from 8 kHz leaves 90 dB."""
    speech_probability: float = Field(default=0.5, gt=0, lt=1)
    """From where on 32 ms of audio count as speech, as the detector (Silero VAD) judges them."""
    speech_stride: int = Field(default=2, ge=1)
    """Of a clip over two seconds the detector hears one quarter of a second in so many: it takes most of the time."""
    timeout_s: float = Field(default=300.0, gt=0)
    """A clip that takes longer to decode and measure is given up."""
    workers: int | None = Field(default=None, ge=1)
    """Processes that decode; null: one a core."""


class DuplicateParams(Params):
    """When two clips are one recording in two encodings."""

    max_bit_error: float = Field(default=0.25, gt=0, lt=0.5)
    """Share of fingerprint bits that may differ; what is nearer is decoded again and compared."""
    min_correlation: float = Field(default=0.8, gt=0, le=1)
    """So well the waveforms of copies agree in all but a twentieth of what is loud (`audio.alignment`)."""
    max_duration_difference_s: float = Field(default=0.1, ge=0)
    """Copies differ by less: codecs pad."""


class LicenceParams(Params):
    """Which licences audio may be used under; patterns with `*`, SPDX names or LicenseRef-…, case does not matter.

    CC-BY, CC-BY-NC and the like are of corpora that give no version.
    """

    allow: tuple[str, ...] = (
        "CC0-1.0", "CC-PDDC", "CC-PDM-1.0", "PDDL-1.0", "CC-BY", "CC-BY-[1-4].*", "CC-BY-SA", "CC-BY-SA-[1-4].*",
        "ODC-By-1.0", "ODbL-1.0", "CDLA-*", "MIT", "Apache-2.0", "BSD-*", "LicenseRef-*",
    )  # fmt: skip
    deny: tuple[str, ...] = ("CC-BY-NC-*", "CC-BY-ND-*", "*-NC-*", "*-ND-*", "*-NC", "*-ND")
    unknown: Literal["refuse", "allow"] = "refuse"
    """What happens to clips whose licence is unknown or in neither list."""


class AssessableParams(Params):
    """Below either of these a gap is 'not assessable', which is a finding; counts are always shown."""

    speakers: int = Field(default=10, ge=1)
    clips: int = Field(default=100, ge=1)


class RepresentationParams(Params):
    """Whom the corpus has, and whom it leaves out."""

    axes: tuple[Axis, ...] = ("language", "accent", "gender", "age", "label")
    crossed: tuple[tuple[Axis, Axis], ...] = (("gender", "age"), ("language", "gender"), ("accent", "gender"))
    target: dict[str, str] = Field(default={})
    """Axis → 'uniform', or the path of a CSV (axis, cell, share): a census, or the traffic expected. A crossed axis is
    named like 'gender × age'."""
    max_share: float = Field(default=0.5, gt=0, le=1)
    """A cell with more of the hours than this, and twice those of the next, dominates its axis."""
    min_keep_ratio: float = Field(default=0.8, gt=0, le=1)
    """Filter disparity: keep rate of a group over the best keep rate; below it the cut-offs take one group away."""
    bootstrap_samples: int = Field(default=500, ge=50)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _targets_have_axes(self) -> RepresentationParams:
        valid = [*self.axes, *(f"{one} × {other}" for one, other in self.crossed)]
        if unknown := [name for name in self.target if name not in valid]:
            raise ValueError(f"audit.representation.target: '{unknown[0]}' is no axis; valid are {', '.join(valid)}")
        return self


class CurationParams(Params):
    """Which of the training clips that the policy keeps are heard, and how often; dev and test stay as they are."""

    axis: Axis | Literal["speaker", "source"] | None = None
    """The column whose groups are balanced; null: one group."""
    alpha: float = Field(default=1.0, ge=0, le=1)
    """The groups' shares of the hours p become p^alpha: 1 leaves them, 0 makes them equal."""
    target: str | None = None
    """Aim at these shares instead: 'uniform', or the path of a CSV (axis, cell, share); unknown keeps its share."""
    max_repeat: float = Field(default=4.0, ge=1)
    """No clip is heard more often in an epoch."""
    speaker_max_hours: float | None = Field(default=None, gt=0)
    """Of a speaker (else session, else recording), the best ones; null: all."""
    budget_hours: float | None = Field(default=None, gt=0)
    """Hours for training: as near to the groups' shares as they come, of each group the best; null: all."""

    @model_validator(mode="after")
    def _aims_at_an_axis(self) -> CurationParams:
        if self.target is not None and self.axis is None:
            raise ValueError("audit.curation.target needs audit.curation.axis: the column whose groups it is about")
        return self


class AuditParams(Params):
    """Everything `audit` decides by."""

    policy: str = "standard"
    """Which of `policies` (parameters_policies.yml) judges the clips."""
    measures: MeasureParams = MeasureParams()
    text_model: str | None = None
    """Folder of a model fine-tuned on characters (`task_model.json` names it), which holds texts against their audio;
    clips whose texts it has learned are left alone. Null: nobody does."""
    duplicates: DuplicateParams = DuplicateParams()
    licences: LicenceParams = LicenceParams()
    assessable: AssessableParams = AssessableParams()
    representation: RepresentationParams = RepresentationParams()
    curation: CurationParams = CurationParams()
    keep_despite: tuple[str, ...] = ()
    """Soft reasons that flag a clip and keep it nonetheless; never a leak: what is tested on is not trained on."""
    suspect_share: float = Field(default=0.2, gt=0, le=1)
    """A soft rule over an estimate that flags more than this share of the clips that it judges, or nearly all clips of
    a source, group or speaker, describes the corpus: it is set aside for these clips, which is a finding. Nearly all:
    the lower 95 % bound of the share exceeds the larger of this share and 1 - this share. 1: never."""
    confirm: tuple[str, ...] = ()
    """Rules that apply even where they would be set aside: a person has listened."""
    max_session_share: float = Field(default=0.5, ge=0, le=1)
    """A clip whose session is in a held-out split too, with another speaker, is left out, unless its split would lose
    more than this share of its clips: then the session is taken for a day, a room or a programme, and the page says how
    many there are. 1: always left out; 0: never."""
    listen: ListenParams = ListenParams()
