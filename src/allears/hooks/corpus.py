"""Before a run: check the parameters, take the corpus for ourselves, remember what the command says of it, say it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from rich.text import Text

from allears.corpus.settings import remember
from allears.corpus.version import version_of
from allears.corpus.withdrawal import note_file
from allears.hooks.parameters import check_parameters
from allears.params.base import Paths
from allears.params.corpus import CorpusSettings
from allears.reporting.screen import plain
from allears.storage.bucket import typed_path
from allears.storage.lock import locked


class CorpusHook:
    """Names, remembers and locks the corpus of a run."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self._paths = Paths(corpus="")
        self._ingest: dict[str, Any] = {}
        self._version: str | None = None
        self._console = plain(stderr=True, soft_wrap=True)

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters before Kedro builds anything from them, and work from the project's folder."""
        parameters = context.config_loader["parameters"]
        check_parameters(parameters, context.config_loader.runtime_params or {})
        self._paths = Paths(**parameters["paths"])
        self._ingest = dict(parameters.get("ingest", {}))
        if self._ingest.get("path"):  # relative to where the command was typed
            self._ingest["path"] = typed_path(self._ingest["path"])
        os.chdir(context.project_path)  # all outputs, and the paths noted in them, are relative to it

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Lock, remember and print the corpus and its version."""
        names = run_params.get("pipeline_names") or ["__default__"]
        corpus = self._paths.corpus
        self._held.close()
        self._held.enter_context(
            locked(self._paths.data / ".locks" / f"{corpus}.lock", f"kedro run {','.join(names)}", f"corpus '{corpus}'")
        )
        try:
            given = {key: self._ingest.get(key) for key in ("path", "layout", "licence", "label")}
            settings = remember(self._paths, corpus, **given)
            self._finish_withdrawal()
        except BaseException:
            self._held.close()
            raise
        self._version = version_of(self._paths)
        self._console.print(describe(settings, self._version))

    def _finish_withdrawal(self) -> None:
        """A withdrawal that was killed comes first: nothing may be trained on what must go."""
        if not note_file(self._paths).exists():
            return
        from allears.cli.withdrawal import finish

        self._console.print("A withdrawal was interrupted: it is finished first")
        finish(self._paths)

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Say when the corpus has another version now, and let the next command have it."""
        version = version_of(self._paths)
        if version != self._version:
            self._console.print(Text.assemble("Corpus ", (self._paths.corpus, "bold"), f" is now version {version}"))
        self._held.close()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Let the next command have the corpus."""
        self._held.close()


def describe(settings: CorpusSettings, version: str | None) -> Text:
    """The line that every command prints first."""
    sources = "; ".join(f"{s.path} ({s.layout or 'layout detected'}, {s.licence})" for s in settings.sources)
    return Text.assemble("Corpus ", (settings.corpus, "bold"), f", version {version or 'none yet'}: {sources}")
