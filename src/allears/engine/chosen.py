"""Which engine this process works with: `engine` of the configuration, carried by one environment variable.

A variable, as a run may spread over threads and child processes that no argument reaches: functions that map need not
know, nor pass on, where the work is done. It is written before a run begins and read where work is dealt out, nowhere
else.
"""

from __future__ import annotations

import os

from pydantic import ValidationError

from allears.errors import ConfigError
from allears.params.engine import EngineParams

VARIABLE = "ALLEARS_ENGINE"


def choose(engine: EngineParams) -> None:
    """Let this process and those that it starts from now on work with `engine`."""
    os.environ[VARIABLE] = engine.model_dump_json()


def chosen() -> EngineParams:
    """What was chosen: local processes when nothing was. Raises ConfigError when the variable holds something else."""
    text = os.environ.get(VARIABLE)
    if not text:
        return EngineParams()
    try:
        return EngineParams.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            f'{VARIABLE} is \'{text}\', expected JSON such as {{"kind": "ray", "address": "HOST:PORT"}}: unset it, '
            "`kedro run` sets it from `engine` of the configuration"
        ) from error
