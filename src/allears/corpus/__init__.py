"""Corpora: the manifest, its layouts, the embedded sample."""
