"""What the worker processes of this process use."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import psutil


@dataclass
class Watch:
    """The memory of the workers (not of ffmpeg: it has a limit of its own) while this is open, looked at five times a
    second. `most_mb`: of the largest.
    """

    most_mb: float = 0.0
    _seen: dict[int, list[float]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                try:
                    if "python" in process.name():
                        mb = process.memory_info().rss / 2**20
                        self._seen.setdefault(process.pid, []).append(mb)
                        self.most_mb = max(self.most_mb, mb)
                except psutil.Error:
                    continue

    def grown_mb(self) -> float:
        """The most that one worker's median memory grew from the second quarter of its life to the last."""
        growths = [0.0]
        for mb in self._seen.values():
            quarter = len(mb) // 4
            if quarter >= 5:
                growths.append(float(np.median(mb[-quarter:]) - np.median(mb[quarter : 2 * quarter])))
        return max(growths)
