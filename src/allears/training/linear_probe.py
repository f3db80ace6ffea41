"""Multinomial logistic regression on frozen features, by full-batch L-BFGS in float64.

Legend: `N` clips, `D` features, `K` classes. The loss is the mean cross entropy plus `ridge` / 2 · ‖W‖² (no penalty on
the bias), on features standardised by the training clips: the same minimum as scikit-learn's `LogisticRegression` with
C = 1 / (ridge · N).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """Standardisation and weights of one fit; the last row of `weight_DK` is the bias."""

    mean_D: Floats
    scale_D: Floats
    weight_DK: Floats

    def predict(self, features_ND: NDArray[np.floating]) -> NDArray[np.int64]:
        """The most likely class of each row, [N]."""
        scaled_ND = _with_one((features_ND - self.mean_D) / self.scale_D)
        return np.asarray((scaled_ND @ self.weight_DK).argmax(axis=1))


def fit_path(
    features_ND: NDArray[np.floating],
    classes_N: NDArray[np.int64],
    classes: int,
    ridges: Sequence[float],
    *,
    max_iterations: int = 100,
) -> Iterator[tuple[float, LinearClassifier]]:
    """Yield (ridge, fit) from the strongest ridge to the weakest, each started where the one before ended."""
    x_ND = np.asarray(features_ND, dtype=np.float64)
    mean_D, deviation_D = x_ND.mean(axis=0), x_ND.std(axis=0)
    scale_D = np.where(deviation_D > 1e-8, deviation_D, 1.0)
    x_ND = _with_one((x_ND - mean_D) / scale_D)
    weight_DK = np.zeros((x_ND.shape[1], classes))
    for ridge in sorted(ridges, reverse=True):
        weight_DK = _minimise(x_ND, classes_N, weight_DK, ridge, max_iterations)
        yield ridge, LinearClassifier(mean_D, scale_D, weight_DK)


def _minimise(x_ND: Floats, classes_N: NDArray[np.int64], start_DK: Floats, ridge: float, iterations: int) -> Floats:
    from scipy.optimize import minimize

    rows, count = np.arange(len(classes_N)), len(classes_N)
    penalty_D1 = np.full((x_ND.shape[1], 1), ridge)
    penalty_D1[-1] = 0.0

    def loss(flat: Floats) -> tuple[float, Floats]:
        weight_DK = flat.reshape(start_DK.shape)
        logits_NK = x_ND @ weight_DK
        logits_NK -= logits_NK.max(axis=1, keepdims=True)
        share_NK = np.exp(logits_NK)
        total_N1 = share_NK.sum(axis=1, keepdims=True)
        value = np.log(total_N1).sum() - logits_NK[rows, classes_N].sum()
        share_NK /= total_N1
        share_NK[rows, classes_N] -= 1.0
        gradient_DK = x_ND.T @ share_NK / count + penalty_D1 * weight_DK
        return float(value / count + (penalty_D1 * weight_DK**2).sum() / 2), gradient_DK.ravel()

    found = minimize(loss, start_DK.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": iterations, "gtol": 1e-5})
    return np.asarray(found.x, dtype=np.float64).reshape(start_DK.shape)


def _with_one(x_ND: Floats) -> Floats:
    return np.concatenate([x_ND, np.ones((len(x_ND), 1))], axis=1)
