from __future__ import annotations

import weakref

import numpy as np
import pytest

from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import peek, prepared_batches


class Model:
    pass


def test_the_least_recently_used_model_is_dropped_first_and_freed():
    made = {name: loading.loaded((name,), Model, keep_loaded=2) for name in ("a", "b")}
    loading.loaded(("a",), Model, keep_loaded=2)
    freed = weakref.ref(made.pop("b"))
    loading.loaded(("c",), Model, keep_loaded=2)
    assert loading.loaded_keys() == [("a",), ("c",)]
    assert freed() is None
    assert loading.loaded(("a",), Model, keep_loaded=2) is made["a"]
    loading.unload_all()
    assert loading.loaded_keys() == []


def test_room_is_made_before_the_next_model_loads():
    seen: list[int] = []
    for name in "abc":
        loading.loaded((name,), lambda: seen.append(len(loading.loaded_keys())) or Model(), keep_loaded=1)
    assert seen == [0, 0, 0]


def test_a_model_that_fails_to_load_is_not_kept():
    def broken() -> Model:
        raise RuntimeError("broken file")

    with pytest.raises(RuntimeError, match="broken file"):
        loading.loaded(("x",), broken, keep_loaded=2)
    assert loading.loaded_keys() == []


def test_batches_keep_order_and_take_at_most_two_batches_ahead():
    taken = 0

    def stream():
        nonlocal taken
        for value in range(10):
            taken += 1
            yield np.full((2, 2, 3), value, np.uint8)

    sizes, values = [], []
    for batch in prepared_batches(stream(), lambda image: int(image[0, 0, 0]), 3):
        sizes.append(len(batch))
        values.extend(batch)
        assert taken - len(values) <= 3
    assert sizes == [3, 3, 3, 1]
    assert values == list(range(10))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"picture 1: .* not uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"not uint8 \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), r"not float32"),
        (np.zeros((0, 4, 3), np.uint8), r"picture 1 is empty"),
    ],
)
def test_a_picture_of_another_shape_is_refused_by_its_position(image: np.ndarray, message: str):
    good = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=message):
        list(prepared_batches([good, image], lambda each: each, 8))


def test_peek_gives_all_pictures_back_and_none_for_none():
    images = [np.full((1, 1, 3), value, np.uint8) for value in range(3)]
    assert [int(image[0, 0, 0]) for image in peek(iter(images)) or ()] == [0, 1, 2]
    assert peek([]) is None
