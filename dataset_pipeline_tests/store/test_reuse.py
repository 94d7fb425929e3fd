from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pytest

from dataset_pipeline.store.reuse import Reuse, measure_missing
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

EPISODE = "frieren.s01e01"
A, B, C, D = (f"{EPISODE}/{ms:08d}" for ms in range(4))


def wanted(*images: str, pixels: str = "p") -> pa.Table:
    return pa.table(
        {"image_id": pa.array(images, pa.string()), "pixel_sha256": pa.array([pixels] * len(images), pa.string())}
    )


class Scorer:
    """Gives 0.5, 1.5, 2.5, ... and remembers what it was asked."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.seen: list[str] = []
        self.breaks_at = breaks_at

    def __call__(self, images: list[str]) -> Iterator[dict]:
        for image in images:
            if len(self.seen) == self.breaks_at:
                raise KeyboardInterrupt
            self.seen.append(image)
            yield {"score": len(self.seen) - 0.5}


def measure(store: Store, scorer: Scorer, images: pa.Table, model: str = "m", algorithm: str = "1", **options: float):
    return measure_missing(store, "quality_scores", EPISODE, images, model, algorithm, scorer, **options)


def test_every_image_is_measured_once(store: Store) -> None:
    table, reuse = measure(store, Scorer(), wanted(B, A))
    assert reuse == Reuse(measured=2, reused=0)
    assert table.schema.equals(SCHEMAS["quality_scores"].arrow)
    assert table.to_pylist() == [
        {"image_id": A, "pixel_sha256": "p", "model_sha256": "m", "algorithm": "1", "score": 0.5},
        {"image_id": B, "pixel_sha256": "p", "model_sha256": "m", "algorithm": "1", "score": 1.5},
    ]
    scorer = Scorer()
    again, reuse = measure(store, scorer, wanted(A, B))
    assert reuse == Reuse(measured=0, reused=2)
    assert scorer.seen == []
    assert again.equals(table)


def test_one_image_more_costs_one_measurement(store: Store) -> None:
    measure(store, Scorer(), wanted(A, C))
    scorer = Scorer()
    table, reuse = measure(store, scorer, wanted(A, B, C))
    assert reuse == Reuse(measured=1, reused=2)
    assert scorer.seen == [B]
    assert table["image_id"].to_pylist() == [A, B, C]
    assert table["score"].to_pylist() == [0.5, 0.5, 1.5]


def test_an_image_dropped_and_added_again_costs_nothing(store: Store) -> None:
    first, _ = measure(store, Scorer(), wanted(A, B, C))
    fewer, reuse = measure(store, Scorer(), wanted(A))
    assert (fewer.num_rows, reuse) == (1, Reuse(measured=0, reused=1))
    nothing, reuse = measure(store, Scorer(), wanted())
    assert (nothing.num_rows, reuse) == (0, Reuse(measured=0, reused=0))
    again, reuse = measure(store, Scorer(), wanted(A, B, C))
    assert reuse == Reuse(measured=0, reused=3)
    assert again.equals(first)


@pytest.mark.parametrize("change", [{"model": "m2"}, {"algorithm": "2"}])
def test_another_model_or_algorithm_measures_all_and_going_back_measures_nothing(store: Store, change: dict) -> None:
    measure(store, Scorer(), wanted(A, B))
    _, reuse = measure(store, Scorer(), wanted(A, B), **change)
    assert reuse == Reuse(measured=2, reused=0)
    _, reuse = measure(store, Scorer(), wanted(A, B))
    assert reuse == Reuse(measured=0, reused=2)


def test_changed_pixels_are_measured_again(store: Store) -> None:
    measure(store, Scorer(), wanted(A, B))
    mixed = pa.concat_tables([wanted(A), wanted(B, pixels="q")])
    table, reuse = measure(store, Scorer(), mixed)
    assert reuse == Reuse(measured=1, reused=1)
    assert table["pixel_sha256"].to_pylist() == ["p", "q"]


def test_episodes_do_not_share_rows(store: Store) -> None:
    measure(store, Scorer(), wanted(A))
    _, reuse = measure_missing(store, "quality_scores", "frieren.s01e02", wanted(A), "m", "1", Scorer())
    assert reuse == Reuse(measured=1, reused=0)


@pytest.mark.parametrize("options", [{}, {"save_every_rows": 2}, {"save_every_s": 0.0}])
def test_measuring_interrupted_keeps_what_was_done(store: Store, options: dict) -> None:
    with pytest.raises(KeyboardInterrupt):
        measure(store, Scorer(breaks_at=3), wanted(A, B, C, D), **options)
    scorer = Scorer()
    table, reuse = measure(store, scorer, wanted(A, B, C, D))
    assert scorer.seen == [D]
    assert reuse == Reuse(measured=1, reused=3)
    assert table["score"].to_pylist() == [0.5, 1.5, 2.5, 0.5]


def test_rows_are_saved_while_measuring_so_that_a_killed_run_keeps_them(store: Store) -> None:
    saved: list[int] = []

    def watched(images: list[str]) -> Iterator[dict]:
        for _ in images:
            pointer = store.pointer("quality_scores__measured", EPISODE)
            saved.append(pointer.rows if pointer else 0)
            yield {"score": 0.5}

    measure_missing(store, "quality_scores", EPISODE, wanted(A, B, C, D), "m", "1", watched, save_every_rows=2)
    assert saved == [0, 0, 2, 2]
    assert store.pointer("quality_scores__measured", EPISODE).rows == 4


def test_rows_that_another_run_saved_meanwhile_stay(store: Store) -> None:
    def overtaken(images: list[str]) -> Iterator[dict]:
        measure(store, Scorer(), wanted(A, C))
        return ({"score": 100.0} for _ in images)

    table, reuse = measure_missing(store, "quality_scores", EPISODE, wanted(A, B), "m", "1", overtaken)
    assert reuse == Reuse(measured=2, reused=0)
    assert table["score"].to_pylist() == [0.5, 100.0]
    _, reuse = measure(store, Scorer(), wanted(A, B, C))
    assert reuse == Reuse(measured=0, reused=3)


@pytest.mark.parametrize(
    ("given", "message"), [(1, "1 payloads came for 2 images"), (3, "more payloads came than the 2")]
)
def test_a_model_that_miscounts_is_an_error(store: Store, given: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_missing(store, "quality_scores", EPISODE, wanted(A, B), "m", "1", lambda _: [{"score": 0.5}] * given)


def test_a_payload_of_another_schema_is_an_error(store: Store) -> None:
    with pytest.raises(ValueError, match=r"no column \['mood'\]"):
        measure_missing(store, "quality_scores", EPISODE, wanted(A), "m", "1", lambda _: [{"mood": 0.5}])


def test_an_image_wanted_twice_is_an_error(store: Store) -> None:
    with pytest.raises(ValueError, match="00000001 twice"):
        measure(store, Scorer(), wanted(A, B, B))


def test_vectors_come_back_as_float32(store: Store) -> None:
    vectors = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)

    def embed(images: list[str]) -> Iterable[dict]:
        return ({"embedding": vectors[[A, B, C].index(image)]} for image in images)

    table, _ = measure_missing(store, "crop_embeddings", EPISODE, wanted(A, B, C), "m", "1", embed)
    assert np.array_equal(np.stack(table["embedding"].to_numpy()), vectors)


def found(kind: str, x0: float, score: float) -> dict:
    return {"kind": kind, "x0_px": x0, "y0_px": 2.0, "x1_px": 30.0, "y1_px": 40.0, "score": score}


def test_detections_are_a_row_for_every_box_and_stills_without_boxes_are_not_asked_again(store: Store) -> None:
    boxes = {
        A: [found("person", 9.0, 0.9), found("head", 5.0, 0.25), found("person", 1.0, 0.5)],
        B: [],
        C: [found("head", 1.0, 0.25), found("head", 1.0, 0.75)],
    }
    asked: list[str] = []

    def detect(images: list[str]) -> Iterator[dict]:
        for image in images:
            asked.append(image)
            yield {"boxes": boxes[image]}

    for _ in range(2):
        table, reuse = measure_missing(store, "detections", EPISODE, wanted(A, B, C), "m", "1", detect)
        assert table.schema.equals(SCHEMAS["detections"].arrow)
        assert [(row["image_id"], row["kind"], row["x0_px"], row["score"]) for row in table.to_pylist()] == [
            (A, "head", 5.0, 0.25),
            (A, "person", 1.0, 0.5),
            (A, "person", 9.0, 0.9),
            (C, "head", 1.0, 0.75),
        ]
        assert table["model_sha256"].to_pylist() == ["m"] * 4
        store.write("detections", table, EPISODE)
    assert asked == [A, B, C]
    assert reuse == Reuse(measured=0, reused=3)
    none, _ = measure_missing(store, "detections", EPISODE, wanted(B), "m", "1", detect)
    assert none.equals(SCHEMAS["detections"].empty())


def test_earlier_rows_that_cannot_be_read_are_measured_again(store: Store, disk, caplog) -> None:
    measure(store, Scorer(), wanted(A))
    disk.put(store.pointer("quality_scores__measured", EPISODE).file, b"PAR1")
    _, reuse = measure(store, Scorer(), wanted(A))
    assert reuse == Reuse(measured=1, reused=0)
    assert "cannot be read" in caplog.text
    _, reuse = measure(store, Scorer(), wanted(A))
    assert reuse == Reuse(measured=0, reused=1)
