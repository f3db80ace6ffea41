"""A corpus as a Croissant 1.1 document (JSON-LD) with the fields of the RAI vocabulary 1.0.

Specifications: http://mlcommons.org/croissant/1.1 and http://mlcommons.org/croissant/RAI/1.0. What is not known says
'unknown' where a text is wanted and is left out where a date or an address is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandera.pandas as pa

from allears.corpus.licences import UNKNOWN as NO_LICENCE
from allears.corpus.licences import canonical
from allears.corpus.schema import SCHEMA
from allears.reporting.questions import QUESTIONS
from allears.reporting.statements import UNKNOWN, CorpusFacts, one_line, statements

CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
# RAI property → the questions of the datasheet that it is made of; in ONE a single text is wanted, else a list
ONE = {
    "dataCollection": ("acquired", "mechanisms", "collectors", "timeframe", "consent"),
    "dataCollectionMissingData": ("missing",),
    "dataCollectionRawData": ("raw_data",),
    "dataManipulationProtocol": ("cleaning",),
    "dataAnnotationProtocol": ("labelling",),
    "annotationsPerItem": ("annotations_per_item",),
    "dataSocialImpact": ("impact_analysis",),
    "dataReleaseMaintenancePlan": ("maintainer", "updates"),
}
MANY = {
    "dataPreprocessingProtocol": ("preprocessing",),
    "annotatorDemographics": ("annotators",),
    "dataBiases": ("subpopulations", "sampling"),
    "dataLimitations": ("errors", "future_risks", "unsuitable_uses"),
    "dataUseCases": ("used_for", "other_tasks"),
    "personalSensitiveInformation": ("identifiable", "sensitive", "confidential"),
}
DESCRIPTIONS = {
    "clip": "Name of the clip.",
    "source": "Source of the corpus that it belongs to.",
    "root": "Folder of the source: below the project's folder, or its whole path on the machine that read it.",
    "path": "The audio: the file below the folder of the source; channel, start_s and end_s say which part of it.",
    "member": "The recording in an archive (a tar, a parquet file); empty: the file is the recording.",
    "channel": "Channel of the file; empty: all, mixed.",
    "start_s": "Start in the file, in seconds.",
    "end_s": "End in the file, in seconds, as its header declares it.",
    "file_sha256": "sha256 of the recording's bytes: of the file, or of its member.",
    "attributes": "Every other column of the corpus, as a JSON object.",
    "licence": "SPDX expression, LicenseRef-… or 'unknown'; where clip and source have one each, both with AND.",
    "split": "train, dev or test.",
    "split_origin": "Whether the corpus gave the split or allears carved it.",
    "group": "What splits and intervals cluster by: speaker, else session, else recording.",
}
INDEX_FIELDS = {
    "clip": "sc:Text", "shard": "sc:Text", "offset": "sc:Integer", "length": "sc:Integer", "samples": "sc:Integer",
    "sample_rate_hz": "sc:Integer", "sha256": "sc:Text",
}  # fmt: skip
_PARQUET = "application/x-parquet"
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")  # BCP 47, near enough
_TYPES = {"string": "sc:Text", "float64": "sc:Float", "int64": "sc:Integer", "Int64": "sc:Integer"}
_CR = (
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract",
    "field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset",
    "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace",
    "samplingRate", "sdVersion", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {  # Croissant 1.1, appendix 1
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
} | {name: f"cr:{name}" for name in _CR}


@dataclass(frozen=True, slots=True)
class File:
    """A file of the corpus. `url`: relative to the document."""

    name: str
    url: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Shards:
    """`tars`: glob of the tars, relative to the document; `index`: the file that knows each clip's place and sha256."""

    tars: str
    index: File


