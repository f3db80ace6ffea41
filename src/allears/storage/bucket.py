"""Buckets: whatever fsspec reads. What lies there is listed, and fetched so that a kill loses no byte that came.

Credentials, endpoints and regions come from the environment, as fsspec and the store's own library have it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from allears.errors import ConfigError, StorageError
from allears.storage.files import storage_error

CHUNK_BYTES = 16 << 20  # what is asked for at once, and what a kill may cost
EXTRAS = {"s3": "allears[s3]", "s3a": "allears[s3]", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_MARKS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "modified", "created")
_TICK_NS = 100  # what disks of other systems still tell apart


@dataclass(frozen=True, slots=True)
class Object:
    """What lies in a bucket: `key` below the URL.

    `stamp_ns` is the time that its local copy bears: not when it was made, but a digest of its etag (else of its time),
    so that size and time of a copy say which content it is of. 0: the store gives neither.
    """

    key: str
    size: int
    stamp_ns: int

    @property
    def digest(self) -> str:
        """Names this content of this object, hexadecimal."""
        return hashlib.sha256(f"{self.key}\0{self.size}\0{self.stamp_ns}".encode(errors="surrogatepass")).hexdigest()


class Changed(Exception):  # noqa: N818  not an error of the run
    """An object is no longer what was listed."""


def is_url(path: str) -> bool:
    """Whether it names something that only fsspec can read."""
    return _URL.match(path) is not None and not path.startswith("file://")


def typed_path(path: str) -> str:
    """What a person typed as it is remembered: URLs without a last /, folders absolute. Raises ConfigError for s3://."""
    if not is_url(path):
        return str(Path(path.removeprefix("file://")).expanduser().absolute())
    if not path.partition("://")[2].strip("/"):
        raise ConfigError(f"{path}: it names no bucket: give it as {path.partition('://')[0]}://bucket/folder")
    return path.rstrip("/")


class Bucket:
    """A connection to what lies below a URL. All errors are StorageError or ConfigError, in sentences."""

    def __init__(self, url: str) -> None:
        from fsspec import available_protocols
        from fsspec.core import url_to_fs

        self.url = url
        scheme = url.partition("://")[0].lower()
        if _has_password(url, scheme):
            raise ConfigError(
                f"{scheme}://…: a path is written into pages and tables, so no password may stand in it: give it in "
                f"the environment, as fsspec's {scheme} has it"
            )
        try:
            self._fs, self._base = url_to_fs(url)
        except ImportError as error:
            extra = EXTRAS.get(scheme)
            how = f"pip install '{extra}'" if extra else f"install what it names ({error})"
            raise StorageError(f"{url}: reading {scheme}:// needs a library that is not installed: {how}") from error
        except Exception as error:
            if scheme not in available_protocols():
                raise ConfigError(
                    f"{url}: nothing here reads {scheme}://: check the spelling; known are s3://, gs://, az:// and "
                    "what else fsspec reads"
                ) from error
            raise _sentence(url, error) from error
        self._base = str(self._base).rstrip("/")

    def objects(self) -> Iterator[Object]:
        """All that lies below the URL, in the order of its keys, by listing alone."""
        try:
            self._fs.invalidate_cache()
            found: dict[str, dict[str, Any]] = self._fs.find(self._base, detail=True)
            self._fs.invalidate_cache()  # `info` would answer from this listing, which takes memory, too
        except Exception as error:
            raise _sentence(self.url, error) from error
        for name in sorted(found):
            if not name.startswith(f"{self._base}/"):
                raise StorageError(f"{self.url} is no folder: give the URL of the folder that holds it")
            if found[name].get("type") != "directory":
                yield self._object(name[len(self._base) + 1 :], found[name])

    def fetch(self, wanted: Object, part: Path, told: Callable[[int], None]) -> None:
        """Write an object to `part`, or what of it is not there yet; `told` hears of the bytes of each chunk.

        `part` is of this content: it is named by the object's digest. Raises Changed when the object is another by now.
        """
        try:
            self._fetch(wanted, part, told)
        except Changed:
            part.unlink(missing_ok=True)
            raise

    def _fetch(self, wanted: Object, part: Path, told: Callable[[int], None]) -> None:
        first = have = part.stat().st_size if part.exists() else 0
        with _opened(part) as out:
            while have < wanted.size:
                chunk = self._chunk(wanted, have)
                _write(out, chunk, part)
                have += len(chunk)
                told(len(chunk))
        several = first > 0 or wanted.size > CHUNK_BYTES
        if have != wanted.size or (several and self._now(wanted) != wanted):  # chunks of two contents, perhaps
            raise Changed(wanted.key)

    def _chunk(self, wanted: Object, start: int) -> bytes:
        """The next bytes; of the last chunk one more than there should be, so that a longer object is noticed."""
        end = start + CHUNK_BYTES
        end = wanted.size + 1 if end >= wanted.size else end
        try:
            found: bytes = self._fs.cat_file(f"{self._base}/{wanted.key}", start=start, end=end)
        except FileNotFoundError as error:
            raise Changed(wanted.key) from error
        except Exception as error:
            if self._now(wanted) != wanted:  # a store may refuse what is beyond the end (HTTP 416)
                raise Changed(wanted.key) from error
            raise _sentence(f"{self.url}/{wanted.key}", error) from error
        if not found:
            raise Changed(wanted.key)
        return found

    def _now(self, wanted: Object) -> Object | None:
        try:
            self._fs.invalidate_cache()
            info = self._fs.info(f"{self._base}/{wanted.key}")
        except FileNotFoundError:
            return None
        except Exception as error:
            raise _sentence(f"{self.url}/{wanted.key}", error) from error
        return self._object(wanted.key, info)

    def _object(self, key: str, info: dict[str, Any]) -> Object:
        if info.get("size") is None:  # some stores say it of single objects only
            try:
                info = self._fs.info(f"{self._base}/{key}")
            except Exception as error:
                raise _sentence(f"{self.url}/{key}", error) from error
        if info.get("size") is None:
            raise StorageError(f"{self.url}/{key}: the store does not say how long it is, so it cannot be checked")
        mark = next((info[name] for name in _MARKS if info.get(name)), None)
        return Object(key, int(info["size"]), 0 if mark is None else _stamp_ns(_text(mark)))


