"""One line for the person who waits; the parent shows it as it comes."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print `line` at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
