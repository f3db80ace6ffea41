"""A training as a process of its own: launch, spec file, several ranks, events, death with the parent."""
