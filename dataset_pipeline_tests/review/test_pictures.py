"""What is not known of a panorama or a plate is tinted on the page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from dataset_pipeline.review.pictures import Pictures


def test_the_rim_that_is_known_of_no_picture_is_tinted_only_where_what_lies_within_is():
    mask = np.full((20, 30), 255, np.uint8)
    mask[1:-2, 1:-2] = 0
    mask[8:14, :6] = 255
    facts: Any = SimpleNamespace(stitched={"plate": {"unknown": cv2.imencode(".png", mask)[1].tobytes()}})
    store: Any = None
    found = Pictures(store, facts).unknown("plate")
    tint = cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_UNCHANGED)
    expected = np.zeros((20, 30), bool)
    expected[8:14, :6] = True
    np.testing.assert_array_equal(tint[..., 3] > 0, expected)
