"""BEST-RQ's codes (largest dot product, one product a codebook) against the paper's nearest normalised vector."""

import numpy as np
import torch

from allears.objectives.best_rq import RandomQuantizer
from allears.params.objective import BestRQConfig
from tests.reference.best_rq import codes


def test_codes_equal_the_slow_oracle():
    config = BestRQConfig(codebooks=3, codes=32, code_width=8)
    quantizer = RandomQuantizer(20, config, torch.Generator().manual_seed(0))
    features = torch.randn(40, 20, generator=torch.Generator().manual_seed(1))
    expected = codes(features, quantizer.projection_CH.split(8, dim=1), quantizer.codebooks_KVE)
    np.testing.assert_array_equal(quantizer(features).numpy(), expected)
    assert len(np.unique(expected)) > 16


def test_the_quantizer_is_frozen_and_saved():
    quantizer = RandomQuantizer(20, BestRQConfig(codebooks=2, codes=8, code_width=4), torch.Generator().manual_seed(0))
    assert list(quantizer.parameters()) == []
    assert set(quantizer.state_dict()) == {"projection_CH", "codebooks_KVE"}
    torch.testing.assert_close(quantizer.codebooks_KVE.norm(dim=-1), torch.ones(2, 8))
