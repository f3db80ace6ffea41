"""Multinomial logistic regression on frozen features, by full-batch L-BFGS in float64.

Legend: `N` clips, `D` features, `K` classes. The loss is the mean cross entropy plus `ridge` / 2 · ‖W‖² (no penalty on
the bias), on features standardised by the training clips: the same minimum as scikit-learn's `LogisticRegression` with
C = 1 / (ridge · N).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """Standardisation and weights of one fit."""

    mean_D: Tensor
    scale_D: Tensor
    weight_KD: Tensor
    bias_K: Tensor

    def predict(self, features_ND: Tensor) -> Tensor:
        """The most likely class of each row, int64 [N]."""
        scaled_ND = (features_ND.to(self.mean_D) - self.mean_D) / self.scale_D
        return functional.linear(scaled_ND, self.weight_KD, self.bias_K).argmax(dim=1)


def fit_path(
    features_ND: Tensor, classes_N: Tensor, classes: int, ridges: Sequence[float], *, max_iterations: int = 100
) -> Iterator[tuple[float, LinearClassifier]]:
    """Yield (ridge, fit) from the strongest ridge to the weakest, each started where the one before ended."""
    x_ND = features_ND.to(torch.float64)
    mean_D = x_ND.mean(dim=0)
    deviation_D = x_ND.std(dim=0, correction=0)
    scale_D = torch.where(deviation_D > 1e-8, deviation_D, torch.ones_like(deviation_D))
    x_ND = (x_ND - mean_D) / scale_D
    weight_KD = x_ND.new_zeros(classes, x_ND.shape[1], requires_grad=True)
    bias_K = x_ND.new_zeros(classes, requires_grad=True)
    for ridge in sorted(ridges, reverse=True):
        _minimise(x_ND, classes_N, weight_KD, bias_K, ridge, max_iterations)
        yield ridge, LinearClassifier(mean_D, scale_D, weight_KD.detach().clone(), bias_K.detach().clone())


def _minimise(
    x_ND: Tensor, classes_N: Tensor, weight_KD: Tensor, bias_K: Tensor, ridge: float, max_iterations: int
) -> None:
    optimiser: Any = torch.optim.LBFGS(
        [weight_KD, bias_K],
        max_iter=max_iterations,
        history_size=10,
        tolerance_grad=1e-5,
        tolerance_change=1e-8,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = (
            functional.cross_entropy(functional.linear(x_ND, weight_KD, bias_K), classes_N)
            + ridge / 2 * weight_KD.square().sum()
        )
        torch.autograd.backward(loss)
        return loss

    optimiser.step(closure)
