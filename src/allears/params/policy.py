"""A policy: rules over measures, each with the reason code that it gives a clip. All of them are written out in
`conf/base/parameters_policies.yml`, to be read, copied and edited; `audit.policy` names the one that judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, RootModel, StringConstraints, model_validator

from allears.errors import ConfigError, nearest
from allears.params.base import Params

MAX_RULES = 40  # a clip's reasons are the bits of one number
STRUCTURAL = (  # what is no comparison of a measure with a bound
    "undecodable", "licence_denied", "licence_unknown", "byte_duplicate", "pcm_duplicate", "reencoded_duplicate",
    "copy_leak", "overlap_leak", "speaker_leak", "session_leak", "dropped_by_person", "withdrawn",
)  # fmt: skip
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Bounds(Params):
    """Values under `min` or over `max` are flagged, in the measure's unit; null: no bound."""

    min: float | None = None
    max: float | None = None


class Rule(Bounds):
    """When a clip gets a reason. A clip that has no value of the measure is never flagged."""

    measure: str
    """Column of the table of measures; a number."""
    of: Literal["all", "speech", "sounds", "text", "none"] = "all"
    """Which clips are judged: all; speech, which has a text, a language or a speaker; sounds, which have none of them;
    those with a text; none: switched off."""
    needs_s: float = Field(default=0.0, ge=0)
    """Shorter clips are not judged."""
    iqr: float | None = Field(default=None, gt=0)
    """Flagged too: what lies more than so many interquartile ranges outside the quartiles of its language."""
    sounds: Bounds | None = None
    """Other bounds for sounds; what is null here stays as above."""
    by_language: dict[str, Bounds] = Field(default_factory=dict)
    """Other bounds for a language of the manifest (`en` counts for `en-GB` too, unless that has its own)."""
    verdict: Literal["soft", "hard"] = "soft"
    """Soft: in the shards, left out by the selection. Hard: never in a shard."""
    means: str = ""
    """What the page says of it, as the end of a sentence about a clip."""

    def all_bounds(self) -> Iterator[tuple[str, Bounds]]:
        """The bounds with the words that say for which clips: '', 'sounds' or a language."""
        yield "", self
        if self.sounds is not None:
            yield "sounds", self.sounds
        yield from self.by_language.items()


class Policy(RootModel[dict[Code, Rule]]):
    """Reason code → rule."""

    model_config = ConfigDict(frozen=True)


class Policies(RootModel[dict[Code, Policy]]):
    """Name → policy."""

    model_config = ConfigDict(frozen=True)

    def chosen(self, name: str) -> Policy:
        """The policy called `name`; ConfigError with the nearest name."""
        if name not in self.root:
            raise ConfigError(
                f"audit.policy: there is no policy '{name}'{nearest(name, self.root) or '.'} "
                f"Those in parameters_policies.yml are {', '.join(self.root) or 'none'}"
            )
        return self.root[name]

    def described(self, name: str, shipped: Policies) -> str:
        """Return the name of the policy and how many of its rules differ from the one of that name in `shipped`:
        `standard, 1 rule changed`. Words (`means`) make no difference.
        """
        if name not in shipped.root:
            return name
        now, before = (
            {code: rule.model_dump(exclude={"means"}) for code, rule in each.root[name].root.items()}
            for each in (self, shipped)
        )
        changed = sum(now.get(code) != before.get(code) for code in now.keys() | before.keys())
        return name if not changed else f"{name}, {changed} rule{'' if changed == 1 else 's'} changed"

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name, policy in self.root.items():
            if len(policy.root) > MAX_RULES:
                raise ValueError(f"policies.{name} has {len(policy.root)} rules; at most {MAX_RULES} are possible")
            for code, rule in policy.root.items():
                _check(f"policies.{name}.{code}", code, rule)
        return self


def _check(key: str, code: str, rule: Rule) -> None:
    if code in STRUCTURAL:
        raise ValueError(f"{key}: '{code}' is not a comparison of measures, it is always judged; use another name")
    given = [(where, each) for where, each in rule.all_bounds() if each.min is not None or each.max is not None]
    if not given and rule.iqr is None:
        raise ValueError(f"{key} has no bound: give it min, max or iqr (of: none switches a rule off)")
    for where, each in given:
        low = rule.min if each.min is None else each.min
        high = rule.max if each.max is None else each.max
        if low is not None and high is not None and low >= high:
            raise ValueError(f"{key}{where and f' ({where})'}: min {low:g} must be smaller than max {high:g}")
