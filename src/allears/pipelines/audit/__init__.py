"""`audit`: decode once, measure, judge, represent, select; one page that answers "can I train on this?"."""

from allears.pipelines.audit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
