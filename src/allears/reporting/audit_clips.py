"""The table of clips to sort and filter: which rows, and the JSON that the page's script reads.

The page must stay small whatever the corpus holds: rows, text and bytes are bounded.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from allears.reporting.audit_listen import FOLDER, piece_starts
from allears.reporting.measure_words import ceiling_mark, heading, is_share

MAX_BYTES = 2_500_000
MAX_TEXT = 120
KEPT_SHARE = 0.1  # of the rows, where not all clips fit
_COLUMNS = (  # of the joined table; heading; what it is: words, id, number, seconds, share
    ("sound", "", "sound"), ("path", "file", "words"), ("member", "member", "words"), ("from_s", "from, s", "seconds"),
    ("clip", "clip", "id"), ("verdict", "verdict", "words"), ("reasons", "reasons", "words"),
    ("split", "split", "words"), ("language", "language", "words"), ("speaker", "speaker", "words"),
    ("said", "text or label", "words"),
    *(
        (name, heading(name) + ceiling_mark(name), "share" if is_share(name) else "number")
        for name in ("decoded_duration_s", "snr_db", "bandwidth_hz", "rms_dbfs", "silence_share", "clipped_share")
    ),
)  # fmt: skip


def clips_json(clips: pd.DataFrame, exhibits: pd.DataFrame, max_rows: int) -> tuple[Markup, int]:
    """The table as a JSON value that may stand in a script element, and how many rows it has.

    Columns of which nothing is known for any row are not in it.
    """
    some = clips.iloc[chosen(clips, exhibits, max_rows)]
    files = exhibits.drop_duplicates("clip").set_index("clip")["file"]
    sound = FOLDER + "/" + some["clip"].map(files).astype("string") + ".mp3"
    said = some["text"].fillna(some["label"])
    some = some.assign(sound=sound, said=said, from_s=piece_starts(some).round(2))
    columns = {key: _values(some[key], exact=kind == "seconds") for key, _, kind in _COLUMNS}
    known = [each for each in _COLUMNS if any(value is not None for value in columns[each[0]])]
    values = zip(*(columns[key] for key, _, _ in known), strict=True)
    rows = [script_safe(json.dumps(row, ensure_ascii=False)) for row in values]
    fitting = int(np.searchsorted(np.cumsum([len(row.encode()) for row in rows]), MAX_BYTES, side="right"))
    head = json.dumps([{"key": key, "title": title, "kind": kind} for key, title, kind in known])
    text = f'{{"columns":{head},"rows":[{",".join(rows[:fitting])}]}}'
    return Markup(text), fitting  # noqa: S704  it cannot close its element


def script_safe(text: str) -> str:
    r"""JSON that cannot end its script element: `<` appears only inside strings, where `\u003c` means the same."""
    return text.replace("<", "\\u003c")


def chosen(clips: pd.DataFrame, exhibits: pd.DataFrame, max_rows: int) -> NDArray[np.int64]:
    """Positions of the rows: flagged clips, then kept ones; those to listen to come first.

    Where not all fit, flagged ones are taken evenly by first reason, with a few kept ones, drawn by a hash of their
    names.
    """
    hash_N = pd.util.hash_array(clips["clip"].to_numpy(dtype=object))
    mute_N = ~clips["clip"].isin(exhibits["clip"]).to_numpy(dtype=bool)
    kept_N = (clips["verdict"] == "keep").to_numpy(dtype=bool)
    kept, flagged = np.flatnonzero(kept_N), np.flatnonzero(~kept_N)
    kept = kept[np.lexsort((hash_N[kept], mute_N[kept]))]
    flagged = flagged[np.argsort(hash_N[flagged])]
    first = clips["reasons"].iloc[flagged].str.split(",", n=1).str[0].to_numpy()
    turn = pd.Series(first).groupby(first).cumcount().to_numpy()
    flagged = flagged[np.lexsort((turn, mute_N[flagged]))]
    some = flagged[: max_rows - min(len(kept), round(KEPT_SHARE * max_rows))]
    return np.concatenate((some, kept[: max_rows - len(some)]))


def _values(column: pd.Series[Any], *, exact: bool) -> list[Any]:
    if pd.api.types.is_float_dtype(column):
        return [None if np.isnan(value) else float(value if exact else f"{value:.4g}") for value in column.to_numpy()]
    return [None if pd.isna(value) else _short(str(value)) for value in column]


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
