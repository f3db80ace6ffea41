"""`finetune`: a task on the encoder, against from scratch and against random and frozen, at shares of the labels."""

from allears.pipelines.finetune.pipeline import create_pipeline

__all__ = ["create_pipeline"]
