"""Whether the metric of an identity model is linear in the cosine is found out, not assumed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dataset_pipeline.models.identity import LinearForm, linear_form


def cosines(features: np.ndarray) -> np.ndarray:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit @ unit.T


def test_a_linear_metric_is_known_with_its_slope_and_where_it_is_cut_off():
    form = linear_form(lambda features: np.clip(0.6 - 0.7 * cosines(features), 0, 1))
    assert form is not None
    np.testing.assert_allclose(form, LinearForm(0.6, 0.7, 0.0, 1.0), atol=1e-5)
    one, other = np.random.default_rng(3).normal(size=(2, 5, 768)).astype(np.float32)
    np.testing.assert_allclose(
        form.differences(one, other), 0.6 - 0.7 * cosines(np.concatenate([one, other]))[:5, 5:], atol=1e-5
    )


@pytest.mark.parametrize(
    "metric",
    [
        lambda features: 1 / (1 + np.exp(12 * (cosines(features) - 0.4))),
        lambda features: 0.5 - 0.5 * cosines(features) + 4e-4 * np.sin(3 * cosines(features)),
        lambda features: np.clip(0.5 * np.linalg.norm(features[:, None] - features[None], axis=2), 0, 1),
        lambda features: np.clip(1 - features @ features.T, 0, 1),
        lambda features: np.zeros((len(features), len(features))),
    ],
    ids=["sigmoid", "nearly linear", "distance", "product", "constant"],
)
def test_any_other_metric_is_left_to_its_network(metric: Callable[[np.ndarray], np.ndarray]):
    assert linear_form(metric) is None
