import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from allears.downstream.linear_probe import fit_path


def _data(rows: int = 120, width: int = 12, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(1)
    labels = np.arange(rows) % classes
    centres = generator.normal(size=(classes, width))
    features = centres[labels] + 1.5 * generator.normal(size=(rows, width))
    return torch.from_numpy(features * np.linspace(0.1, 50, width) + 7), torch.from_numpy(labels)


def test_the_minimum_is_that_of_scikit_learn():
    features, labels = _data()
    scaled = (features - features.mean(0)) / features.std(0, correction=0)
    for ridge, found in fit_path(features, labels, 4, [1e-3, 1e-1], max_iterations=2000):
        theirs = LogisticRegression(C=1 / (ridge * len(labels)), tol=1e-10, max_iter=5000).fit(scaled, labels)
        np.testing.assert_allclose(found.weight_DK[:-1], theirs.coef_.T, atol=2e-3)
        np.testing.assert_array_equal(found.predict(features), theirs.predict(scaled))


def test_ridges_run_from_strong_to_weak_and_shrink_the_weights():
    features, labels = _data()
    fits = list(fit_path(features, labels, 4, [1e-3, 1.0, 1e-2]))
    assert [ridge for ridge, _ in fits] == [1.0, 1e-2, 1e-3]
    norms = [float(found.weight_DK[:-1].norm()) for _, found in fits]
    assert norms == sorted(norms)


def test_a_constant_feature_is_no_division_by_zero():
    features, labels = _data()
    features[:, 3] = 2.0
    for _, found in fit_path(features, labels, 4, [1e-2]):
        assert torch.isfinite(found.weight_DK).all()
