"""One training on this machine's cores: processes × threads, on a free and on a busy machine, and against other code.

Run `python tests/benchmark/bench_processes.py [--against CHECKOUT] [--rounds N] [--updates N] [OBJECTIVE]`.
The recipe is that of `conf/base` on synthetic shards. With several processes the seconds of a micro-batch are shared
out, so each row processes the same audio per update. Times real time is audio over wall time between the first and the
last row of training metrics: start-up, the last checkpoint and the row of its cost are not counted. Busy: as many
processes as cores count in a loop, with no priority over the training.

`--against` measures another checkout (its own code, tests and conf) in turns with this one. Each figure is the median
over the rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUPS = ((1, 2), (1, 1), (2, 1))  # processes, threads of each
# Runs in the checkout that is measured: writes a spec for this many processes, and trains it.
CHILD = """
import sys
from pathlib import Path
import yaml
from allears.params.pretrain import PretrainParams
from tests.pretraining import make_spec
from tests.support import make_shards
try:
    from allears.process.launch import launch
except ImportError:
    from allears.training.launch import launch
if __name__ == "__main__":
    folder, processes, updates, objective = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    values = yaml.safe_load(Path("conf/base/parameters_pretrain.yml").read_text())["pretrain"]
    values["batch"] |= {"seconds": values["batch"]["seconds"] / processes, "micro_batches": processes}
    values |= {"updates": updates, "validate_batches": 0, "checkpoint_every": 10**6, "processes": processes,
               "objective": objective, "accelerator": "cpu"}
    spec = make_spec(make_shards(folder / "shards", clips=200, seconds=4.0), folder / "run",
                     PretrainParams.model_validate(values))
    spec.folder.mkdir()
    launch(spec, spec.folder)
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("objective", nargs="?", default="masked_units")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=50)
    asked = parser.parse_args()
    trees = {"this code": ROOT} | ({"other code": asked.against.resolve()} if asked.against else {})
    print(f"{asked.objective}, {asked.updates} updates of 10 s, {asked.rounds} rounds, {os.cpu_count()} cores")
    print(f"{'processes × threads':22}{'machine':10}" + "".join(f"{name:>14}" for name in trees) + f"{'ratio':>8}")
    for busy in (False, True):
        for processes, threads in SETUPS:
            found: dict[str, list[float]] = {name: [] for name in trees}
            for number in range(asked.rounds):
                for name, tree in sorted(trees.items(), reverse=bool(number % 2)):
                    with burning(os.cpu_count() or 1 if busy else 0):
                        found[name].append(times_real_time(tree, asked.objective, asked.updates, processes, threads))
            medians = [statistics.median(each) for each in found.values()]
            ratio = statistics.median(a / b for a, b in zip(*found.values(), strict=True)) if asked.against else 1.0
            row = f"{f'{processes} × {threads}':22}{'busy' if busy else 'free':10}"
            print(row + "".join(f"{median:12.0f} ×" for median in medians) + f"{ratio:8.2f}", flush=True)


def times_real_time(tree: Path, objective: str, updates: int, processes: int, threads: int) -> float:
    """Train in a fresh process, and read its log."""
    paths = {"PYTHONPATH": os.pathsep.join([str(tree / "src"), str(tree)])}
    around = os.environ | paths | {"OMP_NUM_THREADS": str(processes * threads)}  # shared out by the launcher
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "child.py"
        script.write_text(CHILD)
        command = [sys.executable, str(script), folder, str(processes), str(updates), objective]
        subprocess.run(command, cwd=tree, env=around, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (Path(folder) / "run" / "events.jsonl").read_text().splitlines()]
    rows = [line for line in lines if line["kind"] == "metrics" and "times_real_time" in line["values"]]
    seconds = rows[-1]["t"] - rows[0]["t"]
    return 3600 * (rows[-1]["hours_heard"] - rows[0]["hours_heard"]) / seconds


@contextmanager
def burning(processes: int) -> Iterator[None]:
    """Keep so many processes counting meanwhile."""
    others = [multiprocessing.Process(target=burn, daemon=True) for _ in range(processes)]
    for other in others:
        other.start()
    yield
    for other in others:
        other.kill()


def burn() -> None:
    """Count, for ever."""
    while True:
        pass


if __name__ == "__main__":
    main()
