from __future__ import annotations

import base64

import numpy as np

from dataset_pipeline.images.plots import plot
from dataset_pipeline.images.resize import decode


def sheet(text: str) -> np.ndarray:
    head, _, rest = text.partition("base64,")
    assert head.startswith("![curve](data:image/png;")
    return decode(base64.b64decode(rest.removesuffix(")")))


def test_a_curve_is_a_picture_in_markdown_with_its_place_marked():
    across, values = np.arange(400, 900), np.linspace(3, 1, 500)
    plain, marked = sheet(plot(across, values)), sheet(plot(across, values, 650))
    changed = np.flatnonzero((plain != marked).any(axis=(0, 2)))
    assert 245 < changed.min() < changed.max() < 285
    assert plain[60:150, 60:420].min() < 128


def test_of_one_value_there_is_no_curve():
    assert plot(np.array([1.0]), np.array([2.0])) == ""
    assert plot(np.arange(3), np.array([2.0, np.nan, 1.0])) == ""
