"""The commands people meet. `cli` and `run` are what Kedro looks for: `kedro run` goes through ours, whose errors are
sentences. `main` is the `allears` command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allears.cli.command import cli, run

__all__ = ["cli", "main", "run"]


def main() -> None:
    """`allears …`"""
    from allears.cli.app import app

    app(prog_name="allears")


def __getattr__(name: str) -> Any:
    """Kedro's half is imported when Kedro asks for it: `allears status` needs none of it."""
    if name in ("cli", "run"):
        from allears.cli import command

        return getattr(command, name)
    raise AttributeError(name)
