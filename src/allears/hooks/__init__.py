"""Hooks around every run: check parameters, name engine and corpus, log to MLflow, print progress and verdict."""

from allears.hooks.corpus import CorpusHook
from allears.hooks.engine import EngineHook
from allears.hooks.mlflow import MlflowHook
from allears.hooks.progress import ProgressHook
from allears.hooks.verdict import VerdictHook

__all__ = ["CorpusHook", "EngineHook", "MlflowHook", "ProgressHook", "VerdictHook"]