def croissant(facts: CorpusFacts, parts: Sequence[File], shards: Shards | None) -> dict[str, Any]:
    """The document of a corpus whose manifest lies in `parts`, and whose clips lie in `shards` if they were written.

    Record sets: `clips` (or `clips-0`, `clips-1` … where the manifest has several parts, because mlcroissant reads
    tables one file at a time) and `shards`.
    """
    names = ["clips"] if len(parts) == 1 else [f"clips-{number}" for number in range(len(parts))]
    said = statements(facts)
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS_TO),
        **_about(facts, said),
        **_rai(facts, said),
        "distribution": [_file_object(part, "A part of the manifest: one row a clip.") for part in parts],
        "recordSet": [
            _record_set(name, part, _manifest_fields(), "One record a clip.")
            for name, part in zip(names, parts, strict=True)
        ],
    }
    if shards is not None:
        document["distribution"] += _shard_files(shards)
        text = "Where the FLAC of each clip lies in the shards, in bytes, and its sha256."
        document["recordSet"].append(_record_set("shards", shards.index, INDEX_FIELDS, text))
    return document


def _about(facts: CorpusFacts, said: dict[str, list[str]]) -> dict[str, Any]:
    summary, answers = facts.summary, facts.answers
    about = {
        "name": summary["corpus"],
        "description": " ".join([answers.get("purpose", ""), *said["count"], *said["instances"]]).strip(),
        "version": summary["version"],
        "license": [_licence(row["licence"]) for row in summary["licences"]] or [_licence(NO_LICENCE)],
        "creator": {"@type": "sc:Organization", "name": answers.get("created_by", UNKNOWN)},
        "citeAs": answers.get("citation", UNKNOWN),
        "keywords": ["audio", *(name for name in ("text", "label") if facts.manifest.known[name])],
        "inLanguage": [name for name in facts.manifest.languages if _LANGUAGE_TAG.fullmatch(name)],
        "url": answers.get("url"),
        "datePublished": answers.get("date_published"),
    }
    return {name: value for name, value in about.items() if value}


def _licence(licence: str) -> str | dict[str, str]:
    """The address of an SPDX licence; any other terms (an expression, LicenseRef-…, unknown) by name."""
    name = canonical(licence)
    if name is None or " " in name or name.startswith("LicenseRef-"):
        return {"@type": "sc:CreativeWork", "name": one_line(licence)}
    return f"https://spdx.org/licenses/{name}.html"


def _rai(facts: CorpusFacts, said: dict[str, list[str]]) -> dict[str, Any]:
    def lines(keys: Iterable[str]) -> list[str]:
        found = {key: [*said.get(key, []), *filter(None, [facts.answers.get(key)])] for key in keys}
        if not any(found.values()):
            return [UNKNOWN]
        return [line for key in found for line in found[key] or [f"{QUESTIONS[key].text} {UNKNOWN}."]]

    one = {f"rai:{name}": " ".join(lines(keys)) for name, keys in ONE.items()}
    return one | {f"rai:{name}": lines(keys) for name, keys in MANY.items()}


def _file_object(file: File, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "description": description,
        "contentUrl": file.url,
        "contentSize": f"{file.size_bytes} B",
        "encodingFormat": _PARQUET,
        "sha256": file.sha256,
    }


def _shard_files(shards: Shards) -> list[dict[str, Any]]:
    tars = {
        "@type": "cr:FileSet",
        "@id": "tars",
        "name": "tars",
        "description": "WebDataset tars with mono FLAC of every clip without a hard verdict.",
        "encodingFormat": "application/x-tar",
        "includes": shards.tars,
    }
    return [_file_object(shards.index, "The index of the shards: one row a clip."), tars]


def _manifest_fields() -> dict[str, str | list[str]]:
    schema: pa.DataFrameSchema = SCHEMA
    fields: dict[str, str | list[str]] = {
        str(name): _TYPES[str(kind).split("[")[0]] for name, kind in schema.dtypes.items()
    }
    return fields | {"split": ["sc:Text", "cr:Split"]}


def _record_set(name: str, file: File, fields: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": f"{name}/clip"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": column,
                "description": DESCRIPTIONS.get(column, column.replace("_", " ").capitalize() + "."),
                "dataType": kind,
                "source": {"fileObject": {"@id": file.name}, "extract": {"column": column}},
            }
            for column, kind in fields.items()
        ],
    }
