"""What happens around every run: parameters are checked, the corpus is named and locked, MLflow is told."""

from allears.hooks.corpus import CorpusHook
from allears.hooks.mlflow import MlflowHook
from allears.hooks.progress import ProgressHook

__all__ = ["CorpusHook", "MlflowHook", "ProgressHook"]
