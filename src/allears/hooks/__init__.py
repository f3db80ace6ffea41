"""What happens around every run: parameters are checked, engine and corpus are named, MLflow is told."""

from allears.hooks.corpus import CorpusHook
from allears.hooks.engine import EngineHook
from allears.hooks.mlflow import MlflowHook
from allears.hooks.progress import ProgressHook

__all__ = ["CorpusHook", "EngineHook", "MlflowHook", "ProgressHook"]
