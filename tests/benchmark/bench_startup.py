"""`kedro registry list` here against an empty project with the same plugins: `python tests/benchmark/bench_startup.py`.

Promise: ratio of the medians ≤ 1.3. The two take turns, so a busy machine slows both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROMISE = 1.3
PYPROJECT = """[tool.kedro]
package_name = "empty"
project_name = "empty"
kedro_init_version = "1.7.0"
source_dir = "src"
"""
REGISTRY = """from kedro.pipeline import Pipeline


def register_pipelines():
    return {"__default__": Pipeline([])}
"""


def make_empty(folder: Path) -> Path:
    """A project without a pipeline."""
    package = folder / "src" / "empty"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / ".telemetry").write_text("consent: false\n")
    (folder / "conf" / "base").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "settings.py").touch()
    (package / "pipeline_registry.py").write_text(REGISTRY)
    return folder


def seconds(project: Path) -> float:
    """One `kedro registry list`."""
    before = time.perf_counter()
    command = [sys.executable, "-m", "kedro", "registry", "list"]
    env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run(command, cwd=project, env=env, check=True, capture_output=True)
    return time.perf_counter() - before


def main() -> None:
    """Print both medians and their ratio; exit status 1 when the promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        empty = make_empty(Path(temporary))
        times = {ROOT: [seconds(ROOT)], empty: [seconds(empty)]}  # the first ones compile
        for _ in range(rounds):
            for project, taken in times.items():
                taken.append(seconds(project))
        ours, theirs = statistics.median(times[ROOT][1:]), statistics.median(times[empty][1:])
    ratio = ours / theirs
    print(f"kedro registry list: allears {ours:.2f} s, empty project {theirs:.2f} s, ratio {ratio:.2f} (≤ {PROMISE})")
    sys.exit(ratio > PROMISE)


if __name__ == "__main__":
    main()
