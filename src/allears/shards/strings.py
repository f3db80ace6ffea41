"""Strings of very many clips as blocks of bytes: a Python string more costs fifty bytes more than its letters.

Legend: `N` strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BLOCK = 1 << 20  # strings that are taken at once
_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_VALUE = np.zeros(256, dtype=np.uint8)  # of a hexadecimal digit
_VALUE[_DIGITS] = np.arange(16)


class Strings(Sequence[str]):
    """`N` strings of UTF-8 (none with a NUL), each as wide as the longest."""

    def __init__(self, values_N: NDArray[np.bytes_]) -> None:
        self.values_N = values_N

    @classmethod
    def of(cls, column: pa.ChunkedArray | Iterable[str]) -> Strings:
        """Those of a column of a table, or of anything else."""
        if not isinstance(column, pa.ChunkedArray):
            return cls(np.array([each.encode() for each in column], dtype=np.bytes_))
        blocks = [_wide(column.slice(at, _BLOCK)) for at in range(0, len(column), _BLOCK)]
        return cls(np.concatenate(blocks) if blocks else np.empty(0, "S1"))

    def __len__(self) -> int:
        return len(self.values_N)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Strings: ...
    def __getitem__(self, place: int | slice) -> str | Strings:
        if isinstance(place, slice):
            return Strings(self.values_N[place])
        return bytes(self.values_N[place]).decode()

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self), _BLOCK):
            yield from (value.decode() for value in self.values_N[at : at + _BLOCK].tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Strings) and np.array_equal(self.values_N, other.values_N)

    __hash__ = None  # type: ignore[assignment]

    def take(self, places: NDArray[np.int64]) -> list[str]:
        """Those at `places`."""
        return [value.decode() for value in self.values_N[places].tolist()]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Each string → its place; of equal ones the first."""
        return _Places(self.values_N)


class _Places(Mapping[str, int]):
    """Looked up by halving a sorted list, which costs eight bytes a string."""

    def __init__(self, values_N: NDArray[np.bytes_]) -> None:
        self.values_N = values_N
        self._order_N = np.argsort(values_N, kind="stable")

    def __len__(self) -> int:
        return len(self.values_N)

    def __iter__(self) -> Iterator[str]:
        return iter(Strings(self.values_N))

    def __getitem__(self, key: str) -> int:
        wanted = key.encode()
        found = int(np.searchsorted(self.values_N, np.bytes_(wanted), sorter=self._order_N))
        if found < len(self._order_N) and self.values_N[place := int(self._order_N[found])] == wanted:
            return place
        raise KeyError(key)


class Digests(Sequence[str]):
    """`N` SHA-256 in hexadecimal, 32 bytes each."""

    def __init__(self, bytes_N32: NDArray[np.uint8]) -> None:
        self.bytes_N32 = bytes_N32

    @classmethod
    def of(cls, column: pa.ChunkedArray | Iterable[str]) -> Digests:
        """Those of a column of a table, or of anything else. ValueError when one is not of 64 digits."""
        values_N = Strings.of(column).values_N
        if len(values_N) and values_N.dtype.itemsize != 64:
            raise ValueError(f"expected digests of 64 digits, found {values_N.dtype.itemsize}")
        digits_N64 = values_N.view(np.uint8).reshape(len(values_N), -1)
        bytes_N32 = np.empty((len(values_N), 32), dtype=np.uint8)
        for at in range(0, len(values_N), _BLOCK):
            value_n64 = _VALUE[digits_N64[at : at + _BLOCK]]
            bytes_N32[at : at + _BLOCK] = value_n64[:, 0::2] << 4 | value_n64[:, 1::2]
        return cls(bytes_N32)

    def __len__(self) -> int:
        return len(self.bytes_N32)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Digests: ...
    def __getitem__(self, place: int | slice) -> str | Digests:
        if isinstance(place, slice):
            return Digests(self.bytes_N32[place])
        return bytes(self.bytes_N32[place]).hex()

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self), _BLOCK):
            digits = self.bytes_N32[at : at + _BLOCK].tobytes().hex()
            yield from (digits[first : first + 64] for first in range(0, len(digits), 64))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digests) and np.array_equal(self.bytes_N32, other.bytes_N32)

    __hash__ = None  # type: ignore[assignment]


def _wide(column: pa.ChunkedArray) -> NDArray[np.bytes_]:
    """Arrow's letters one after the other → rows of equal width, filled up with NUL."""
    array = pa.concat_arrays(column.chunks).cast(pa.binary()) if len(column) else pa.array([], pa.binary())
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    letters = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    lengths_N = np.diff(offsets)
    width = max(int(lengths_N.max(initial=0)), 1)
    if len(letters) == len(array) * width:  # all as long as the longest
        return letters.copy().view(f"S{width}")
    rows = np.zeros((len(array), width), dtype=np.uint8)
    rows[np.arange(width) < lengths_N[:, None]] = letters
    return rows.reshape(-1).view(f"S{width}")
