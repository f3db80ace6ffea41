"""Shards as other toolkits like them: lhotse, NeMo, Hugging Face."""
