"""A small HTTP server of files with range requests, which delays, stalls, cuts, lies and fails as it is told.

`python -m tests.range_server FOLDER --delay-s 0.02` serves a folder from a process of its own and prints its URL.
"""

from __future__ import annotations

import argparse
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

Fault = Literal["500", "404", "403", "stall", "cut", "flip", "short", "whole"] | None


@dataclass
class Faulty:
    """What the server does: `fault_of` is asked with the number of each request (from 0) and its path; `asked` keeps
    the paths, `most_at_once` how many requests it was answering at a time.
    """

    folder: Path
    delay_s: float = 0.0
    fault_of: Callable[[int, str], Fault] = lambda number, path: None
    url: str = ""
    asked: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def begin(self, path: str) -> Fault:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.asked.append(path)
            return self.fault_of(len(self.asked) - 1, path)

    def end(self) -> None:
        with self._lock:
            self._now -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        plan: Faulty = self.server.plan  # type: ignore[attr-defined]
        fault = plan.begin(self.path)
        try:
            time.sleep(plan.delay_s)
            with suppress(BrokenPipeError, ConnectionResetError):
                self._answer(plan, fault)
        finally:
            plan.end()

    def _answer(self, plan: Faulty, fault: Fault) -> None:
        file = plan.folder / self.path.lstrip("/")
        if fault == "stall":
            plan._over.wait()
            self.close_connection = True
            return
        if fault in ("500", "404", "403") or not file.is_file():
            self._head(int(fault or 404), 0)
            return
        size = file.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        first, last = (int(asked[1]), min(int(asked[2]), size - 1)) if asked and fault != "whole" else (0, size - 1)
        with file.open("rb") as stream:
            stream.seek(first)
            data = stream.read(last - first + 1)
        if fault == "flip":
            data = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
        if fault == "short":
            data = data[: len(data) // 2]
        self._head(206 if asked else 200, len(data))
        if fault == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data)
        self.wfile.flush()

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serving(folder: Path, delay_s: float = 0.0) -> Iterator[Faulty]:
    """The files of `folder`, from threads of this process."""
    plan = Faulty(folder, delay_s)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.plan = plan  # type: ignore[attr-defined]
    plan.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield plan
    finally:
        plan._over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--delay-s", type=float, default=0.0)
    given = parser.parse_args()
    with serving(given.folder, given.delay_s) as plan:
        print(plan.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
