"""Measure one session of a training, until it ends: `python -m allears.process.meter FOLDER PID auto|cpu`.

Writes one file in FOLDER every WRITE_S and when standard input closes: then process PID, which holds its other end, is
done or dead. Energy comes from codecarbon, where it is installed; hours need nothing. Nothing is sent anywhere.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from allears.errors import AllearsError
from allears.process.energy import VARIABLE, carbon_intensity
from allears.storage.files import write_json

WRITE_S = 30.0
NEVER_S = 1e6  # codecarbon's own clock: two threads that measure would count an interval twice


class Meter:
    """codecarbon's tracker for process `pid` and all that it starts. Raises whatever codecarbon raises.

    GPUs and RAPL's counters are measured as a whole. A processor without counters is estimated: its rated power × the
    share of its time that the process used (of several processes of a training: that the machine was busy).
    """

    def __init__(self, pid: int, accelerator: str) -> None:
        import psutil
        from codecarbon import OfflineEmissionsTracker

        _name_processor()
        country = os.environ.get(VARIABLE) or None
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.intensity_g = carbon_intensity(country)
        self.total: Any = None
        self._tracker = OfflineEmissionsTracker(
            tracking_mode="machine" if processes > 1 else "process",
            gpu_ids=[] if accelerator == "cpu" else _visible_gpus()[:processes],
            force_carbon_intensity_g_co2e_kwh=self.intensity_g,
            measure_power_secs=NEVER_S,
            api_call_interval=-1,
            output_handlers=[self],
            output_methods=[],
            emissions_endpoint=None,
            allow_multiple_runs=True,
            log_level="error",
            **_options(),
        )  # what the user's own configuration of codecarbon might send somewhere is switched off here
        found = self._tracker.get_detected_hardware()
        parts = self._tracker._hardware  # noqa: SLF001
        if processes == 1:  # codecarbon means its own process, and offers no way to name another
            for part in parts:
                part._pid, part._process = pid, psutil.Process(pid)  # noqa: SLF001
        self._tracker.start()
        model = "" if accelerator == "cpu" else str(found["gpu_model"] or "")  # `2 x NVIDIA H200`: all of the machine
        gpus = min(len(_visible_gpus()[:processes]), int(found["gpu_count"])) if model else 0
        self.devices = gpus or 1
        self.device = f"{gpus} × {model.partition(' x ')[2]}" if gpus else str(found["cpu_model"])
        where = country or "world average, as cost.country is not set"
        gpu = "GPU measured by its own sensor (NVML), " if gpus else ""
        self.how = (
            f"{gpu}{_in_words(parts)}, memory estimated from its size; {self.intensity_g:.0f} g CO2e per kWh ({where})"
        )

    def out(self, total: Any, delta: Any) -> None:
        """Take the sums since the start (called by codecarbon)."""
        del delta
        self.total = total

    def exit(self) -> None:
        """Nothing to close (called by codecarbon)."""

    def energy_kwh(self, seconds: float, *, last: bool) -> float | None:
        """Energy of the session, `seconds` long; those before codecarbon ran count at the mean power of the rest."""
        if last:
            self._tracker.stop()
        else:
            self._tracker.flush()
        if self.total is None or self.total.duration <= 0:
            return None
        return float(self.total.energy_consumed) * max(1.0, seconds / float(self.total.duration))


def main(arguments: list[str]) -> int:
    """Measure until standard input closes. Returns the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT):  # meant for the training, whose end is this one's too
        signal.signal(number, signal.SIG_IGN)
    folder, pid, accelerator = Path(arguments[0]), int(arguments[1]), arguments[2]
    began = time.monotonic()
    file = folder / f"{time.time():.0f}-{secrets.token_hex(4)}.json"
    record: dict[str, Any] = {"devices": 1, "device": "unknown device", "energy_kwh": None, "co2e_kg": None}
    record["how"] = "energy unknown: codecarbon had measured nothing when it ended"
    _write(file, record, began)
    meter: Meter | None = None
    try:
        meter = Meter(pid, accelerator)
        record |= {"devices": meter.devices, "device": meter.device}
    except ImportError:
        record["how"] = "energy unknown: codecarbon is not installed where it ran"
    except Exception as error:
        record["how"] = f"energy unknown: codecarbon failed ({type(error).__name__}: {error})"
    last = False
    while not last:
        last = bool(select.select([sys.stdin], [], [], WRITE_S)[0])
        if meter is not None:
            with suppress(Exception):
                energy = meter.energy_kwh(time.monotonic() - began, last=last)
                if energy is not None:
                    co2e = energy * meter.intensity_g / 1000
                    record |= {"energy_kwh": energy, "co2e_kg": co2e, "how": meter.how}
        _write(file, record, began)
    return 0


def _options() -> dict[str, Any]:
    """What codecarbon must be told of a virtual machine: it would take the rated power of a processor of which this
    machine has a few threads for its own.
    """
    import psutil
    from codecarbon.core.config import get_hierarchical_config
    from codecarbon.core.cpu import is_rapl_available

    if is_rapl_available() or "force_cpu_power" in get_hierarchical_config() or not _is_virtual():
        return {}
    return {"force_cpu_power": _by_threads(psutil.cpu_count() or 1)}


def _by_threads(threads: int) -> int:
    """Watts of a processor of which only the number of threads is known, as codecarbon counts."""
    from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE

    return int(DEFAULT_POWER_PER_CORE) * threads


def _in_words(parts: list[Any]) -> str:
    """How codecarbon obtains the power of the processor, one of `parts` of the machine."""
    cpu: Any = next((part for part in parts if hasattr(part, "_mode")), None)
    mode = getattr(cpu, "_mode", "own sensors")
    if mode == "intel_rapl":
        return "processor measured (RAPL, with whatever else ran on it)"
    if mode != "cpu_load":
        return f"processor by codecarbon's {mode}"
    known = cpu._tdp not in (85, _by_threads(cpu._cpu_count))  # noqa: SLF001 - 85: codecarbon's guess without a model
    source, factor = ("its rated power", "two") if known else ("rated power unknown", "three")
    return f"processor estimated from {cpu._tdp:.0f} W at full use ({source}; may be off by a factor of {factor})"  # noqa: SLF001


def _name_processor() -> None:
    """Give codecarbon the name in /proc/cpuinfo: py-cpuinfo, which it asks, spends a second on finding it."""
    import cpuinfo

    with suppress(OSError, IndexError):
        name = Path("/proc/cpuinfo").read_text().split("model name\t: ")[1].splitlines()[0]
        cpuinfo.get_cpu_info = lambda: {"brand_raw": name}


def _is_virtual() -> bool:
    with suppress(OSError):
        return " hypervisor" in Path("/proc/cpuinfo").read_text()
    return False


def _visible_gpus() -> list[str]:
    """GPUs that a training may use, in CUDA's order: numbers or identifiers."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(number) for number in range(64)] if named is None else [each for each in named.split(",") if each]


def _write(file: Path, record: dict[str, Any], began: float) -> None:
    with suppress(AllearsError):  # a full disk: the next figures hold these
        if file.parent.exists():
            write_json(file, record | {"seconds": round(time.monotonic() - began, 3)})


if __name__ == "__main__":
    for name in ("SLURM_JOB_ID", "SLURM_JOBID"):  # codecarbon would ask the cluster's controller
        os.environ.pop(name, None)
    sys.exit(main(sys.argv[1:]))
