"""Bodies that the side of the picture cuts off, as they are shown to the identity net."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.base.ids import box_of_crop

WHOLE_SHARE = 0.42  # of its height: the width of somebody who stands; a body at the side that is narrower is cut off
AT_SIDE = 0.004  # of the picture's width: a box that ends so near to the side goes on beyond it


def completed(body: np.ndarray, first: float, last: float) -> np.ndarray:
    """A cut-off body with its own mirror image beyond the side, up to the width of somebody who stands, at most twice
    its own. The net takes pictures squeezed to a square, so a sliver of a person is spread to somebody very wide;
    people are much the same left and right. Others, and those between both sides, come back as they are.

    body: uint8 [height, width, 3]. first, last: where it begins and ends across the picture, 0 to 1.
    """
    at_first, at_last = first <= AT_SIDE, last >= 1 - AT_SIDE
    height, width = body.shape[:2]
    lacking = min(width, int(WHOLE_SHARE * height) - width)
    if at_first == at_last or lacking <= 0:
        return body
    parts = (body[:, :lacking][:, ::-1], body) if at_first else (body, body[:, width - lacking :][:, ::-1])
    return np.concatenate(parts, axis=1)


def completed_crop(image_id: str, pixels: np.ndarray) -> np.ndarray:
    """The pixels of a crop, uint8 [height, width, 3], completed if it is a person."""
    kind, (first, _, last, _) = box_of_crop(image_id)
    return completed(pixels, first, last) if kind == "person" else pixels
