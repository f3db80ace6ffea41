"""`allears doctor`: is this machine fit, and what to do where it is not."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from allears.engine.cores import cores

CODECS = ("pcm_s16le", "flac", "mp3float", "opus", "aac", "vorbis")
DISK_GB = 5.0
CONNECT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: what was looked at, what was found, whether that is good, and what to do if not.

    `optional`: allears works without it.
    """

    what: str
    found: str
    good: bool
    advice: str = ""
    optional: bool = False


def examine(data: Path) -> list[Finding]:
    """All findings; a check that fails in an unforeseen way is itself a finding."""
    checks: dict[str, Callable[[], Finding]] = {
        "Python": python,
        "ffmpeg": ffmpeg,
        "codecs": codecs,
        "processor": processor,
        "GPU": gpu,
        "disk": lambda: disk(data),
        "MLflow": lambda: mlflow(data.parent),
    }
    findings = []
    for what, check in checks.items():
        try:
            findings.append(check())
        except Exception as error:
            findings.append(Finding(what=what, found=f"{type(error).__name__}: {error}", good=False, advice=REINSTALL))
    return findings


REINSTALL = "install again: pip install -c constraints.txt -e ."


def python() -> Finding:
    """Its version."""
    found = f"{sys.version.split()[0]} at {sys.executable}"
    return Finding(what="Python", found=found, good=sys.version_info >= (3, 11), advice="use Python 3.11 or later")


def ffmpeg() -> Finding:
    """The binary that decodes, and its version."""
    from allears.audio.ffmpeg import executable, run

    line = run(["-version"], timeout_s=20).output.decode(errors="replace").splitlines()[0]
    return Finding(what="ffmpeg", found=f"{line.split(' Copyright')[0]} at {executable()}", good=True)


def codecs() -> Finding:
    """Whether that ffmpeg decodes what recordings usually come in."""
    from allears.audio.ffmpeg import run

    text = run(["-hide_banner", "-decoders"], timeout_s=20).output.decode(errors="replace")
    known = {words[1] for line in text.splitlines() if len(words := line.split()) > 1}
    missing = [name for name in CODECS if name not in known]
    found = f"no decoder for {', '.join(missing)}" if missing else ", ".join(CODECS)
    return Finding(what="codecs", found=found, good=not missing, advice="pip install --force-reinstall imageio-ffmpeg")


def processor() -> Finding:
    """Cores and memory: what decoding and training on this machine can use."""
    import psutil

    memory = psutil.virtual_memory()
    found = f"{cores()} cores, {memory.total / 1e9:.0f} GB memory, {memory.available / 1e9:.0f} GB of it free"
    return Finding(
        what="processor", found=found, good=memory.available > 4e9, advice="close other programs: 4 GB are needed"
    )


def gpu() -> Finding:
    """A GPU that torch can use."""
    import torch

    if not torch.cuda.is_available():
        return Finding(
            what="GPU",
            found=f"none that torch {torch.__version__} can use; training runs on the processor",
            good=True,
            optional=True,
        )
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding(what="GPU", found=f"{', '.join(names)}; use it with --env gpu", good=True, optional=True)


def disk(data: Path) -> Finding:
    """Whether the data folder can be written, and how much fits."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=data):
            pass
    except OSError as error:
        advice = "make it writable, or work in a folder you own"
        return Finding(what="disk", found=f"{data} cannot be written ({error.strerror})", good=False, advice=advice)
    free_gb = shutil.disk_usage(data).free / 1e9
    advice = "free some space: shards take about 60 MB an hour of audio"
    return Finding(what="disk", found=f"{free_gb:.0f} GB free in {data}", good=free_gb >= DISK_GB, advice=advice)


def mlflow(project: Path) -> Finding:
    """Whether the tracking database can be written, or the server answers."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if urlparse(uri).scheme in ("http", "https"):
        return _server(uri)
    file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else project / "mlflow.db"
    good = os.access(file if file.exists() else file.parent, os.W_OK)
    found = f"{file} ({'is there' if file.exists() else 'is made by the first run'}); look at it with `mlflow ui`"
    return Finding(what="MLflow", found=found, good=good, advice=f"{file} cannot be written: change its permission")


def _server(uri: str) -> Finding:
    import requests

    try:
        requests.get(uri.rstrip("/") + "/health", timeout=CONNECT_S).raise_for_status()
    except requests.RequestException as error:
        return Finding(
            what="MLflow",
            found=f"{uri} does not answer ({type(error).__name__})",
            good=False,
            optional=True,
            advice="start it or unset MLFLOW_TRACKING_URI; runs go on, and the next command sends what was kept",
        )
    return Finding(what="MLflow", found=f"{uri} answers", good=True, optional=True)
