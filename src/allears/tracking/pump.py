"""Sends outboxes from a thread while the run goes on; an unreachable MLflow never stops a run."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from allears.errors import AllearsError, LockedError, TrackingError
from allears.storage.lock import locked
from allears.tracking.outbox import ASIDE, LOCK, Outbox
from allears.tracking.run import TrackedRun
from allears.tracking.sender import RefusedError, Sender
from allears.tracking.store import Store
from allears.tracking.system import sample

POLL_S, RETRY_S, SYSTEM_S = 1.0, 20.0, 10.0
log = logging.getLogger("allears.tracking")


class Pump:
    """A thread that sends this command's outbox as it grows, and what earlier ones left (`leftovers`)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own: Sender | None = None
        self._senders: list[Sender] = []
        self._run: TrackedRun | None = None
        self._held = ExitStack()
        self._stop = threading.Event()
        self._deadline = float("inf")
        self._warned: set[str] = set()
        self._samples = 0
        self._thread = threading.Thread(target=self._work, name="mlflow-pump", daemon=True)

    def start(self, leftovers: list[Path], box: Outbox | None = None, run: TrackedRun | None = None) -> None:
        """Begin to send; what another command sends meanwhile is left to it. `run` also gets the machine's load."""
        self._own = Sender(box.folder, self._store) if box else None
        left = [Sender(folder, self._store) for folder in filter(self._mine, leftovers)]
        self._senders = [*([self._own] if self._own else []), *left]
        self._run = run
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Send the rest, for at most `timeout_s`; True when nothing is left."""
        self._deadline = time.monotonic() + timeout_s
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s + 1)
        self._held.close()
        return bool(self._senders) and not self._thread.is_alive() and all(sender.done for sender in self._senders)

    def link(self) -> str | None:
        """Return the address of this command's run, once MLflow has all of it."""
        return self._own.link() if self._own and self._own.done else None

    def _mine(self, leftover: Path) -> bool:
        try:
            self._held.enter_context(locked(leftover / LOCK, "sends what an earlier command left"))
        except LockedError:
            return False
        return True

    def _work(self) -> None:
        next_try = next_sample = 0.0
        while True:
            stopping = self._stop.is_set()
            if self._run is not None and not stopping and time.monotonic() >= next_sample:
                self._sample(self._run)
                next_sample = time.monotonic() + SYSTEM_S
            if stopping or time.monotonic() >= next_try:
                next_try = 0.0 if self._send() else time.monotonic() + RETRY_S
            if stopping:
                return
            self._stop.wait(POLL_S)

    def _send(self) -> bool:
        reached = True
        unreachable: set[str] = set()
        for sender in self._senders:
            if sender.done or sender.store.uri in unreachable or (sender.folder / ASIDE).exists():
                continue
            try:
                while not sender.send(lambda: time.monotonic() > self._deadline):
                    if time.monotonic() > self._deadline:
                        return False
            except RefusedError as error:
                reached = False
                if not (sender.folder / ASIDE).exists():  # said with its reason
                    self._warn(str(sender.folder), error)
            except Exception as error:  # a thread's last border: nothing of this may end a run
                reached = False
                unreachable.add(sender.store.uri)
                self._warn(sender.store.uri, error)
        return reached

    def _warn(self, of: str, error: Exception) -> None:
        if of not in self._warned:
            self._warned.add(of)
            what = str(error) if isinstance(error, TrackingError) else f"{type(error).__name__}: {error}"
            log.warning("%s. The run goes on; what is not sent now is kept and sent by the next command.", what)

    def _sample(self, run: TrackedRun) -> None:
        try:
            run.metrics(sample(), self._samples)
            self._samples += 1
        except AllearsError as error:
            log.debug("no system metrics: %s", error)
