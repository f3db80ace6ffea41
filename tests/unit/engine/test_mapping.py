import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from allears.engine.cores import cores
from allears.engine.mapping import forget, forget_where, map_batches, map_items
from allears.engine.worker import WORKER_BYTES
from allears.errors import AudioError, CorpusError, PassingError, StorageError
from allears.params.engine import EngineParams
from tests.cluster import Nodes, two_nodes, working_on


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as found:
        yield found


@pytest.fixture(params=["processes", "ray"])
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is mapped is done by local processes, and by a cluster of two nodes."""
    kinds = {"processes": EngineParams, "ray": lambda: request.getfixturevalue("nodes").engine}
    with working_on(kinds[request.param]()):
        yield


on_both = pytest.mark.usefixtures("engine")


def work(item: str) -> str:
    """What the workers of these tests do with an item, by its name."""
    match item.partition("-")[0]:
        case "bad":
            raise AudioError("not_audio", f"{item} is no audio")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(60)
        case "gone":
            raise FileNotFoundError(2, "No such file", item)
        case "odd":
            raise ValueError("nobody thought of this")
        case "pipe":
            Path(item).open("rb").close()  # nobody writes into it: the kernel waits
        case "huge":
            return str(len(bytearray(WORKER_BYTES)))
        case "later":
            raise PassingError("changed", f"{item} is still being written")
        case "stop":
            raise CorpusError("the whole run is wrong")
    return item.upper()


def run(items: list[str], journal: Path, timeout_s: float = 30.0) -> list[tuple[object, str | None, bool]]:
    outcomes = map_items(work, items, key=str, journal=journal, title="testing", workers=2, timeout_s=timeout_s)
    return [(outcome.result, outcome.reason, outcome.fresh) for outcome in outcomes]


@on_both
def test_results_come_in_the_order_of_the_items_and_are_kept(tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    items = [f"item-{i}" for i in range(30)] + ["item-0"]
    assert [result for result, _, _ in run(items, journal)] == [item.upper() for item in items]
    assert all(not fresh for _, _, fresh in run(items, journal))
    assert len(journal.read_text().splitlines()) == 30


@on_both
def test_one_bad_item_costs_itself_alone(tmp_path: Path) -> None:
    items = ["a", "bad-1", "gone-1", "odd-1", "hang-1", "die-1", "b"]
    reasons = [reason for _, reason, _ in run(items, tmp_path / "j.jsonl", timeout_s=2.0)]
    assert reasons == [None, "not_audio", "unreadable", "failed", "timeout", "worker_died", None]
    again = run(["a", "bad-1", "gone-1"], tmp_path / "j.jsonl")
    assert [fresh for _, _, fresh in again] == [False, False, True]  # what may pass another time is tried again


@on_both
def test_what_another_run_may_not_meet_is_tried_again(tmp_path: Path) -> None:
    items = ["a", "later-1", "huge-1", "b"]
    expected = [("A", None), (None, "changed"), (None, "memory"), ("B", None)]
    for fresh in ([True, True, True, True], [False, True, True, False]):
        found = run(items, tmp_path / "j.jsonl")
        assert found == [(result, reason, new) for (result, reason), new in zip(expected, fresh, strict=True)]


@on_both
def test_a_worker_that_waits_in_the_kernel_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe-1")  # as a share that hangs
    [stuck, fine] = run(["pipe-1", "a"], tmp_path / "j.jsonl", timeout_s=2.0)
    assert (stuck[1], fine[0]) == ("timeout", "A")


def work_together(batch: Sequence[str]) -> Iterator[tuple[str, str | AudioError]]:
    """Last first; an item called `bad` is its own result."""
    for item in reversed(batch):
        yield item, AudioError("not_audio", item) if item.startswith("bad") else work(item)


def bulky(batch: Sequence[str]) -> Iterator[tuple[str, int]]:
    return ((item, len(bytearray(WORKER_BYTES))) for item in batch)


@on_both
def test_a_step_may_give_its_workers_more_memory(tmp_path: Path) -> None:
    def reasons(worker_bytes: int) -> list[str | None]:
        outcomes = map_batches(
            bulky, ["a"], key=str, journal=tmp_path / f"{worker_bytes}.jsonl", title="testing", workers=1,
            batches=lambda todo: [todo], worker_bytes=worker_bytes,
        )  # fmt: skip
        return [outcome.reason for outcome in outcomes]

    assert reasons(WORKER_BYTES) == ["memory"]
    assert reasons(WORKER_BYTES + (512 << 20)) == [None]


def forgetful(batch: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Gives nothing for `b`."""
    return ((item, item.upper()) for item in batch if item != "b")


