"""Pictures prepared where the network runs, here on the CPU's tensors: sums of whole numbers have the same bits on a
GPU."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.models import (
    Detector,
    FrameEmbedder,
    Identity,
    Tagger,
    detector,
    embedder,
    identity,
    loading,
    on_device,
    tagger,
)
from dataset_pipeline.models.batching import overlapped
from dataset_pipeline.models.device import Device
from dataset_pipeline.models.on_device import Preparation, preparation_like, resized
from dataset_pipeline.models.onnx import OnnxRunner
from dataset_pipeline_tests.models.conftest import onnx_file

CPU = Device("cpu")
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Levels from end to end, so that a filter goes beyond them."""
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([0, 3, 128, 252, 255], np.uint8), (height, width, 3))


def shown(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1920, 1080), (640, 640)),
        ((97, 61), (384, 384)),
        ((448, 301), (448, 448)),
        ((1, 7), (5, 1)),
        ((31, 9), (31, 9)),
    ],
)
def test_pictures_are_resized_to_the_bits_of_pillow(before: tuple[int, int], after: tuple[int, int], filter: Any):
    picture = noise(*before)
    expected = np.asarray(Image.fromarray(picture).resize(after, FILTERS[filter]))
    np.testing.assert_array_equal(resized(shown(picture), after, filter).permute(1, 2, 0).numpy(), expected)


def test_a_picture_that_is_resized_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch):
    picture = shown(noise(300, 200))
    whole = resized(picture, (64, 48), "bicubic")
    monkeypatch.setattr(on_device, "SUMMANDS_AT_ONCE", 5000)
    assert torch.equal(resized(picture, (64, 48), "bicubic"), whole)


def test_no_more_than_two_pictures_are_resized_at_once_whatever_they_are_for(monkeypatch: pytest.MonkeyPatch):
    inside: list[int] = []
    at_once: list[int] = []
    pair = threading.Barrier(2)

    def watched(levels: torch.Tensor, *how: Any) -> torch.Tensor:
        inside.append(1)
        at_once.append(len(inside))
        pair.wait(timeout=60)  # two do run side by side
        time.sleep(0.02)  # in which a third would come
        inside.pop()
        return resized(levels, *how)

    monkeypatch.setattr(on_device, "resized", watched)
    table = np.zeros((3, 256), np.float32)
    ways = [Preparation((side, side), "bicubic", False, table, (0, 1, 2), False).on(CPU) for side in (16, 24)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda place: ways[place % 2](noise(30, 20)), range(8)))
    assert [tuple(it.shape) for it in answers] == [(3, 16, 16), (3, 24, 24)] * 4
    assert max(at_once) == 2


def test_each_librarys_preparation_is_found_and_gives_its_bits(embedded_by: Any):
    from imgutils.tagging.wd14 import _prepare_image_for_tagging

    ways = {
        "detector": (detector.by_imgutils(640), detector.preparation((640, 640))),
        "wide detector": (detector.by_imgutils((320, 192)), detector.preparation((320, 192))),
        "identity": (identity.by_imgutils(), identity.preparation()),
        "tagger": (
            lambda it: _prepare_image_for_tagging(Image.fromarray(it), 448)[0],
            tagger.wd14_preparation(448),
        ),
        "embedder": (lambda it: embedded_by(it).numpy(), embedder.preparation_of(embedded_by)),
    }
    for name, (expected, found) in ways.items():
        assert found is not None, name
        prepare = found.on(CPU)
        for number, size in enumerate([(1920, 1080), (121, 977), (16, 16), (448, 448)]):
            picture = noise(*size, seed=number)
            ours = prepare(picture)
            assert ours.dtype == torch.float32
            np.testing.assert_array_equal(ours.numpy(), expected(picture), err_msg=f"{name} {size}")


@pytest.fixture(scope="module")
def embedded_by() -> Any:
    import open_clip
    from open_clip.transform import PreprocessCfg

    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    how = PreprocessCfg(size=(224, 224), mean=mean, std=std, resize_mode="squash")
    transform: Any = open_clip.transform.image_transform_v2(how, is_train=False)
    return lambda image: transform(Image.fromarray(image))


def lanczos(picture: np.ndarray) -> np.ndarray:
    small = Image.fromarray(picture).resize((64, 48), Image.Resampling.LANCZOS)
    return np.asarray(small, np.float32).transpose(2, 0, 1) / 255


def with_a_mean(picture: np.ndarray) -> np.ndarray:
    """What a level becomes depends on the rest of the picture, which no table tells."""
    small = np.asarray(Image.fromarray(picture).resize((64, 48)), np.float32).transpose(2, 0, 1)
    return small - small.mean()


@pytest.mark.parametrize("prepare", [lanczos, with_a_mean])
def test_a_library_that_prepares_otherwise_keeps_its_own_way(prepare: Any):
    assert preparation_like(prepare, (64, 48), "bicubic") is None


def test_an_input_too_small_for_every_level_keeps_the_librarys_way():
    def prepare(picture: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(picture).resize((8, 8)), np.float32).transpose(2, 0, 1)

    assert preparation_like(prepare, (8, 8), "bicubic") is None


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    sizes = [(640, 360), (480, 480), (360, 480), (641, 357), (640, 360)]
    drawn = [draw_scene(seed, size, people=1 + seed % 2).image for seed, size in enumerate(sizes)]
    return [*drawn, np.full((50, 300, 3), 200, np.uint8)]


