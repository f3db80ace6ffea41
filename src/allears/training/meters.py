"""Sums over the updates since the last row of metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allears.training.guards import codebook_use
from allears.training.module import UpdateFacts, add_histograms, add_sums
from allears.training.ranks import Ranks


@dataclass(slots=True)
class Meters:
    """Adds up facts of updates, on the device; `read` adds up those of all ranks, takes means and starts again.

    `hours`: of audio processed at the last reading.
    """

    ranks: Ranks = field(default_factory=Ranks)
    updates: int = 0
    clips: int = 0
    learning_rate: float = 0.0
    sums: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    histograms: dict[str, Tensor] = field(default_factory=dict)
    norms: list[Tensor] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)
    waited_s: float = 0.0
    hours: float = 0.0

    def add(self, facts: UpdateFacts) -> None:
        """One update more."""
        self.updates += 1
        self.clips += facts.clips
        self.learning_rate = facts.learning_rate
        self.norms.append(facts.gradient_norm.detach())
        add_sums(self.sums, facts.metrics)
        add_histograms(self.histograms, facts.histograms)

    def read(self, hours: float, waited_s: float, paused_s: float) -> dict[str, float]:
        """Return means over the updates, and speed.

        `hours`: of audio processed by now; `waited_s`: all that was waited for data so far; `paused_s`: spent on
        validation and checkpoints since the last reading, which is no training.
        """
        now = time.perf_counter()
        seconds = max(1e-9, now - self.began - paused_s)
        sums, histograms, waited_s = self._of_all_ranks(waited_s)
        values = {name: total / max(1.0, count) for name, (total, count) in sums.items()}
        for name, counts in histograms.items():
            share, perplexity = codebook_use(counts)
            values |= {f"{name}_used_share": share, f"{name}_perplexity": perplexity}
        norms = torch.stack(self.norms)
        values |= {
            "gradient_norm": float(norms.mean()),
            "gradient_norm_max": float(norms.max()),
            "learning_rate": self.learning_rate,
            "times_real_time": 3600 * (hours - self.hours) / seconds,
            "updates_a_second": self.updates / seconds,
            "clips_an_update": self.clips / self.updates,
            "data_wait_share": (waited_s - self.waited_s) / seconds,
        }
        self.updates = self.clips = 0
        self.sums, self.histograms, self.norms = {}, {}, []
        self.began, self.waited_s, self.hours = now, waited_s, hours
        return values

    def _of_all_ranks(
        self, waited_s: float
    ) -> tuple[dict[str, tuple[float, float]], dict[str, NDArray[np.int64]], float]:
        """Sums, histograms, and the longest wait: for the slowest all wait."""
        own_sums = {name: (float(total), float(count)) for name, (total, count) in self.sums.items()}
        own_histograms = {name: np.asarray(each.cpu(), dtype=np.int64) for name, each in self.histograms.items()}
        sums: dict[str, tuple[float, float]] = {}
        histograms: dict[str, NDArray[np.int64]] = {}
        everybody = self.ranks.gather((own_sums, own_histograms, waited_s))
        for some_sums, some_histograms, _ in everybody:
            add_sums(sums, some_sums)
            add_histograms(histograms, some_histograms)
        return sums, histograms, max(waited for _, _, waited in everybody)
