import numpy as np
import pytest

from dataset_pipeline.graph.picture_memory import PictureMemory, memory_of


def picture(seed: int, side: int = 32) -> np.ndarray:
    """Noise, which packing makes no smaller."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


PACKED = 32 * 32 * 3 + 64  # at most, of one picture


def test_a_picture_comes_back_as_it_was_and_cannot_be_written_to():
    memory = PictureMemory(10 * PACKED)
    memory.put("stills/a/1.png", picture(1))
    found = memory.get("stills/a/1.png")
    np.testing.assert_array_equal(found, picture(1))
    assert found.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0, 0] = 1
    assert memory.get("stills/a/2.png") is None


def test_a_part_of_a_picture_is_held_as_well():
    memory = PictureMemory(10 * PACKED)
    memory.put("crops/a/1.png", picture(1)[4:20, 8:24])
    np.testing.assert_array_equal(memory.get("crops/a/1.png"), picture(1)[4:20, 8:24])


def test_an_asset_larger_than_the_memory_keeps_its_first_pictures():
    memory = PictureMemory(3 * PACKED)
    for number in range(10):
        memory.put(f"stills/a/{number}.png", picture(number))
    held = [number for number in range(10) if memory.get(f"stills/a/{number}.png") is not None]
    assert held == [0, 1, 2]


def test_the_asset_that_nobody_asked_for_the_longest_makes_room():
    memory = PictureMemory(4 * PACKED)
    for asset in ("keyframes", "stills"):
        for number in range(2):
            memory.put(f"{asset}/a/{number}.png", picture(number))
    assert memory.get("keyframes/a/0.png") is not None  # asked for after the stills were
    memory.put("crops/a/0.png", picture(5))
    assert memory.get("stills/a/0.png") is None
    assert memory.get("keyframes/a/1.png") is not None
    assert memory.get("crops/a/0.png") is not None


def test_a_picture_larger_than_the_memory_drives_out_no_other():
    memory = PictureMemory(3 * PACKED)
    memory.put("keyframes/a/0.png", picture(0))
    memory.put("stills/a/0.png", picture(1, side=64))
    assert memory.get("stills/a/0.png") is None
    assert memory.get("keyframes/a/0.png") is not None


def test_without_memory_nothing_is_held():
    memory = PictureMemory(0)
    memory.put("stills/a/1.png", picture(1))
    assert memory.get("stills/a/1.png") is None


def test_a_run_starts_with_an_empty_memory_and_keeps_its_own():
    memory_of("one", 1).put("stills/a/1.png", picture(1))
    assert memory_of("one", 1).get("stills/a/1.png") is not None
    assert memory_of("two", 1).get("stills/a/1.png") is None
    assert memory_of("one", 1).get("stills/a/1.png") is None
