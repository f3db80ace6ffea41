"""Energy and cost: what a training leaves of them, with the real library."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from allears.errors import ConfigError
from allears.process.energy import METRICS, VARIABLE, Cost, carbon_intensity, read_cost
from allears.process.events import read_events
from allears.reporting.costs import cost_in_words
from allears.storage.files import read_json, write_json
from allears.tracking.headlines import headlines
from tests.pretraining import make_spec, tiny
from tests.processes import LIMIT_S, start, wait_for
from tests.support import make_shards

NO_NETWORK = """
import os, pathlib, socket
def refuse(self, *arguments):
    if self.family != socket.AF_UNIX:
        pathlib.Path(os.environ["HOME"], "network").write_text(str(arguments))
        raise OSError("no network")
socket.socket.connect = socket.socket.connect_ex = refuse
def lookup(*arguments, **more):
    pathlib.Path(os.environ["HOME"], "network").write_text(str(arguments))
    raise OSError("no network")
socket.getaddrinfo = lookup
"""
NO_CODECARBON = 'import sys; sys.modules["codecarbon"] = None'


def environment(folder: Path, program: str) -> dict[str, str]:
    """An environment in which each Python begins with `program`, and whose home is empty."""
    for name in ("site", "home", "tmp"):
        (folder / name).mkdir(parents=True)
    (folder / "site" / "sitecustomize.py").write_text(program)
    path = os.pathsep.join([str(folder / "site"), *sys.path[1:]])
    return {"PYTHONPATH": path, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}


def test_two_trainings_at_once_are_measured_offline_and_leave_no_other_files(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=20)
    env = environment(tmp_path, NO_NETWORK)
    commands = []
    for country in ("FRA", ""):
        spec = make_spec(shards, tmp_path / f"run{country}", tiny(updates=2))
        commands.append((spec, country, start(spec, **env, **{VARIABLE: country})))
    began = time.monotonic()
    for spec, country, command in commands:
        assert command.wait(LIMIT_S) == 0, command.stderr.read()
        cost = read_cost(spec.folder)
        assert cost is not None
        assert cost.energy_kwh is not None
        assert cost.co2e_kg is not None
        assert 0 < cost.device_hours * 3600 <= time.monotonic() - began + 5
        assert 5 < 1000 * cost.energy_kwh / cost.device_hours < 5000, "watts"
        assert cost.co2e_kg / cost.energy_kwh == pytest.approx(0.056 if country else 0.475, rel=0.01)
        assert ("FRA" if country else "world average") in cost.how
        events = [event for event in read_events(spec.folder) if "energy_kwh" in event["values"]]
        assert [event["values"] for event in events] == [cost.metrics()]
        assert (events[0]["kind"], events[0]["step"]) == ("metrics", 2)
        assert events[0]["hours_heard"] > 0
        assert len(list((spec.folder / "cost").iterdir())) == 1
    assert not (tmp_path / "home" / "network").exists()
    assert not [file for name in ("home", "tmp") for file in (tmp_path / name).rglob("*") if "carbon" in file.name]
    assert not Path("emissions.csv").exists()


def test_without_codecarbon_a_training_runs_and_knows_its_hours(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=20)
    spec = make_spec(shards, tmp_path / "run", tiny(updates=2))
    command = start(spec, **environment(tmp_path, NO_CODECARBON))
    assert command.wait(LIMIT_S) == 0, command.stderr.read()
    assert (spec.folder / "receipt.json").exists()
    cost = read_cost(spec.folder)
    assert cost is not None
    assert cost.device_hours > 0
    assert (cost.energy_kwh, cost.co2e_kg) == (None, None)
    assert cost_in_words(cost).endswith("energy unknown: codecarbon is not installed where it ran")
    assert set(read_events(spec.folder)[-2]["values"]) == {"device_hours"}


def test_a_meter_measures_the_process_that_it_is_given(tmp_path: Path) -> None:
    """A busy process costs more than one that sleeps: it is not the meter that is measured."""
    from codecarbon.core.cpu import is_rapl_available

    if is_rapl_available():
        pytest.skip("the processor's counters are those of the whole machine")
    meters = {}
    for name, program in {"busy": "while True: pass", "idle": "import time; time.sleep(600)"}.items():
        (tmp_path / name).mkdir()
        measured = subprocess.Popen([sys.executable, "-c", program])
        command = [sys.executable, "-m", "allears.process.meter", str(tmp_path / name), str(measured.pid), "cpu"]
        meters[name] = measured, subprocess.Popen(command, stdin=subprocess.PIPE)
    time.sleep(6)
    watts = {}
    for name, (measured, meter) in meters.items():
        meter.communicate(timeout=LIMIT_S)
        measured.kill()
        measured.wait()
        (file,) = (tmp_path / name).glob("*.json")
        watts[name] = 3.6e6 * read_json(file)["energy_kwh"] / read_json(file)["seconds"]
    assert watts["busy"] > 1.02 * watts["idle"] > 0


def test_a_meter_ends_with_the_process_that_began_it_and_writes_first(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys, time\n"
        f"command = [sys.executable, '-m', 'allears.process.meter', {str(tmp_path)!r}, str(os.getpid()), 'cpu']\n"
        "meter = subprocess.Popen(command, stdin=subprocess.PIPE)\n"
        "print(meter.pid, flush=True)\n"
        "time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    meter = int(process.stdout.readline())
    wait_for("the first figures", lambda: list(tmp_path.glob("*.json")))
    time.sleep(4)
    process.kill()
    process.wait()
    wait_for("the meter's end", lambda: not Path(f"/proc/{meter}").exists())
    (file,) = tmp_path.glob("*.json")
    assert read_json(file)["seconds"] > 2
    assert read_json(file)["energy_kwh"] > 0


def test_sessions_and_machines_add_up_and_each_way_of_measuring_is_named_with_its_hours(tmp_path: Path) -> None:
    session = {"device": "1 × A", "devices": 1, "seconds": 3600, "energy_kwh": 0.2, "co2e_kg": 0.1, "how": "measured"}
    write_json(tmp_path / "cost" / "1.json", session)
    assert read_cost(tmp_path) == Cost(
        device="1 × A", device_hours=1, energy_kwh=0.2, co2e_kg=0.1, how="measured"
    )  # fmt: skip
    write_json(tmp_path / "cost" / "2.json", session | {"devices": 8, "device": "8 × A"})
    write_json(tmp_path / "cost" / "3.json", session | {"energy_kwh": None, "co2e_kg": None, "how": "unknown"})
    assert read_cost(tmp_path) == Cost(
        device="1 × A, 8 × A", device_hours=10, energy_kwh=0.4, co2e_kg=0.2,
        how="9 device-hours: measured; 1 device-hours: unknown",
    )  # fmt: skip
    assert read_cost(tmp_path / "nothing") is None
    assert cost_in_words(None) == "unknown"


@pytest.mark.parametrize(("country", "words"), [("France", "did you mean 'FRA'"), ("FRB", "did you mean"), ("", "ISO")])
def test_an_unknown_country_is_refused_in_a_sentence(country: str, words: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"cost\.country is '{country}', expected .* such as FRA, or null.*"
    ) as found:
        carbon_intensity(country)
    assert words in str(found.value)


def test_mlflow_shows_the_cost_of_a_training_that_measures_a_lot_else() -> None:
    known: list[str] = []
    headlines({f"dev_error/{number}": 0.5 for number in range(100)}, known)
    assert headlines(dict.fromkeys(METRICS, 1.0) | {"another": 1.0}, known) == dict.fromkeys(METRICS, 1.0)


def test_the_intensity_of_a_country_and_of_the_world() -> None:
    assert carbon_intensity("FRA") == pytest.approx(56.039)
    assert carbon_intensity(None) == 475
