"""Map over work: on this machine's processes now, on a cluster later."""
