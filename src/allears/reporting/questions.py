"""The questions of a datasheet, and the file in which people answer what no table knows.

After Gebru et al., "Datasheets for Datasets" (CACM 2021, arXiv 1803.09010), all seven sections, shortened; the last
three under labelling are those of Croissant's RAI vocabulary.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from allears.errors import ConfigError, nearest
from allears.storage.files import storage_error

NAME = "datasheet.yml"


@dataclass(frozen=True, slots=True)
class Question:
    """`key` names it in `datasheet.yml`."""

    key: str
    text: str


def _section(**questions: str) -> tuple[Question, ...]:
    return tuple(Question(key, text) for key, text in questions.items())


SECTIONS: dict[str, tuple[Question, ...]] = {
    "Motivation": _section(
        purpose="For what purpose was it created?",
        created_by="Who created it, and on whose behalf?",
        funded_by="Who paid for it?",
    ),
    "Composition": _section(
        instances="What is an instance?",
        count="How many are there?",
        sampling="Is it everything there is, or a sample of something larger, and how representative?",
        instance_data="What data does an instance consist of?",
        labels="Is there a label or target?",
        missing="What is missing from single instances?",
        relationships="Which instances belong together?",
        splits="Which splits are recommended?",
        errors="Which errors, noise and redundancies are there?",
        self_contained="Is it self-contained, or does it rely on something outside?",
        confidential="Does it hold anything confidential?",
        offensive="Does it hold anything that may offend, threaten or frighten?",
        subpopulations="Which groups of people does it have, and in what shares?",
        identifiable="Can persons be identified?",
        sensitive="Is any of it sensitive?",
    ),
    "Collection": _section(
        acquired="Where does the data come from?",
        mechanisms="How, with what devices and procedures, was it recorded?",
        sampling_strategy="If it is a sample, how was it drawn?",
        collectors="Who collected it, and how were they paid?",
        timeframe="Over what time was it collected?",
        ethical_review="Was there an ethical review?",
        directly="Was it collected from the people themselves, or through others?",
        notified="Were they told?",
        consent="Did they consent, and to what?",
        revocation="How do they withdraw their consent?",
        impact_analysis="Was the impact on the people in it analysed?",
    ),
    "Preprocessing, cleaning and labelling": _section(
        preprocessing="What was done to the data?",
        cleaning="What was left out, and by which rules?",
        raw_data="Is the raw data kept?",
        software="With what software?",
        labelling="How were texts and labels made?",
        annotators="Who made them?",
        annotations_per_item="How many people judged an item?",
    ),
    "Uses": _section(
        used_for="What was it used for?",
        used_by="Where are papers and systems that use it listed?",
        other_tasks="What else could it be used for?",
        future_risks="What about it may harm future uses?",
        unsuitable_uses="What should it not be used for?",
    ),
    "Distribution": _section(
        third_parties="Is it given to others?",
        distribution_channel="How is it distributed?",
        url="At which address?",
        citation="How is it cited?",
        date_published="When was it published?",
        licence="Under which licences?",
        third_party_rights="Do others hold rights in it?",
        export_controls="Do export controls or other regulations apply?",
    ),
    "Maintenance": _section(
        maintainer="Who maintains it?",
        contact="How is the maintainer reached?",
        erratum="Is there an erratum?",
        updates="How is it updated?",
        retention="How long may the data of people be kept?",
        older_versions="Are older versions kept?",
        contribute="How can others add to it?",
    ),
}
QUESTIONS: dict[str, Question] = {question.key: question for section in SECTIONS.values() for question in section}


def read_answers(path: Path) -> dict[str, str]:
    """Question key → what people wrote in `path`; empty without such a file, and without what was left blank.

    Raises ConfigError: not YAML, an unknown key (with the nearest), an answer that is no text, a date of publication
    that is none, an address that is none.
    """
    import yaml

    try:
        value = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise storage_error(path, error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML ({_line(error)}); write one `key: answer` a line") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected one `key: answer` a line, found {type(value).__name__}")
    answers = {_known(key, path): _text(key, answer, path) for key, answer in value.items()}
    _check_typed(answers, path)
    return {key: text for key, text in answers.items() if text}


def _known(key: object, path: Path) -> str:
    if key not in QUESTIONS:
        raise ConfigError(
            f"{path}: '{key}' is no question of the datasheet{nearest(str(key), QUESTIONS)}. "
            "The keys stand in brackets behind the questions of datasheet.md"
        )
    return str(key)


def _text(key: object, answer: object, path: Path) -> str:
    if answer is None:
        return ""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if isinstance(answer, str | int | float | dt.date):
        return str(answer).encode(errors="replace").decode().strip()
    raise ConfigError(f"{path}: the answer to '{key}' must be a text, found {type(answer).__name__}")


def _check_typed(answers: dict[str, str], path: Path) -> None:
    """Croissant wants a date and an address where a datasheet would take any words."""
    date, url = answers.get("date_published"), answers.get("url")
    try:
        dt.date.fromisoformat(date or "2000-01-01")
    except ValueError:
        raise ConfigError(f"{path}: date_published: expected a date such as 2025-03-01, found '{date}'") from None
    if url and not url.startswith(("http://", "https://")):
        raise ConfigError(f"{path}: url: expected an address such as https://example.org/corpus, found '{url}'")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
