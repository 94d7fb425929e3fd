from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.images.resize import decode, encode, fit, fitted_size, pixel_sha256
from dataset_pipeline.settings import ResizeBy, ResizeFilter


def picture(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "resize_by", "max_side_px", "expected"),
    [
        ((1920, 1080), "short_side", 768, (1365, 768)),
        ((1080, 1920), "short_side", 1024, (1024, 1820)),
        ((1280, 720), "short_side", 768, (1280, 720)),
        ((768, 768), "short_side", 768, (768, 768)),
        ((1921, 1081), "short_side", 1080, (1919, 1080)),
        ((3000, 10), "short_side", 5, (1500, 5)),
        ((1920, 1080), "long_side", 1024, (1024, 576)),
        ((1080, 1920), "long_side", 1024, (576, 1024)),
        ((1024, 768), "long_side", 1024, (1024, 768)),
        ((3000, 10), "long_side", 5, (5, 1)),
        ((1920, 1080), "area", 1024, (1365, 768)),
        ((1920, 1080), "area", 512, (682, 384)),
        ((1080, 1920), "area", 768, (576, 1024)),
        ((1820, 576), "area", 1024, (1820, 576)),
        ((1025, 1024), "area", 1024, (1024, 1023)),
        ((1024, 1024), "area", 1024, (1024, 1024)),
        ((3000, 1), "area", 5, (273, 1)),
    ],
)
def test_a_picture_fits_by_a_side_or_its_area_and_sides_are_cut_to_whole_pixels(
    size: tuple[int, int], resize_by: ResizeBy, max_side_px: int, expected: tuple[int, int]
):
    assert fitted_size(*size, resize_by, max_side_px) == expected
    height, width = fit(picture(*size), resize_by, max_side_px).shape[:2]
    assert (width, height) == expected


def test_no_size_grows_and_no_area_is_larger_than_asked_for():
    rng = np.random.default_rng(3)
    for width, height, side in rng.integers(16, 3000, (500, 3)).tolist():
        for resize_by in ("short_side", "long_side", "area"):
            new_width, new_height = fitted_size(width, height, resize_by, side)
            assert 1 <= new_width <= width
            assert 1 <= new_height <= height
        assert new_width * new_height <= side * side or 1 in (new_width, new_height)


@pytest.mark.parametrize("filter", ["lanczos", "area"])
def test_a_picture_that_fits_is_returned_as_it_is(filter: ResizeFilter):
    small = picture(640, 360)
    for resize_by in ("short_side", "long_side", "area"):
        assert fit(small, resize_by, 768, filter) is small


@pytest.mark.parametrize("filter", ["lanczos", "area"])
def test_scaling_keeps_a_plain_colour_plain(filter: ResizeFilter):
    plain = np.full((1080, 1920, 3), (200, 30, 90), dtype=np.uint8)
    assert (fit(plain, "short_side", 500, filter) == (200, 30, 90)).all()


def test_the_area_filter_gives_the_mean_of_what_a_pixel_covers_and_lanczos_is_sharper():
    edge = np.zeros((4, 12, 3), np.uint8)
    edge[:, 5:] = 200
    small = fit(edge, "long_side", 6, "area")
    assert small.shape == (2, 6, 3)
    assert small[0, :, 0].tolist() == [0, 0, 100, 200, 200, 200]
    assert fit(edge, "long_side", 6)[0, :, 0].tolist() != small[0, :, 0].tolist()
    thirds = np.array([[[0] * 3, [90] * 3, [255] * 3]], np.uint8)
    assert fit(thirds, "long_side", 2, "area")[0, :, 0].tolist() == [30, 200]  # (0 + 90/2) / 1.5, (90/2 + 255) / 1.5


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
    with pytest.raises(ValueError, match=r"70000, 1. px cannot be made jpg: broken data stream"):
        encode(np.zeros((1, 70_000, 3), np.uint8), "jpg")
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