def test_boxes_vectors_and_tags_are_the_same_bits_from_pictures_prepared_as_tensors_and_bound_to_the_network(
    scenes: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    def answers() -> list[Any]:
        loading.unload_all()
        options: dict[str, Any] = {"pack": "demo", "device": "cpu", "batch_size": 4}
        return [
            Detector(**options).detect(scenes, ["person", "head"]),
            Identity(**options).embed(scenes),
            Tagger(**options).tag(scenes).scores,
            FrameEmbedder(**options).embed(scenes),
        ]

    by_libraries = answers()
    used: list[Preparation] = []
    place = Preparation.on
    monkeypatch.setattr(Preparation, "on", lambda it, device: used.append(it) or place(it, device))
    for module in (detector, identity, tagger, embedder):
        monkeypatch.setattr(module, "can_prepare_on", lambda device: True)
    on_tensors = answers()
    loading.unload_all()
    assert {it.last for it in used} == {True, False}
    assert by_libraries[0] == on_tensors[0]
    assert sum(map(len, by_libraries[0])) >= 5
    for expected, found in zip(by_libraries[1:], on_tensors[1:], strict=True):
        np.testing.assert_array_equal(found, expected)


def product_file(folder: Path, batch: Any) -> Path:
    """A network from [batch, 20] to [batch, 6]."""
    weights = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    nodes = [("MatMul", ["input", "weights"], ["output"], {})]
    path = folder / "model.onnx"
    path.write_bytes(onnx_file(nodes, {"weights": weights}, {"input": [batch, 20]}, {"output": [batch, 6]}))
    return path


@pytest.mark.parametrize("batch", ["batch", 3])
def test_rows_side_by_side_alone_and_bound_from_a_tensor_have_the_same_answers(batch: Any, tmp_path: Path):
    path = product_file(tmp_path, batch)
    rows = np.random.default_rng(1).random((11, 20), np.float32)
    alone = OnnxRunner(path, CPU, 1)
    expected = np.concatenate([alone.run(rows[place : place + 1])[0] for place in range(len(rows))])
    for threads in (1, 2, 5):
        runner = OnnxRunner(path, CPU, threads)
        tensor = torch.from_numpy(rows)
        for given in (rows, list(rows), tensor, list(tensor), torch.from_numpy(rows.T.copy()).T):
            answer, runs = runner.run(given)
            np.testing.assert_allclose(answer, expected, atol=1e-6)
            assert runs == (1 if batch == "batch" else 4)


@pytest.mark.parametrize("threads", [1, 3])
def test_no_rows_have_no_answers(threads: int, tmp_path: Path):
    answer, _ = OnnxRunner(product_file(tmp_path, "batch"), CPU, threads).run(np.zeros((0, 20), np.float32))
    assert answer.shape == (0, 6)


def test_a_batch_of_just_the_fixed_size_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runner, given, run = OnnxRunner(product_file(tmp_path, 3), CPU, 2), np.ones((3, 20), np.float32), []
    answers = runner.session.run
    monkeypatch.setattr(runner.session, "run", lambda names, feeds: run.append(feeds["input"]) or answers(names, feeds))
    answer, runs = runner.run(given)
    assert (answer.shape, runs) == ((3, 6), 1)
    assert run[0] is given


def test_rows_that_run_side_by_side_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runner, rows = OnnxRunner(product_file(tmp_path, "batch"), CPU, 2), list(np.ones((3, 20), np.float32))
    run, answers = [], runner.session.run
    monkeypatch.setattr(runner.session, "run", lambda names, feeds: run.append(feeds["input"]) or answers(names, feeds))
    runner.run(rows)
    assert [sum(np.shares_memory(row, given) for given in run) for row in rows] == [1, 1, 1]


def test_where_rows_run_side_by_side_a_batch_begins_before_the_one_ahead_of_it_ends():
    begun, met = [], threading.Barrier(2, timeout=30)

    def answer(batch: list[int]) -> int:
        begun.append(batch[0])
        met.wait()
        return 10 * batch[0]

    batches = ([number] for number in range(6))
    answers = overlapped(answer, batches, 2)
    assert next(answers) == 0
    assert sorted(begun) == [0, 1]
    assert list(answers) == [10, 20, 30, 40, 50]


def test_where_rows_do_not_run_side_by_side_a_batch_is_taken_when_its_answer_is_asked_for():
    taken: list[int] = []
    answers = overlapped(sum, (taken.append(number) or [number] for number in range(3)), 1)
    assert next(answers) == 0
    assert taken == [0]
    assert list(answers) == [1, 2]


def test_a_network_that_compares_rows_sees_all_of_them(tmp_path: Path):
    nodes = [("Transpose", ["input"], ["turned"], {}), ("MatMul", ["input", "turned"], ["output"], {})]
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_file(nodes, {}, {"input": ["n", 4]}, {"output": ["n", "m"]}))
    rows = np.random.default_rng(0).random((9, 4), np.float32)
    answer, _ = OnnxRunner(path, CPU, 3, apart=False).run(rows)
    np.testing.assert_allclose(answer, rows @ rows.T, atol=1e-6)
