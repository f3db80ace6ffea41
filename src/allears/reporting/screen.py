"""Where people read what a command says: names, paths and texts of a corpus are shown as they are."""

from __future__ import annotations

from rich.console import Console


def plain(*, stderr: bool = False, soft_wrap: bool = False, width: int | None = None) -> Console:
    """A console to which `[laughter]` and `:smile:` are text, no style and no picture.

    In rich's own they vanish or turn into something else, in cells of tables too, and `[/music]` is an error. What
    shall be bold is a `rich.text.Text`.
    """
    return Console(markup=False, emoji=False, highlight=False, stderr=stderr, soft_wrap=soft_wrap, width=width)
