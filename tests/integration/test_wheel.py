"""What `pip install allears` brings: the wheel is built from the tree and used where the tree is not."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT_S = 120


def run(*command: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], env=os.environ | more, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_wheel_works_without_the_tree(tmp_path: Path) -> None:
    sources = tmp_path / "source"
    sources.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in (os.fsdecode(one) for one in files if one):
        if name.startswith(("src/", "conf/", "tests/")) or "/" not in name:
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            (sources / name).write_bytes((ROOT / name).read_bytes())
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(sources))
    (wheel,) = tmp_path.glob("allears-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"allears/py.typed", "allears/reporting/templates/report.html"} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "conf", "src"))]

    there = tmp_path / "there"
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(there), str(wheel))
    assert run("-c", "import allears; print(allears.__file__)", PYTHONPATH=str(there)).startswith(str(there))
    assert "doctor" in run("-m", "allears", "--help", PYTHONPATH=str(there))
