"""Map over work: on the processes of this machine, or on a Ray cluster."""