def _has_password(url: str, scheme: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError as error:
        raise ConfigError(f"{scheme}://…: {error}: check how the bucket and the path in it are spelt") from error


def _text(mark: Any) -> str:
    """An etag or a time; a store may list times in another form than it gives them singly."""
    mark = mark.timestamp() if isinstance(mark, datetime) else mark
    return f"{mark:.6f}" if isinstance(mark, float) else str(mark).strip('"')


def _stamp_ns(mark: str) -> int:
    number = int.from_bytes(hashlib.sha256(mark.encode()).digest()[:8])
    return (1 + number % 10**9) * 10**9 + number // 10**9 % 10**7 * _TICK_NS


def _opened(part: Path) -> Any:
    try:
        return part.open("ab")
    except OSError as error:
        raise storage_error(part, error) from error


def _write(out: Any, chunk: bytes, part: Path) -> None:
    try:
        out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    except OSError as error:
        raise storage_error(part, error) from error


def _sentence(url: str, error: Exception) -> StorageError:
    """What to do about an error of fsspec or of the libraries below it, which share no classes."""
    names, each = "", cast("BaseException | None", error)
    while each is not None:
        names, each = f"{names} {type(each).__name__}", each.__cause__ or each.__context__
    text = " ".join(str(error).split())[:300]
    match error:
        case _ if re.search("Credential|Authentication|TokenRetrieval|ProfileNotFound", names):
            hint = "no valid credentials were found: set them in the environment, as the store's own tools want them"
        case PermissionError():
            hint = "these credentials may not list or read it: check them, the name and the bucket's policy"
        case FileNotFoundError():
            hint = "there is no such bucket, or it lists what is not there: check the name, the region and the endpoint"
        case _ if isinstance(error, OSError | TimeoutError) or re.search("Connect|Timeout|Network|DNS|Payload", names):
            hint = "the store cannot be reached, or the connection was lost: what has come is kept; run it again"
        case _:
            hint = "check the URL and the store; what has come is kept"
    return StorageError(f"{url}: {hint} ({type(error).__name__}: {text})")
