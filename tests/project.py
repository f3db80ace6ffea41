"""A Kedro project of its own for a test: this code and configuration, data in a temporary folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def make_project(folder: Path) -> Path:
    """Configuration is linked; `src` is empty (Kedro wants one inside the project), the code is the installed one."""
    (folder / "src").mkdir(parents=True)
    for name in ("pyproject.toml", "conf", ".telemetry"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would send a test's runs elsewhere."""
    clean = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_TRACKING_URI", "KEDRO_ENV")}
    return clean | {"COLUMNS": "200"} | extra


def kedro(project: Path, *arguments: str, timeout_s: float = 300.0, **env: str) -> subprocess.CompletedProcess[str]:
    """`kedro …` in `project`."""
    return subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=project,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start_kedro(project: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """`kedro …` in `project`, in the background, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=project,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def make_recordings(folder: Path, *, speakers: int = 4, clips: int = 3) -> Path:
    """A folder a speaker, some short noisy tones in each."""
    import numpy as np
    import soundfile

    random = np.random.default_rng(0)
    for speaker in range(speakers):
        (folder / f"speaker-{speaker}").mkdir(parents=True)
        for clip in range(clips):
            time_T = np.arange(8000) / 16_000
            audio_T = 0.3 * np.sin(2 * np.pi * (200 + 40 * speaker + 7 * clip) * time_T)
            audio_T += 0.01 * random.standard_normal(len(time_T))
            soundfile.write(folder / f"speaker-{speaker}" / f"{clip}.wav", audio_T, 16_000)
    return folder
