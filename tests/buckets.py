"""A real S3 server (moto's) in this process, which counts what is asked of it and fails when it is told to."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from moto.backends import get_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None: ...  # noqa: A002


@dataclass
class Store:
    """Its `got` are the keys of which bytes were asked, in order, `put` those that were put; `listed` counts listings;
    after `breaks_at` keys it answers that it is out of order, and after each it calls `then`.
    """

    url: str = ""
    got: list[str] = field(default_factory=list)
    put: list[str] = field(default_factory=list)
    listed: int = 0
    breaks_at: int | None = None
    then: Any = None

    @property
    def environment(self) -> dict[str, str]:
        """What leads any S3 library here."""
        return KEYS | {"AWS_ENDPOINT_URL": self.url, "AWS_MAX_ATTEMPTS": "1"}

    @cached_property
    def client(self) -> Any:
        """boto3's, as people fill buckets."""
        import boto3

        session = boto3.Session(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
        return session.client("s3", endpoint_url=self.url)

    def upload(self, folder: Path, bucket: str, prefix: str) -> str:
        """Everything below `folder`; its URL."""
        client = self.client
        client.create_bucket(Bucket=bucket)
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                client.upload_file(str(file), bucket, f"{prefix}/{file.relative_to(folder).as_posix()}")
        return f"s3://{bucket}/{prefix}"

    def empty(self) -> None:
        """Nothing lies in it, nothing was asked of it, nothing is out of order."""
        get_backend("s3").reset()
        self.got, self.put, self.listed, self.breaks_at, self.then = [], [], 0, None, None

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        """WSGI."""
        parts = environ["PATH_INFO"].strip("/").split("/", 1)
        reads = environ["REQUEST_METHOD"] == "GET" and "HTTP_HOST" in environ
        if reads and len(parts) == 2 and not parse_qs(environ.get("QUERY_STRING", "")).get("list-type"):
            if self.breaks_at is not None and len(self.got) >= self.breaks_at:
                start("503 Service Unavailable", [("Content-Length", "0")])
                return [b""]
            self.got.append(parts[1])
            if self.then is not None:
                self.then(self)
        elif reads:
            self.listed += 1
        elif environ["REQUEST_METHOD"] == "PUT" and len(parts) == 2:
            self.put.append(parts[1])
        return self._app(environ, start)

    def __post_init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)


@contextmanager
def serving() -> Iterator[Store]:
    """A store that is empty."""
    store = Store()
    server = make_server("127.0.0.1", 0, store, threaded=True, request_handler=_Quiet)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """The environment with `values` while this is open."""
    from s3fs import S3FileSystem

    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    S3FileSystem.clear_instance_cache()  # they are kept, and know an environment
    try:
        yield
    finally:
        S3FileSystem.clear_instance_cache()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
