"""What a model is asked to learn without labels: one file an objective, chosen in `build.py`."""
