"""Where real recordings are: the folder that ALLEARS_REAL_DATA names."""

import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="ALLEARS_REAL_DATA names no folder of real recordings")
