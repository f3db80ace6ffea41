"""From folders of recordings to a manifest with one row a clip."""
