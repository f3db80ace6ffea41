"""Who runs a command."""

from __future__ import annotations

import getpass


def user() -> str:
    """The user's name; nobody in a container whose user has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
