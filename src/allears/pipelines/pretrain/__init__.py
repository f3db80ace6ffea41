"""`pretrain`: plan, targets, encoder, export, probe, summary."""

from allears.pipelines.pretrain.pipeline import create_pipeline

__all__ = ["create_pipeline"]
