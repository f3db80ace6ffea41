"""The embedded sample corpus: speech of espeak-ng and sounds of numpy, with planted defects, the same bytes every time.

Laid out as any AudioFolder, so that it takes the way that every corpus takes. Only `truth.csv` beside it, which ingest
never sees, says what was planted.
"""
