"""What a run tells MLflow. Everything is written to a file first and sent from there: while the run goes on, and what
an outage or a kill left unsent by the next command. mlflow is imported here and in `hooks` only, when it is needed.
"""

from allears.tracking.current import child_run, current
from allears.tracking.outbox import Outbox, RunInfo, recent_runs, recover
from allears.tracking.pump import Pump
from allears.tracking.run import TrackedRun

__all__ = [
    "Outbox",
    "Pump",
    "RunInfo",
    "TrackedRun",
    "child_run",
    "current",
    "recent_runs",
    "recover",
]
