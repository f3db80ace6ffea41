"""The event log of a training as a logger of Lightning: the parent forwards it to MLflow."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning.loggers import Logger

from allears.process.events import EventLog


class EventLogger(Logger):
    """Writes to `log`, on the first rank; `hours` gives the hours of audio processed by now."""

    def __init__(self, log: EventLog, hours: Callable[[], float]) -> None:
        super().__init__()
        self.log = log
        self.hours = hours

    @property
    def name(self) -> str:
        """The file's name."""
        return self.log.path.name

    @property
    def version(self) -> str:
        """The name of the run."""
        return self.log.path.parent.name

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write numbers at `step`."""
        self.log.metrics(step or 0, self.hours(), metrics)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write settings."""
        del args, kwargs
        self.log.params(params if isinstance(params, dict) else vars(params))

    def note(self, step: int, values: Mapping[str, str]) -> None:
        """Write words, such as a guard's warning."""
        self.log.note(step, self.hours(), values)
