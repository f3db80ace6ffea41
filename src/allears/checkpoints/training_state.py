"""Training checkpoints: one file a step, complete or absent, the last few kept.

A file holds tensors and plain values only (numbers, strings, lists, dictionaries), so that it is read with
`weights_only=True`: opening a checkpoint of unknown origin runs no code.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from allears.checkpoints.steps import step_file, steps
from allears.errors import StorageError
from allears.storage.files import atomic_path, storage_error


def save_state(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `state` (state dicts of model and optimizer, counters) of `step`, then drop all but the newest `keep`."""
    path = step_file(folder, step)
    with atomic_path(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # torch's writer reports a full disk so
            raise StorageError(
                f"{path} cannot be written ({error}); free some space and run the same command again: training goes on "
                "from the last checkpoint"
            ) from error
    for old in steps(folder)[:-keep]:
        step_file(folder, old).unlink()
    return path


def weights_of(state: dict[str, Any]) -> dict[str, Any]:
    """Return the weights of the objective in a checkpoint."""
    prefix = "objective."
    return {name.removeprefix(prefix): value for name, value in state["state_dict"].items() if name.startswith(prefix)}


def data_of(state: dict[str, Any]) -> dict[str, Any]:
    """Return where the data of a training stand in a checkpoint."""
    found: dict[str, Any] = state["PretrainData"]  # Lightning's key: the class of the data module
    return found


def load_latest(folder: Path, device: str = "cpu") -> tuple[int, dict[str, Any]] | None:
    """The newest step and its state, or None when `folder` has no checkpoint."""
    found = steps(folder)
    return (found[-1], load_state(step_file(folder, found[-1]), device)) if found else None


def load_state(path: Path, device: str = "cpu") -> dict[str, Any]:
    """The state in `path`; StorageError when it is missing, damaged, or holds more than tensors and plain values."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise storage_error(path, error) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise StorageError(
            f"{path} is not a training checkpoint that can be read safely ({str(error).splitlines()[0]}); if it was "
            "damaged, delete it: training then goes on from the one before"
        ) from error
    return state
