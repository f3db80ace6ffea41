"""Layouts of corpora, one reader a file. A new one: a file here, a case in `read.py`, what `detect.py` looks for."""
