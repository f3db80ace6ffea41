"""Run scripts of this folder one after the other: `python tests/benchmark/in_turn.py NAME …`.

The last line says of each what it missed, where it promises something. Exit status 1 when one of them failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MISSED = "Missed: "


def main() -> None:
    """Run them all, whatever one of them does."""
    said: dict[str, str] = {}
    failed = False
    for name in sys.argv[1:]:
        print(f"\n== {name}", flush=True)
        missed, status = run(Path(__file__).with_name(f"{name}.py"))
        if missed:
            said[name] = missed
        if status:
            said[name], failed = f"{missed and missed + ', and '}it ended with status {status}", True
    print(f"\nMissed in all: {'; '.join(f'{name}: {what}' for name, what in said.items()) or 'see the tables'}")
    sys.exit(failed)


def run(script: Path) -> tuple[str, int]:
    """What the script says that it missed (empty: it says nothing of it), and its exit status. Its lines show."""
    missed = ""
    command, unbuffered = [sys.executable, str(script)], os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace", env=unbuffered) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            missed = line.partition(MISSED)[2].strip() or missed
    return missed, process.returncode


if __name__ == "__main__":
    main()
