"""Errors at the end of a command: one readable sentence on stderr, a traceback only when asked for."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from allears.errors import AllearsError
from allears.storage.files import storage_error

INTERRUPTED = 130
VERBOSE = "ALLEARS_VERBOSE"
EXPECTED_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def sentences(*, verbose: bool = False) -> Iterator[None]:
    """Run the body of a command; what it raises ends it with a sentence and a non-zero exit status."""
    if verbose:
        os.environ[VERBOSE] = "1"  # child processes too
    try:
        yield
    except KeyboardInterrupt:
        _say("\nStopped. What was finished is kept; the same command goes on where it stopped.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if _is_clicks(error):
            raise
        if os.environ.get(VERBOSE):
            traceback.print_exc()
        _say(sentence(error))
        sys.exit(1)


def sentence(error: BaseException) -> str:
    """The most telling sentence in an error and its causes."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, AllearsError):
            return f"Error: {each}"
    for each in chain:
        if isinstance(each, OSError) and each.errno in EXPECTED_ERRNOS:
            return f"Error: {storage_error(Path(each.filename or '.'), each)}"
        if isinstance(each, MemoryError):
            return "Error: the memory of this machine is used up; close other programs, or lower the batch sizes"
    if type(error).__module__.startswith(("kedro.", "pandera.")) or isinstance(error, ValueError):
        text = " ".join(str(error).split())
        return f"Error: {text}\n(-v shows where it comes from)"
    return (
        f"Error: {type(error).__name__}: {error}\nallears did not foresee this. -v shows where it comes from; what was "
        "finished is kept, and the same command goes on where it stopped."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _is_clicks(error: Exception) -> bool:
    """Whether click itself shows it: a wrong option, an unknown command."""
    return type(error).__module__.startswith("click.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is where errors are printed
