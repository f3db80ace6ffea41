"""A little of the fuzzing that `make test-faults` does at length."""

import sys

import pytest

from tests.faults import fuzz_decode


def test_mutated_recordings_crash_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz_decode.py", "120", "1"])
    status = fuzz_decode.main()
    assert status == 0, capsys.readouterr()
