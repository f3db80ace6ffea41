"""Energy and cost of a training: a meter beside it writes what each session used, and this module adds the sessions up.

The meter (`process/meter.py`) is a process of its own: the training imports nothing for it, shares no thread with it,
and cannot fail or change because of it. It outlives a killed training by a moment, so that what was used is written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from allears.errors import ConfigError, StorageError, nearest
from allears.params.spec import AnySpec
from allears.process.events import EventLog, read_events
from allears.storage.files import read_json
from allears.storage.receipt import read_receipt

FOLDER = "cost"  # in a run's folder: one JSON file per session and machine
VARIABLE = "ALLEARS_COUNTRY"  # `cost.country` of the configuration, for trainings that this process starts
METRICS = ("device_hours", "energy_kwh", "co2e_kg")
STOP_S = 5.0  # how long a finished training waits for the meter's last figures
_TABLES = Path("data", "private_infra")  # of codecarbon


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of all sessions of a training so far; None is unknown.

    `device_hours`: hours × GPUs, or × machines without a GPU; `how`: how it was obtained, and how far it may be off.
    """

    device: str
    device_hours: float
    energy_kwh: float | None
    co2e_kg: float | None
    how: str

    def metrics(self) -> dict[str, float]:
        """The known figures, by the names that MLflow shows."""
        values = zip(METRICS, (self.device_hours, self.energy_kwh, self.co2e_kg), strict=True)
        return {name: value for name, value in values if value is not None}


@contextmanager
def measured(spec: AnySpec) -> Iterator[None]:
    """Measure the training in the block, and log to `events.jsonl` what all sessions of it have used.

    Local rank 0 measures for its machine, rank 0 logs. No failure of the meter reaches the training.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0" or read_receipt(spec.folder, spec.identity) is not None:
        yield
        return
    meter = _start(spec)
    try:
        yield
    finally:
        with suppress(Exception):
            _stop(meter)
            if os.environ.get("RANK", "0") == "0":
                _log(spec.folder)


def read_cost(folder: Path) -> Cost | None:
    """Cost of the training in `folder`; None where no session of it left anything readable."""
    sessions: list[dict[str, Any]] = []
    for file in sorted((folder / FOLDER).glob("*.json")):
        with suppress(StorageError):
            sessions.append(read_json(file))
    if not sessions:
        return None
    return Cost(
        device=", ".join(dict.fromkeys(each["device"] for each in sessions)),
        device_hours=sum(_hours(each) for each in sessions),
        energy_kwh=_sum(sessions, "energy_kwh"),
        co2e_kg=_sum(sessions, "co2e_kg"),
        how="; ".join(_ways(sessions)),
    )


def carbon_intensity(country: str | None) -> float:
    """Return g CO2e per kWh of electricity in `country` (ISO 3166, three letters), or of the world on average.

    Reads codecarbon's tables without importing it. ConfigError for a country that they lack; ImportError without it.
    """
    package = find_spec("codecarbon")
    if package is None or not package.submodule_search_locations:
        raise ImportError("codecarbon is not installed")
    tables = Path(package.submodule_search_locations[0]) / _TABLES
    if country is None:
        return float(json.loads((tables / "carbon_intensity_per_source.json").read_text())["world_average"])
    mixes = json.loads((tables / "global_energy_mix.json").read_text())
    if country not in mixes:
        codes = {mix["country_name"].lower(): code for code, mix in mixes.items()}
        found = codes.get(country.lower())
        hint = f"; did you mean '{found}'?" if found else nearest(country.upper(), mixes)
        raise ConfigError(
            f"cost.country is '{country}', expected a country's three-letter code (ISO 3166) such as FRA, or null for "
            f"the world average{hint or '.'}"
        )
    return float(mixes[country]["carbon_intensity"])


def _start(spec: AnySpec) -> subprocess.Popen[bytes] | None:
    cpu_only = spec.task == "pretrain" and spec.pretrain.accelerator == "cpu"
    folder = spec.folder.absolute() / FOLDER
    told = [str(folder), str(os.getpid()), "cpu" if cpu_only else "auto"]
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        quiet = subprocess.DEVNULL
        command = [sys.executable, "-m", "allears.process.meter", *told]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
    return None


def _stop(meter: subprocess.Popen[bytes] | None) -> None:
    if meter is None or meter.stdin is None:
        return
    meter.stdin.close()  # it reads the end of this process from there, however that came
    try:
        meter.wait(STOP_S)
    except subprocess.TimeoutExpired:
        meter.kill()
        meter.wait()


def _log(folder: Path) -> None:
    """Append the sums to the log of events, at the last step that is there."""
    cost = read_cost(folder)
    events = read_events(folder)
    if cost is not None and events:
        step, hours = int(events[-1]["step"]), float(events[-1]["hours_heard"])
        log = EventLog(folder)
        log.metrics(step, hours, cost.metrics())
        log.note(step, hours, {"cost": cost.how})


def _hours(session: Mapping[str, Any]) -> float:
    return float(session["devices"]) * float(session["seconds"]) / 3600


def _sum(sessions: list[dict[str, Any]], name: str) -> float | None:
    known = [float(each[name]) for each in sessions if each[name] is not None]
    return sum(known) if known else None


def _ways(sessions: list[dict[str, Any]]) -> Iterator[str]:
    """Each way of measuring once; with its device-hours where there is more than one."""
    ways = list(dict.fromkeys(each["how"] for each in sessions))
    for way in ways:
        hours = sum(_hours(each) for each in sessions if each["how"] == way)
        yield f"{hours:.3g} device-hours: {way}" if len(ways) > 1 else str(way)
