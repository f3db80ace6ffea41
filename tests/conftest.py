"""For all tests."""

import signal

import pytest
from hypothesis import settings

from tests import long

settings.register_profile("allears", deadline=None)  # it would measure how busy the machine is
settings.load_profile("allears")

# Whoever starts the tests in the background makes them, and all that they start, deaf to Ctrl-C. A handler is not
# passed on to a new program, so those that the tests start hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The tables of the fault tests."""
    if long.LONG:
        terminalreporter.write_line("\n".join(long.ROWS))
