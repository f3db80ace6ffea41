"""`evaluate`: what fine-tuning reached, against from scratch and random-frozen, overall and for every group."""

from allears.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
