"""Check before a run that what its first steps read is there."""

from __future__ import annotations

from kedro.io import CatalogProtocol, MemoryDataset
from kedro.pipeline import Pipeline

from allears.datasets import OptionalHandleDataset
from allears.errors import CorpusError, run_command


def check_inputs(pipeline: Pipeline, catalog: CatalogProtocol, corpus: str) -> None:
    """Raise CorpusError with the pipeline that makes what is missing, as where a run begins in the middle."""
    for name in sorted(pipeline.inputs()):
        if name == "parameters" or name.startswith("params:"):
            continue
        dataset = catalog[name]
        if isinstance(dataset, OptionalHandleDataset) or dataset.exists():
            continue
        maker = _maker(name)
        how = f"Type\n  {run_command(maker, {'corpus': corpus})}"
        if isinstance(dataset, MemoryDataset):
            raise CorpusError(f"'{name}' is kept within a run only: pipeline '{maker}' must run as a whole. {how}")
        raise CorpusError(f"'{name}' of corpus '{corpus}' is not made yet: pipeline '{maker}' makes it. {how}")


def _maker(dataset: str) -> str:
    """The pipeline with a step that makes it."""
    from allears.pipeline_registry import steps

    return next((name for name, step in steps().items() if dataset in step.all_outputs()), "__default__")
