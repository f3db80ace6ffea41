"""After a run: the verdict of its audit and the pages that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from allears.hooks.logged import PAGES
from allears.params.base import Paths
from allears.storage.files import read_json, write_json

TOLD = "verdict.json"  # figures of the last audit whose verdict was printed: a run that was killed before is none
WIDTH = 80


class VerdictHook:
    """Prints the verdict of an audit, also when a later step fails, and the files of pages."""

    def __init__(self) -> None:
        self._catalog: CatalogProtocol | None = None
        self._summary: dict[str, Any] | None = None
        self._pages: dict[str, Path] = {}

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Begin without anything to say."""
        del pipeline
        self._catalog, self._summary, self._pages = catalog, None, {}

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Note the summary and the pages."""
        if dataset_name == "audit_summary":
            self._summary = data
        if dataset_name in PAGES and self._catalog is not None:
            self._pages[dataset_name] = Path(self._catalog[dataset_name]._filepath)  # noqa: SLF001 - as in `logged`

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Print them."""
        self._tell()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Print what there is before the error is printed."""
        self._tell()

    def _tell(self) -> None:
        from allears.reporting.screen import plain
        from allears.reporting.terminal import console
        from allears.reporting.verdict import figures, verdict_lines

        screen = plain(width=min(console().width, WIDTH))
        if self._summary is not None and self._catalog is not None:
            paths = Paths.model_validate(dict(self._catalog.load("params:paths")))
            told = paths.primary / TOLD
            for line in verdict_lines(self._summary, read_json(told) if told.exists() else None):
                screen.print(line)
            write_json(told, figures(self._summary))
        for name in sorted(self._pages, key=PAGES.index):
            file = _short(self._pages[name])
            screen.print(f"{'Page' if file.suffix == '.html' else 'File'}: {file}", soft_wrap=True)
        self._summary, self._pages = None, {}


def _short(file: Path) -> Path:
    """The file as seen from the project's folder, in which a run works."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
