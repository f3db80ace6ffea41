"""Typed parameters, one file a pipeline: frozen, strict, units in the names, free of torch."""
