"""What the audit and the shards say of a corpus, as documents that others read: Croissant and a datasheet."""
