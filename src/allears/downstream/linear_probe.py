"""Multinomial logistic regression on frozen features, by full-batch L-BFGS in float64.

Legend: `N` clips, `D` features, `K` classes. The loss is the mean cross entropy plus `ridge` / 2 · ‖W‖² (no penalty on
the bias), on features standardised by the training clips: the same minimum as scikit-learn's `LogisticRegression` with
C = 1 / (ridge · N). torch multiplies, because its number of threads can be set while a process runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """Standardisation and weights of one fit; the last row of `weight_DK` is the bias."""

    mean_D: Tensor
    scale_D: Tensor
    weight_DK: Tensor

    def predict(self, features_ND: Tensor) -> Tensor:
        """The most likely class of each row, int64 [N]."""
        return (_with_one((features_ND - self.mean_D) / self.scale_D) @ self.weight_DK).argmax(dim=1)


@torch.no_grad()
def fit_path(
    features_ND: Tensor, classes_N: Tensor, classes: int, ridges: Sequence[float], *, max_iterations: int = 100
) -> Iterator[tuple[float, LinearClassifier]]:
    """Yield (ridge, fit) from the strongest ridge to the weakest, each started where the one before ended."""
    x_ND = features_ND.to(torch.float64)
    mean_D, deviation_D = x_ND.mean(dim=0), x_ND.std(dim=0, correction=0)
    scale_D = torch.where(deviation_D > 1e-8, deviation_D, torch.ones_like(deviation_D))
    x_ND = _with_one((x_ND - mean_D) / scale_D)
    weight_DK = x_ND.new_zeros(x_ND.shape[1], classes)
    for ridge in sorted(ridges, reverse=True):
        weight_DK = _minimise(x_ND, classes_N, weight_DK, ridge, max_iterations)
        yield ridge, LinearClassifier(mean_D, scale_D, weight_DK)


def _minimise(x_ND: Tensor, classes_N: Tensor, start_DK: Tensor, ridge: float, iterations: int) -> Tensor:
    from scipy.optimize import minimize

    count = len(classes_N)
    right_NK = torch.nn.functional.one_hot(classes_N, start_DK.shape[1]).to(x_ND)
    penalty_D1 = torch.full_like(start_DK[:, :1], ridge)
    penalty_D1[-1] = 0.0

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight_DK = torch.from_numpy(flat).view_as(start_DK)
        log_share_NK = (x_ND @ weight_DK).log_softmax(dim=1)
        gradient_DK = x_ND.T @ (log_share_NK.exp() - right_NK) / count + penalty_D1 * weight_DK
        value = -(log_share_NK * right_NK).sum() / count + (penalty_D1 * weight_DK.square()).sum() / 2
        return value.item(), gradient_DK.flatten().numpy()

    options = {"maxiter": iterations, "gtol": 1e-5}
    found = minimize(loss, start_DK.flatten().numpy(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x).view_as(start_DK)


def _with_one(x_ND: Tensor) -> Tensor:
    return torch.cat([x_ND, torch.ones_like(x_ND[:, :1])], dim=1)
