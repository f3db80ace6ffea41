"""Before a run: check the parameters, take the corpus for ourselves, remember what the command says of it, say it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from rich.text import Text

from allears.corpus.settings import recall, remember
from allears.corpus.version import version_of
from allears.corpus.withdrawal import note_file
from allears.hooks.inputs import check_inputs
from allears.hooks.logged import asked_pipelines
from allears.hooks.parameters import check_parameters
from allears.params.base import Paths
from allears.params.corpus import ColumnNames, CorpusSettings
from allears.params.pretrain import PretrainParams
from allears.reporting.screen import plain
from allears.storage.bucket import typed_path
from allears.storage.lock import locked
from allears.storage.portable import portable_values


class CorpusHook:
    """Names, remembers and locks the corpus of a run."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self._paths = Paths(corpus="")
        self._pretrain = PretrainParams()
        self._ingest: dict[str, Any] = {}
        self._version: str | None = None
        self._console = plain(stderr=True, soft_wrap=True)

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters before Kedro builds anything from them, and work from the project's folder."""
        parameters = context.config_loader["parameters"]
        check_parameters(parameters, context.config_loader.runtime_params or {})
        self._paths = Paths(**parameters["paths"])
        self._pretrain = PretrainParams.model_validate(parameters.get("pretrain", {}))
        self._ingest = dict(parameters.get("ingest", {}))
        if self._ingest.get("path"):  # relative to where the command was typed
            self._ingest["path"] = typed_path(self._ingest["path"])
        os.chdir(context.project_path)  # all outputs, and the paths noted in them, are relative to it
        given = context.config_loader.runtime_params
        if given:  # a path below the project that was typed whole is noted as any other
            given.update(portable_values(dict(given)))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Lock, remember and print the corpus and its version, and others that a pretraining hears with it."""
        doing = f"kedro run {','.join(asked_pipelines(run_params))}"
        self._held.close()
        try:
            self._lock(self._paths, doing)
            given = {key: self._ingest.get(key) for key in ("path", "layout", "licence", "label")}
            columns = ColumnNames.model_validate(self._ingest.get("columns", {}))
            settings = [remember(self._paths, self._paths.corpus, **given, columns=columns)]
            others = self._others() if "params:pretrain" in pipeline.inputs() else []
            for other in others:
                settings.append(recall(other, other.corpus))
                self._lock(other, f"{doing}, of corpus '{self._paths.corpus}'")
            for each in (self._paths, *others):
                self._finish_withdrawal(each)
            if not run_params.get("only_missing_outputs"):
                check_inputs(pipeline, catalog, self._paths.corpus)
        except BaseException:
            self._held.close()
            raise
        self._version = version_of(self._paths)
        self._console.print(describe(settings[0], self._version))
        for other, known in zip(others, settings[1:], strict=True):
            self._console.print(Text.assemble("Heard with it: ", describe(known, version_of(other))))

    def _others(self) -> list[Paths]:
        """Corpora that a pretraining hears with this one; what is wrong with them is said before hours of decoding."""
        if not self._pretrain.corpora:
            return []
        from allears.pipelines.pretrain.corpora import find_others

        found = find_others(self._pretrain, self._paths)
        return [Paths(corpus=one.corpus, data=self._paths.data) for one in found]

    def _lock(self, paths: Paths, doing: str) -> None:
        lock = paths.data / ".locks" / f"{paths.corpus}.lock"
        self._held.enter_context(locked(lock, doing, f"corpus '{paths.corpus}'"))

    def _finish_withdrawal(self, paths: Paths) -> None:
        """A withdrawal that was killed comes first: nothing may be trained on what must go."""
        if not note_file(paths).exists():
            return
        from allears.cli.withdrawal import finish

        self._console.print(f"A withdrawal from corpus '{paths.corpus}' was interrupted: it is finished first")
        finish(paths)

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
