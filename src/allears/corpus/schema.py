"""The schema of the manifest: what must be true of every row. Importing it imports pandera; `manifest.py` does not."""

from __future__ import annotations

import pandera.pandas as pa

from allears.types import SPLITS

_text = pa.Column("string", nullable=True)
_required = pa.Column("string", nullable=False)

SCHEMA = pa.DataFrameSchema(
    {
        # which audio
        "clip": pa.Column("string", pa.Check.str_matches(r"^[A-Za-z0-9_-]{1,80}$"), unique=True),
        "source": _required,  # name of the source within the corpus
        "root": _required,  # folder of the source: relative to the project where it lies in it
        "path": _required,  # posix path below root
        "member": _text,  # the recording inside that file, if it is a tar or a parquet file
        "channel": pa.Column("Int64", pa.Check.ge(0), nullable=True),  # null: mix all channels
        "start_s": pa.Column("float64", pa.Check.ge(0)),
        "end_s": pa.Column("float64", pa.Check.gt(0)),  # declared; the audit measures the real one
        "file_sha256": pa.Column("string", pa.Check.str_length(64, 64)),
        "file_bytes": pa.Column("int64", pa.Check.gt(0)),
        "codec": _required,
        "sample_rate_hz": pa.Column("int64", pa.Check.gt(0)),
        "channels": pa.Column("int64", pa.Check.gt(0)),
        "file_duration_s": pa.Column("float64", pa.Check.gt(0)),  # declared by the header
        # what is known of it; unknown is null, and nothing is inferred
        "text": _text,
        "label": _text,
        "language": _text,
        "accent": _text,
        "gender": _text,
        "age": _text,
        "speaker": _text,
        "session": _text,
        "attributes": _text,  # every other column of the corpus, as a JSON object
        "licence": _required,  # SPDX, LicenseRef-… or 'unknown'; clip's AND source's
        "split": pa.Column("string", pa.Check.isin(SPLITS)),
        "split_origin": pa.Column("string", pa.Check.isin(["given", "carved"])),
        "group": _required,  # what splits and intervals cluster by: speaker, else session, else recording
        # where it came, and lies among the clips that ever came: fixed for good, so that its tar is too
        "delivery": pa.Column("int64", pa.Check.ge(0), default=0),
        "place_s": pa.Column("float64", pa.Check.ge(0), default=0.0),  # seconds of its delivery that are before it
        "listed_as": pa.Column("string", nullable=True, default=None),  # its id by where it lies now, once it was moved
    },
    strict=True,
    ordered=True,
    coerce=True,
    add_missing_columns=True,
)
