"""Pure metrics: error rates, intervals, comparisons, groups. Nothing here reads a file or a model."""
