"""Local paths (buckets later): atomic write, digest, lock, receipt."""
