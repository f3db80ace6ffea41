"""The file through which a training is told what to do."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from allears.errors import ConfigError
from allears.params.spec import ADAPTER, AnySpec
from allears.storage.files import storage_error, write_text

SPEC_FILE = "spec.json"
ERROR_FILE = "error.json"  # why the training failed, and the trace of it, beside the spec
TRACE_FILE = "error-traceback.txt"


def forget_errors(folder: Path) -> None:
    """Remove what an earlier try left of why it failed."""
    for name in (ERROR_FILE, TRACE_FILE):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(folder / name, error) from error


def read_spec(path: Path) -> AnySpec:
    """The spec in `path`; ConfigError says what in it is wrong."""
    try:
        return ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise storage_error(path, error) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{path} is not a training's spec: {where or 'the file'}: {first['msg']}. It is written by the pipeline "
            "that starts the training; run that again"
        ) from error


def enter_project(path: Path, spec: AnySpec) -> None:
    """Go into the folder from which the paths in the spec at `path` count: its own folder is one of them.

    A training on the node of a cluster is started from any folder. ConfigError when the spec was moved by itself.
    """
    if spec.folder.is_absolute():
        return
    here = path.absolute().parent
    if here.parts[-len(spec.folder.parts) :] != spec.folder.parts:
        raise ConfigError(
            f"{path} is the spec of {spec.folder}, and lies elsewhere: its paths count from the project's folder. Move "
            "or copy whole projects, and start the training from the spec in its own folder"
        )
    os.chdir(here.parents[len(spec.folder.parts) - 1])


def write_spec(path: Path, spec: AnySpec) -> None:
    """Write `spec` where `read_spec` finds it."""
    write_text(path, spec.model_dump_json(indent=1) + "\n")
