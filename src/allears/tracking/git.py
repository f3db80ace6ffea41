"""Which code ran."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git_tags(project: Path) -> dict[str, str]:
    """Commit and whether the working tree differs from it; empty outside a git checkout."""
    commit = _git(project, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git(project, "status", "--porcelain")
    return {"mlflow.source.git.commit": commit, "git.dirty": "true" if changes else "false"}


def _git(project: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607 - git is wherever the user has it
            cwd=project,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
