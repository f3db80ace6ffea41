"""Layouts of corpora, one reader a file: a new one is a file here, a case in `read.py`, and what `detect.py` looks for."""
