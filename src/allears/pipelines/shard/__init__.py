"""From recordings to FLAC in plain WebDataset tars, and the table of what training knows of each clip."""
