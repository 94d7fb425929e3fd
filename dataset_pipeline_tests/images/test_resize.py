from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.images.resize import decode, encode, fit_short_side, pixel_sha256


def picture(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "short_side_px", "expected"),
    [
        ((1920, 1080), 768, (1365, 768)),
        ((1080, 1920), 1024, (1024, 1820)),
        ((1280, 720), 768, (1280, 720)),
        ((768, 768), 768, (768, 768)),
        ((1921, 1081), 1080, (1919, 1080)),
        ((3000, 10), 5, (1500, 5)),
    ],
)
def test_the_short_side_fits_and_the_long_side_is_cut_to_a_whole_pixel(
    size: tuple[int, int], short_side_px: int, expected: tuple[int, int]
):
    height, width = fit_short_side(picture(*size), short_side_px).shape[:2]
    assert (width, height) == expected


def test_a_picture_that_fits_is_returned_as_it_is():
    small = picture(640, 360)
    assert fit_short_side(small, 768) is small


def test_scaling_keeps_a_plain_colour_plain():
    plain = np.full((1080, 1920, 3), (200, 30, 90), dtype=np.uint8)
    assert (fit_short_side(plain, 500) == (200, 30, 90)).all()


@pytest.mark.parametrize(("format", "quality"), [("png", 95), ("webp", 100)])
def test_lossless_formats_give_every_pixel_back(format: str, quality: int):
    original = picture(97, 61)
    assert (decode(encode(original, format, quality)) == original).all()


@pytest.mark.parametrize(("format", "most"), [("webp", 3.0), ("jpg", 1.5)])
def test_lossy_formats_come_close(format: str, most: float):
    original = picture(320, 180)
    original[..., 2] = 120
    difference = np.abs(decode(encode(original, format, 95)).astype(int) - original)
    assert difference.mean() < most


@pytest.mark.parametrize("format", ["png", "webp", "jpg"])
def test_equal_pictures_give_equal_bytes(format: str):
    assert encode(picture(97, 61), format, 90) == encode(picture(97, 61).copy(order="F"), format, 90)


def test_a_lower_quality_takes_fewer_bytes():
    noisy = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert len(encode(noisy, "webp", 40)) < len(encode(noisy, "webp", 90)) < len(encode(noisy, "webp", 100))


def test_what_cannot_be_encoded_or_decoded_is_named():
    with pytest.raises(ValueError, match="unknown picture format 'bmp'; known: webp, png, jpg"):
        encode(picture(8, 8), "bmp")
    with pytest.raises(ValueError, match="webp holds at most 16383 px a side"):
        encode(np.zeros((1, 16384, 3), np.uint8), "webp")
    with pytest.raises(ValueError, match="these 11 bytes are no readable picture"):
        decode(b"not a thing")
    with pytest.raises(ValueError, match="no readable picture"):
        decode(encode(picture(97, 61), "png")[:-40])


def test_the_pixel_hash_knows_shape_and_values_and_not_the_memory_layout():
    original = picture(97, 61)
    assert pixel_sha256(original) == pixel_sha256(np.asfortranarray(original))
    assert pixel_sha256(original) != pixel_sha256(original.reshape(97, 61, 3))
    changed = original.copy()
    changed[30, 40, 1] ^= 1
    assert pixel_sha256(original) != pixel_sha256(changed)
    assert pixel_sha256(np.zeros((1, 2, 3), np.uint8)) == (
        "96875933165043ffc33ea1622e0d89692aaa87fa702d190b609e09831995df9b"
    )
