"""A training process dies with the command that started it, however that died."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT = "ALLEARS_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; exit if it died before we could ask.

    Does nothing when no parent is named in the environment (under torchrun, which sees to it itself).
    Linux only; elsewhere the child of a killed command trains on to its end, and a rerun adopts the result.
    """
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        os._exit(1)
