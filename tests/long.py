"""How much the fault tests do: a little in `make test`, all of it in `make test-faults` (ALLEARS_LONG=1)."""

import os

LONG = os.environ.get("ALLEARS_LONG") == "1"
