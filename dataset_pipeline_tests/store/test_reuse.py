from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dataset_pipeline.store import files
from dataset_pipeline.store.files import LocalFiles, StoreError
from dataset_pipeline.store.pointers import pointer_path
from dataset_pipeline.store.reuse import Reuse, measure_missing
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store, schema_of

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
    assert table.select(["image_id", "pixel_sha256", "model_sha256", "algorithm", "score"]).to_pylist() == [
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


RUNS, IMAGES = 8, [f"{EPISODE}/{ms:08d}" for ms in range(120)]


def measure_at_once(store: Store) -> list[pa.Table]:
    """The answers of many runs, each of which starts measuring before any of them has saved a row."""
    together = threading.Barrier(RUNS)

    def run(number: int) -> pa.Table:
        def scores(images: list[str]) -> Iterator[dict]:
            together.wait(10)
            return ({"score": float(number)} for _ in images)

        some = wanted(*IMAGES[number:], *IMAGES[:number])
        own = Store(store.root)
        return measure_missing(own, "quality_scores", EPISODE, some, "m", "1", scores, save_every_rows=15)[0]

    with ThreadPoolExecutor(RUNS) as runs:
        return list(runs.map(run, range(RUNS)))


def test_runs_that_measure_one_episode_at_once_lose_no_row(store: Store) -> None:
    answers = measure_at_once(store)
    assert [answer["image_id"].to_pylist() for answer in answers] == [IMAGES] * RUNS
    scorer = Scorer()
    _, reuse = measure(Store(store.root), scorer, wanted(*IMAGES))
    assert (reuse, scorer.seen) == (Reuse(measured=0, reused=len(IMAGES)), [])


def test_on_a_disk_runs_at_once_give_one_answer_and_it_stays(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    answers = measure_at_once(store)
    kept, _ = measure(store, Scorer(), wanted(*IMAGES))
    assert all(answer.equals(kept) for answer in answers)


MEASURER = """
    import sys, time
    from pathlib import Path
    import pyarrow as pa
    from dataset_pipeline.store.reuse import measure_missing
    from dataset_pipeline.store.store import Store
    root, number, runs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    images = [f"a.b/{ms:08d}" for ms in range(120)]
    wanted = pa.table({"image_id": images, "pixel_sha256": ["p"] * 120})

    def scores(absent):
        for count, image in enumerate(absent):
            if count == 0:
                Path(root, f"ready-{number}").touch()
                while len(list(root.glob("ready-*"))) < runs:
                    time.sleep(0.001)
            yield {"score": float(number)}

    store = Store(f"{root}/store")
    table, _ = measure_missing(store, "quality_scores", "a.b", wanted, "m", "1", scores, save_every_rows=10)
    assert table["image_id"].to_pylist() == images
    print(table["score"].to_pylist())
"""


def test_processes_that_measure_one_episode_at_once_lose_no_row_and_give_one_answer(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(MEASURER), str(tmp_path)]
    runs = [
        subprocess.Popen([*command, str(number), "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    told = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert told[0][0] == told[1][0]
    store = Store(str(tmp_path / "store"))
    stored = store.read("quality_scores__measured", "a.b")
    assert str(stored["score"].to_pylist()) == told[0][0].strip()
    assert not list((tmp_path / "store").rglob("*.tmp"))


HOLDER = """
    import sys, time
    from dataset_pipeline.store.files import LocalFiles
    with LocalFiles(__import__("pathlib").Path(sys.argv[1])).locked(sys.argv[2]):
        print("held", flush=True)
        time.sleep(60)
"""
SIDE_POINTER = pointer_path("quality_scores__measured", EPISODE)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A process that holds the lock of the side table for a minute."""
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path / "store"), SIDE_POINTER]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_writer_killed_while_it_holds_the_lock_does_not_block_the_next(tmp_path: Path, holder) -> None:
    holder.kill()
    holder.wait()
    table, _ = measure(Store(str(tmp_path / "store")), Scorer(), wanted(A))
    assert table.num_rows == 1


def test_a_lock_that_is_never_given_back_is_an_error_that_names_it(tmp_path: Path, holder, monkeypatch) -> None:
    monkeypatch.setattr(files, "LOCK_WAIT_S", 0.05)
    with pytest.raises(TimeoutError, match=rf"{SIDE_POINTER}.*another process.*\.locks"):
        measure(Store(str(tmp_path / "store")), Scorer(), wanted(A))


def test_locks_stay_few_and_are_no_part_of_the_store(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    disk = LocalFiles(tmp_path)
    for number in range(300):
        with disk.locked(f"some/{number}"):
            pass
    assert len(list((tmp_path / ".locks").iterdir())) <= 64
    measure(store, Scorer(), wanted(A))
    assert store.episodes("quality_scores__measured") == [EPISODE]
    assert store.clean(0).size_bytes == 0
    store.forget(EPISODE)
    assert store.clean(0).tables == 1


def test_a_disk_that_cannot_lock_loses_no_row_either(tmp_path: Path, monkeypatch, caplog) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refused(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refused)
    store = Store(str(tmp_path / "store"))
    measure_at_once(store)
    assert "cannot be locked" in caplog.text
    with pytest.raises(StoreError, match=r"knows no locks \(.*not supported\).*: use it from one machine only"):
        store.check_conditions()
    _, reuse = measure(store, Scorer(), wanted(*IMAGES))
    assert reuse == Reuse(measured=0, reused=len(IMAGES))


def raced(store: Store, disk) -> None:
    """A is measured, then two runs add B and C at the same moment without a lock: the pointer of C's comes last."""
    measure(store, Scorer(), wanted(A))
    before = disk.files()[SIDE_POINTER]
    measure(store, Scorer(), wanted(A, B))
    disk.put(SIDE_POINTER, before)
    for path in [path for path in disk.files() if path.endswith(".parquet") and path not in before.decode()]:
        hidden = (path, disk.files()[path])
        disk.remove(path)
    measure(store, Scorer(), wanted(A, C))
    disk.put(*hidden)


def test_the_rows_of_a_lost_race_are_read_and_taken_into_the_next_table(store: Store, disk) -> None:
    raced(store, disk)
    assert store.read("quality_scores__measured", EPISODE)["image_id"].to_pylist() == [A, B, C]
    _, reuse = measure(store, Scorer(), wanted(A, B, C, D))
    assert reuse == Reuse(measured=1, reused=3)
    assert store.pointer("quality_scores__measured", EPISODE).rows == 4


def test_cleaning_keeps_the_rows_of_a_lost_race_and_removes_tables_that_the_current_one_holds(
    store: Store, disk
) -> None:
    raced(store, disk)
    assert store.clean(0).tables == 1
    _, reuse = measure(store, Scorer(), wanted(A, B, C, D))
    assert reuse == Reuse(measured=1, reused=3)
    assert store.clean(0).tables == 2
    _, reuse = measure(store, Scorer(), wanted(A, B, C, D))
    assert reuse == Reuse(measured=0, reused=4)


def test_a_pointer_that_comes_late_hides_no_row(store: Store, disk) -> None:
    measure(store, Scorer(), wanted(A))
    late = disk.files()[SIDE_POINTER]
    measure(store, Scorer(), wanted(A, B))
    measure(store, Scorer(), wanted(A, B, C))
    disk.put(SIDE_POINTER, late)
    _, reuse = measure(store, Scorer(), wanted(A, B, C))
    assert reuse == Reuse(measured=0, reused=3)


def test_a_side_table_of_an_earlier_version_is_read_and_cleaned_as_before(store: Store, disk) -> None:
    rows = [{"image_id": image, "pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"} for image in (A, B)]
    schema = schema_of("quality_scores__measured")
    store.write(schema.name, schema.table([{**rows[0], "score": 0.5}]), EPISODE)
    store.write(schema.name, schema.table([{**row, "score": 0.5} for row in rows]), EPISODE)
    assert "holds" not in json.loads(disk.files()[SIDE_POINTER])["provenance"]
    _, reuse = measure(store, Scorer(), wanted(A, B))
    assert reuse == Reuse(measured=0, reused=2)
    assert store.clean(0).tables == 1
    _, reuse = measure(store, Scorer(), wanted(A, B, C))
    assert reuse == Reuse(measured=1, reused=2)


def test_rows_forgotten_while_they_are_measured_again_are_answered_all_the_same(store: Store) -> None:
    measure(store, Scorer(), wanted(A))

    def forgotten(images: list[str]) -> Iterator[dict]:
        store.forget(EPISODE)
        return ({"score": 100.0} for _ in images)

    table, _ = measure_missing(store, "quality_scores", EPISODE, wanted(A, B), "m", "1", forgotten)
    assert table["score"].to_pylist() == [0.5, 100.0]


def test_an_image_without_an_answer_has_no_row_and_is_asked_about_again(store):
    def some(images: list[str]):
        return [None if image == B else {"score": 0.5} for image in images]

    table, reuse = measure_missing(store, "quality_scores", EPISODE, wanted(A, B, C), "m", "1", some)
    assert table["image_id"].to_pylist() == [A, C]
    assert (reuse.measured, reuse.reused) == (2, 0)
    scorer = Scorer()
    table, reuse = measure_missing(store, "quality_scores", EPISODE, wanted(A, B, C), "m", "1", scorer)
    assert table["image_id"].to_pylist() == [A, B, C]
    assert (reuse.measured, reuse.reused) == (1, 2)
