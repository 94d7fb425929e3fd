from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.images.png import encode_png

SIZES = [(1, 1), (1, 50), (50, 1), (5, 7), (33, 40), (100, 201)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("size", SIZES)
def test_other_readers_see_every_pixel(size: tuple[int, int], channels: int, mode: str):
    picture = noise(*size, channels)
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        assert (image.format, image.mode) == ("PNG", mode)
        assert (np.asarray(image).reshape(picture.shape) == picture).all()


def test_a_grey_picture_may_come_without_a_channel():
    assert encode_png(noise(9, 7)) == encode_png(noise(9, 7)[:, :, None])


def test_rows_are_what_the_predictor_of_the_standard_leaves():
    def paeth(a: int, b: int, c: int) -> int:
        estimate = a + b - c
        return min((abs(estimate - value), order, value) for order, value in enumerate((a, b, c)))[2]

    grey = noise(70, 60).astype(int)
    data = encode_png(grey.astype(np.uint8))
    start = data.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompress(data[start:]), np.uint8).reshape(70, 61)
    padded = np.pad(grey, ((1, 0), (1, 0)))
    expected = [
        [(grey[y, x] - paeth(padded[y + 1, x], padded[y, x + 1], padded[y, x])) % 256 for x in range(60)]
        for y in range(70)
    ]
    assert (rows[:, 0] == 4).all()
    assert (rows[:, 1:] == expected).all()


def test_a_flat_picture_takes_a_hundredth_of_its_bytes():
    assert len(encode_png(np.full((200, 300, 3), (200, 30, 90), np.uint8))) < 200 * 300 * 3 / 100


@pytest.mark.parametrize("picture", [noise(4, 4, 2), noise(4, 4, 3).astype(np.uint16), noise(0, 4, 3), noise(4)])
def test_what_is_no_picture_is_refused(picture: np.ndarray):
    with pytest.raises(ValueError, match="png takes uint8 pictures of 1, 3 or 4 channels, not uint"):
        encode_png(picture)
