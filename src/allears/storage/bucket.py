"""Buckets: whatever fsspec reads. What lies there is listed, and fetched so that a kill loses no byte that came; parts
of objects are read (patiently: `ranges.py`), and copies are put there.

Credentials, endpoints and regions come from the environment, as fsspec and the store's own library have it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from allears.errors import ConfigError, StorageError
from allears.storage.files import storage_error

CHUNK_BYTES = 16 << 20  # what is asked for at once, and what a kill may cost
REFUSED = (401, 403)  # HTTP
SMALL_TIMEOUT_S = 60.0  # for an object of some kilobytes
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

    def __init__(self, url: str, connections: int = 10) -> None:
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
            self._fs, self._base = url_to_fs(url, **_options(scheme, connections))
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
            raise bucket_error(url, error) from error
        self._base = str(self._base).rstrip("/")

    def objects(self) -> Iterator[Object]:
        """All that lies below the URL, in the order of its keys, by listing alone."""
        try:
            self._fs.invalidate_cache()
            found: dict[str, dict[str, Any]] = self._fs.find(self._base, detail=True)
            self._fs.invalidate_cache()  # `info` would answer from this listing, which takes memory, too
        except Exception as error:
            raise bucket_error(self.url, error) from error
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

    def part(self, key: str, start: int | None, end: int | None, timeout_s: float) -> bytes:
        """Bytes `start` to `end` of an object (None: from its beginning, to its end), asked for once.

        Raises what fsspec raises (`bucket_error` says it in a sentence), TimeoutError among it where the store is one
        that fsspec can interrupt, as S3, Google's, Azure's and HTTP servers are.
        """
        from fsspec.asyn import sync

        path, many = f"{self._base}/{key}", {"start": start, "end": end}
        if self._fs.async_impl:
            found: bytes = sync(self._fs.loop, self._fs._cat_file, path, timeout=timeout_s, **many)  # noqa: SLF001
            return found
        return bytes(self._fs.cat_file(path, **many))

    def content(self, key: str) -> bytes | None:
        """All bytes of a small object; None when it is not there."""
        try:
            return self.part(key, None, None, SMALL_TIMEOUT_S)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise bucket_error(f"{self.url}/{key}", error) from error

    def write(self, key: str, data: bytes) -> None:
        """Put a small object there, over what has its key."""
        try:
            self._make_folder()
            self._fs.pipe_file(f"{self._base}/{key}", data)
        except Exception as error:
            raise bucket_error(f"{self.url}/{key}", error) from error

    def put(self, file: Path, key: str) -> Object:
        """Put a file there, over what has its key, and say what lies there then. StorageError when that is shorter."""
        try:
            self._make_folder()
            self._fs.put_file(str(file), f"{self._base}/{key}")
            self._fs.invalidate_cache()
            put = self._object(key, self._fs.info(f"{self._base}/{key}"))
        except StorageError:
            raise
        except Exception as error:
            raise bucket_error(f"{self.url}/{key}", error) from error
        if put.size != (size := file.stat().st_size):
            raise StorageError(f"{self.url}/{key}: {put.size} of {size} bytes have arrived: run the same command again")
        return put

    def remove(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are not there are no error."""
        try:
            if paths := [f"{self._base}/{key}" for key in keys]:
                self._fs.rm(paths)
            self._fs.invalidate_cache()
        except FileNotFoundError:
            pass
        except Exception as error:
            raise bucket_error(self.url, error) from error

    def _make_folder(self) -> None:
        if "file" in self._fs.protocol:  # in buckets there are none
            self._fs.makedirs(self._base, exist_ok=True)

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
            raise bucket_error(f"{self.url}/{wanted.key}", error) from error
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
            raise bucket_error(f"{self.url}/{wanted.key}", error) from error
        return self._object(wanted.key, info)

    def _object(self, key: str, info: dict[str, Any]) -> Object:
        if info.get("size") is None:  # some stores say it of single objects only
            try:
                info = self._fs.info(f"{self._base}/{key}")
            except Exception as error:
                raise bucket_error(f"{self.url}/{key}", error) from error
        if info.get("size") is None:
            raise StorageError(f"{self.url}/{key}: the store does not say how long it is, so it cannot be checked")
        mark = next((info[name] for name in _MARKS if info.get(name)), None)
        return Object(key, int(info["size"]), 0 if mark is None else _stamp_ns(_text(mark)))


def _options(scheme: str, connections: int) -> dict[str, Any]:
    """Several requests at a time; what the environment says of S3's client counts more."""
    from fsspec.config import conf

    if scheme not in ("s3", "s3a"):
        return {}
    return {"config_kwargs": {"max_pool_connections": connections} | conf.get(scheme, {}).get("config_kwargs", {})}


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


def bucket_error(url: str, error: Exception) -> StorageError:
    """What to do about an error of fsspec or of the libraries below it, which share no classes."""
    status = getattr(error, "status", 0)  # of HTTP
    names, each = "", cast("BaseException | None", error)
    while each is not None:
        names, each = f"{names} {type(each).__name__}", each.__cause__ or each.__context__
    text = " ".join(str(error).split())[:300]
    match error:
        case _ if re.search("Credential|Authentication|TokenRetrieval|ProfileNotFound", names):
            hint = "no valid credentials were found: set them in the environment, as the store's own tools want them"
        case _ if isinstance(error, PermissionError) or status in REFUSED:
            hint = "these credentials may not list or read it: check them, the name and the bucket's policy"
        case FileNotFoundError():
            hint = "there is no such bucket, or it lists what is not there: check the name, the region and the endpoint"
        case _ if status >= 500:
            hint = "the store is out of order: what has come is kept; run it again, later"
        case _ if isinstance(error, OSError | TimeoutError) or re.search("Connect|Timeout|Network|DNS|Payload", names):
            hint = "the store cannot be reached, or the connection was lost: what has come is kept; run it again"
        case _:
            hint = "check the URL and the store; what has come is kept"
    return StorageError(f"{url}: {hint} ({type(error).__name__}: {text})")
