"""Parts of objects in a bucket, asked for again where the store fails: bytes, or an error that says what was tried.

Never a hang: each request has its time, and there are so many for each part. Safe to use from several threads.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from threading import Event, Lock

from allears.errors import StorageError
from allears.storage.bucket import REFUSED, Bucket, bucket_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """`timeout_s` for each request, `tries` requests for one part. Pauses between them double from `pause_s` on; a
    random half to all of each is taken, so that readers do not come back all at once.
    """

    timeout_s: float = 30.0
    tries: int = 5
    pause_s: float = 0.5


PATIENT = Patience()


class Ranges:
    """Parts of the objects below a URL. `requests`, `retries` and `received` (bytes) count.

    The first part that cannot be had ends all: who waits for others hears of it at once.
    """

    def __init__(self, url: str, patience: Patience, connections: int) -> None:
        self.url = url
        self.patience = patience
        self.requests = self.retries = self.received = 0
        self._bucket = Bucket(url, connections)
        self._lock = Lock()
        self._ended = Event()
        self._failure: StorageError | None = None
        self._random = random.SystemRandom()

    def read(self, key: str, start: int, length: int) -> bytes:
        """Bytes `start` to `start + length`. StorageError names object, bytes, what was tried, and what to do."""
        began, pause_s = time.monotonic(), self.patience.pause_s
        for tried in range(1, self.patience.tries + 1):
            if self._failure is not None:
                raise self._failure
            try:
                return self._once(key, start, length)
            except Exception as error:
                if _is_final(error) or tried == self.patience.tries or self._ended.is_set():
                    raise self._fail(key, start, length, tried, time.monotonic() - began, error) from error
            self._count(retries=1)
            self._ended.wait(pause_s * self._random.uniform(0.5, 1.0))
            pause_s *= 2
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Nobody waits for an answer any more: pauses end, and no request follows."""
        self._ended.set()

    def _once(self, key: str, start: int, length: int) -> bytes:
        self._count(requests=1)
        data = self._bucket.part(key, start, start + length, self.patience.timeout_s)
        self._count(received=len(data))
        if len(data) == length:
            return data
        raise (_TooMuchError if len(data) > length else _TooLittleError)(f"{len(data)} bytes came")

    def _fail(self, key: str, start: int, length: int, tried: int, took_s: float, error: Exception) -> StorageError:
        where = f"{self.url}/{key}, bytes {start} to {start + length}, asked for {tried} times in {took_s:.0f} s"
        if isinstance(error, TimeoutError) and not str(error):
            error = TimeoutError(f"no answer within {self.patience.timeout_s:g} s")
        match error:
            case FileNotFoundError():
                failure = StorageError(f"{where}: it is not there: copy the shards there again")
            case _TooLittleError() | _TooMuchError():
                failure = StorageError(f"{where}: {error}: {error.why}")
            case _:
                failure = bucket_error(where, error)
        with self._lock:
            self._failure = self._failure or failure
        self._ended.set()
        return self._failure

    def _count(self, *, requests: int = 0, retries: int = 0, received: int = 0) -> None:
        with self._lock:
            self.requests += requests
            self.retries += retries
            self.received += received


class _TooLittleError(Exception):
    why = "the object was cut or is another by now; copy the shards there again"


class _TooMuchError(Exception):
    why = "its server gives whole files and knows no range requests; read the copy from another one"


def _is_final(error: Exception) -> bool:
    """Whether asking again helps nothing."""
    final = isinstance(error, FileNotFoundError | PermissionError | _TooMuchError)
    return final or getattr(error, "status", 0) in REFUSED