@on_both
def test_an_item_without_a_result_is_a_failure_and_not_tried_for_ever(tmp_path: Path) -> None:
    outcomes = map_batches(
        forgetful, ["a", "b", "c"], key=str, journal=tmp_path / "j.jsonl", title="testing", workers=1,
        batches=lambda todo: [todo],
    )  # fmt: skip
    assert [(each.result, each.reason) for each in outcomes] == [("A", None), (None, "failed"), ("C", None)]


@on_both
def test_one_bad_item_of_a_batch_costs_itself_alone(tmp_path: Path) -> None:
    items = ["a", "bad-1", "b", "die-1", "c", "odd-1", "d", "hang-1", "e", "f"]
    outcomes = map_batches(
        work_together, items, key=str, journal=tmp_path / "j.jsonl", title="testing", workers=2, timeout_s=2.0,
        batches=lambda todo: [todo[:4], todo[4:7], todo[7:]],
    )  # fmt: skip
    found = {outcome.item: outcome.result or outcome.reason for outcome in outcomes}
    assert list(found) == items
    assert found == {
        "a": "A", "bad-1": "not_audio", "b": "B", "die-1": "worker_died", "c": "C", "odd-1": "failed", "d": "D",
        "hang-1": "timeout", "e": "E", "f": "F",
    }  # fmt: skip
    assert len((tmp_path / "j.jsonl").read_text().splitlines()) == 7


def workers_there(_: str) -> int:
    """How many worker processes there are: all are started before the first is given work."""
    return len(psutil.Process(os.getppid()).children())


def test_no_more_workers_are_started_than_there_are_batches(tmp_path: Path) -> None:
    for items, expected in (["a"], 1), (["a", "b"], 2):
        outcomes = map_items(
            workers_there, items, key=str, journal=tmp_path / f"{expected}.jsonl", title="testing", workers=6
        )
        assert [each.result for each in outcomes] == [expected] * expected


def test_a_step_that_names_no_number_has_the_workers_of_the_engine(tmp_path: Path) -> None:
    with working_on(EngineParams(workers=1)):
        for workers, expected in (None, 1), (2, 2):
            journal = tmp_path / f"{workers}.jsonl"
            outcomes = map_items(workers_there, ["a", "b"], key=str, journal=journal, title="", workers=workers)
            assert [each.result for each in outcomes] == [expected] * 2


@on_both
def test_an_error_of_the_run_stops_it_and_keeps_what_is_done(tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    with pytest.raises(CorpusError, match="the whole run"):
        run([f"item-{i}" for i in range(20)] + ["stop"], journal)
    assert len(journal.read_text().splitlines()) > 0
    run([f"item-{i}" for i in range(20)], journal)
    assert len(journal.read_text().splitlines()) == 20


def test_a_line_that_a_kill_cut_off_is_done_again(tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    run(["a", "b"], journal)
    journal.write_bytes(journal.read_bytes()[:-5])
    outcomes = run(["a", "b", "c"], journal)
    assert [result for result, _, _ in outcomes] == ["A", "B", "C"]
    assert sum(fresh for _, _, fresh in outcomes) == 2
    assert {json.loads(line)["key"] for line in journal.read_text().splitlines()} == {"a", "b", "c"}


def test_a_line_without_its_end_is_done_again(tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    run(["a", "b"], journal)
    journal.write_bytes(journal.read_bytes()[:-1])  # as a full disk leaves it: else the next line is appended to it
    run(["a", "b", "c"], journal)
    assert [fresh for _, _, fresh in run(["a", "b", "c"], journal)] == [False, False, False]


def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        run(["a"], tmp_path / "file" / "j.jsonl")


def test_workers_are_the_cores_this_process_may_use() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_what_is_forgotten_is_done_again_and_nothing_else(tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"

    def done() -> dict[str, bool]:
        outcomes = map_items(work, ["a", "b", "bad-c"], key=str, journal=journal, title="", workers=1)
        return {outcome.item: outcome.fresh for outcome in outcomes}

    assert all(done().values())
    forget(journal, {"a", "not there"})
    assert done() == {"a": True, "b": False, "bad-c": False}
    forget_where(journal, lambda _, entry: "no audio" in entry.get("message", ""))
    assert done() == {"a": False, "b": False, "bad-c": True}
    forget_where(tmp_path / "none.jsonl", lambda *_: True)
    assert not (tmp_path / "none.jsonl").exists()


def test_workers_of_a_script_that_has_imported_numpy_have_one_thread_too(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy\n"
        "from pathlib import Path\n"
        "from threadpoolctl import threadpool_info\n"
        "from allears.engine.mapping import map_items\n"
        "def threads(item):\n"
        "    return max(each['num_threads'] for each in threadpool_info())\n"
        "if __name__ == '__main__':\n"
        f"    journal = Path({str(tmp_path / 'journal.jsonl')!r})\n"
        "    print([each.result for each in map_items(threads, [1, 2], key=str, journal=journal, title='')])\n"
    )
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=free)
    assert done.stdout.strip() == "[1, 1]"
