"""Local paths and buckets: atomic write, digest, lock, receipt. The only user of fsspec (`bucket.py`)."""
