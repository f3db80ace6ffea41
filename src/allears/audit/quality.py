"""Quality flags from measures: each a pure comparison with a cut-off of the policy."""

from __future__ import annotations

import pandas as pd

from allears.audit.cuts import cut_offs
from allears.params.audit import QualityParams


def flags(table: pd.DataFrame, params: QualityParams) -> dict[str, pd.Series[bool]]:
    """Reason → which clips. `table` is the manifest joined with the measures; a clip without a measure has no flag."""
    return {cut.reason: pd.Series(cut.flagged(), index=table.index) for cut in cut_offs(table, params)}
