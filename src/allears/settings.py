"""Kedro's settings of this project. Read by Kedro at start-up: nothing heavy is imported here."""

from __future__ import annotations

import os

from omegaconf.resolvers import oc

# Before anything imports mlflow or ray: no usage reports, here or in child processes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# An MLflow that is away is asked again later, not waited for: nothing is lost, it is sent by the next command.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")

from allears.hooks import CorpusHook, EngineHook, MlflowHook, ProgressHook, VerdictHook
from allears.hooks.local import LocalConfigLoader

HOOKS = (CorpusHook(), EngineHook(), MlflowHook(), ProgressHook(), VerdictHook())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow",)  # MlflowHook extends the plugin's own

CONFIG_LOADER_CLASS = LocalConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "base",  # conf/local comes on top of every environment
    # One `--params a.b=1` changes a.b and leaves the rest of a as it is.
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"oc.env": oc.env},
    "config_patterns": {"mlflow": ["mlflow*"], "logging": ["logging*"]},
}
