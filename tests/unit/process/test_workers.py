import os
import signal

import pytest
import torch

from allears.errors import ConfigError, TrainingError
from allears.process.workers import side_by_side, worker_count


def test_every_task_is_done_once_by_any_number_of_workers():
    for workers in (1, 3):
        assert sorted(side_by_side(lambda number: number * 10, range(7), workers)) == [0, 10, 20, 30, 40, 50, 60]


def test_workers_are_other_processes_that_share_what_was_in_memory():
    known = torch.arange(4)
    found = list(side_by_side(lambda i: (os.getpid(), int(known[i])), [1, 2, 3], 2))
    assert os.getpid() not in {process for process, _ in found}
    assert sorted(value for _, value in found) == [1, 2, 3]


def test_an_error_is_the_callers():
    def fails(number: int) -> int:
        raise ConfigError(f"task {number} cannot be done")

    with pytest.raises(ConfigError, match=r"task \d cannot be done"):
        list(side_by_side(fails, [1, 2], 2))


def test_a_killed_worker_is_one_sentence():
    with pytest.raises(TrainingError, match="a process of the grid was killed"):
        list(side_by_side(lambda _: os.kill(os.getpid(), signal.SIGKILL), [1, 2], 2))


def test_a_gpu_has_one_worker():
    assert worker_count(4, torch.device("cuda")) == 1
    assert worker_count(4, torch.device("cpu")) == 4
    assert 1 <= worker_count(None, torch.device("cpu")) <= 8
