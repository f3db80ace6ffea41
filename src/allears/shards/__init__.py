"""Shards: plain WebDataset tars with an index, the batch plan and the reader that follow from it, label sidecars."""
