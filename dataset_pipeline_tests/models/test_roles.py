"""What the resources promise, on tiny random networks; that of text on its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.models import (
    Detector,
    FrameEmbedder,
    Identity,
    ModelPack,
    Pose,
    QualityMetric,
    RegistryError,
    Tagger,
    TextDetector,
    WeightsMissing,
    loading,
)
from dataset_pipeline.models import identity as identity_module
from dataset_pipeline.models.device import Device
from dataset_pipeline.models.registry import load_registry
from dataset_pipeline_tests.models.conftest import put


@pytest.fixture
def metric(torch_pack: Path) -> QualityMetric:
    return QualityMetric(cache=str(torch_pack), device="cpu", model="cnniqa", batch_size=3)


def test_vectors_have_unit_length_and_do_not_depend_on_the_batch(torch_pack: Path, pictures: list[np.ndarray]):
    vectors = FrameEmbedder(cache=str(torch_pack), device="cpu", batch_size=3).embed(iter(pictures))
    assert (vectors.shape, vectors.dtype) == ((7, 32), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert loading.CALLS == {"embedder.pictures": 7, "embedder.runs": 3}
    singly = FrameEmbedder(cache=str(torch_pack), device="cpu", batch_size=1).embed(pictures)
    np.testing.assert_allclose(vectors, singly, atol=1e-5)


def test_a_frame_is_squashed_not_cropped(torch_pack: Path):
    frame = np.zeros((90, 160, 3), np.uint8)
    edges = frame.copy()
    edges[:, :30], edges[:, -30:] = 255, 255  # a centre crop of 90 px would not see them
    vectors = FrameEmbedder(cache=str(torch_pack), device="cpu").embed([frame, edges])
    assert vectors[0] @ vectors[1] < 0.999


def test_a_loaded_embedder_keeps_no_text_tower(torch_pack: Path, pictures: list[np.ndarray]):
    embedder = FrameEmbedder(cache=str(torch_pack), device="cpu")
    embedder.embed(pictures[:1])
    names = {name.split(".")[0] for name, _ in embedder._tower().visual.named_parameters()}
    assert "transformer" in names
    assert not names & {"token_embedding", "text_projection", "visual"}


def test_absent_embedder_weights_stop_instead_of_running_with_random_ones(torch_pack: Path, tmp_path: Path):
    pack = ModelPack.open("real", torch_pack)
    model = pack.models("embedder")[0]
    config = pack.file(model, "config")
    copy = tmp_path / config.relative_to(pack.root)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(config.read_bytes())
    reference = pack.hub.glob("models--laion*/refs/main")
    target = tmp_path / next(reference).relative_to(pack.root)
    target.parent.mkdir(parents=True)
    target.write_text(copy.parent.name)
    with pytest.raises(WeightsMissing, match=r"open_clip_model\.safetensors"):
        FrameEmbedder(cache=str(tmp_path), device="cpu").embed([np.zeros((8, 8, 3), np.uint8)])


def test_boxes_come_kind_by_kind_as_asked_within_the_picture(onnx_pack: Path, pictures: list[np.ndarray]):
    found = Detector(cache=str(onnx_pack), device="cpu", batch_size=3).detect(pictures, ["head", "person"])
    assert loading.CALLS == {"detector.pictures": 14, "detector.runs": 6}
    assert len(found) == 7
    for picture, boxes in zip(pictures, found, strict=True):
        height, width = picture.shape[:2]
        assert {box.kind for box in boxes} == {"head", "person"}
        kinds = [box.kind for box in boxes]
        assert kinds == sorted(kinds)
        for kind in ("head", "person"):
            scores = [box.score for box in boxes if box.kind == kind]
            assert scores == sorted(scores, reverse=True)
        assert all(0 <= box.x0 <= box.x1 <= width and 0 <= box.y0 <= box.y1 <= height for box in boxes)
        assert all(box.score > 0.1 for box in boxes)


def test_a_higher_floor_gives_the_same_boxes_as_filtering_a_lower_one(onnx_pack: Path, pictures: list[np.ndarray]):
    low = Detector(cache=str(onnx_pack), device="cpu", score_floor=0.1).detect(pictures, ["person"])
    high = Detector(cache=str(onnx_pack), device="cpu", score_floor=0.6).detect(pictures, ["person"])
    assert high == [[box for box in boxes if box.score > 0.6] for boxes in low]
    assert 0 < sum(map(len, high)) < sum(map(len, low))


def test_a_kind_without_a_network_is_refused_by_name(onnx_pack: Path, pictures: list[np.ndarray]):
    with pytest.raises(RegistryError, match="no detector for tail; it finds person, halfbody, head"):
        Detector(cache=str(onnx_pack), device="cpu").detect(pictures, ["person", "tail"])


def test_each_kind_has_a_fingerprint_of_its_own(onnx_pack: Path):
    detector = Detector(cache=str(onnx_pack))
    head, hand, both = (detector.fingerprint(kinds) for kinds in (["head"], ["hand"], ["head", "hand"]))
    assert len({head.sha256, hand.sha256, both.sha256}) == 3
    assert both.model == "head_detect_v2.0_s+hand_detect_v1.0_s"
    assert both.files == {**head.files, **hand.files}


def test_all_kinds_count_as_one_loaded_model(onnx_pack: Path, pictures: list[np.ndarray]):
    Identity(cache=str(onnx_pack), device="cpu", keep_loaded=2).embed(pictures[:1])
    detector = Detector(cache=str(onnx_pack), device="cpu", keep_loaded=2)
    detector.detect(pictures[:1], ["person", "halfbody", "head", "face", "hand", "eye"])
    assert [key[0] for key in loading.loaded_keys()] == ["identity", "detector"]
    Tagger(cache=str(onnx_pack), device="cpu", keep_loaded=2).tag(pictures[:1])
    assert [key[0] for key in loading.loaded_keys()] == ["detector", "tagger"]


def test_differences_by_matrix_product_in_blocks_and_in_one_run_are_equal(
    onnx_pack: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    identity = Identity(cache=str(onnx_pack), device="cpu", batch_size=4)
    features = identity.embed(pictures)
    assert (features.shape, features.dtype) == ((7, 768), np.float32)
    product = identity.differences(features)
    assert loading.CALLS == {"identity.pictures": 7, "identity.runs": 2}
    monkeypatch.setattr(identity_module, "linear_form", lambda compare: None)
    loading.unload_all()
    whole = identity.differences(features)
    assert loading.CALLS["identity.difference_runs"] == 1
    np.testing.assert_allclose(product, whole, atol=1e-6)
    np.testing.assert_allclose(identity.differences(features, at_once=4), whole, atol=1e-6)
    np.testing.assert_allclose(identity.differences(features, features[2:5]), whole[:, 2:5], atol=1e-6)
    np.testing.assert_allclose(identity.differences(features, features[2:5], at_once=2), whole[:, 2:5], atol=1e-6)
    np.testing.assert_allclose(np.diag(whole), 0, atol=1e-6)
    loading.unload_all()
    assert identity.threshold == 0.25


def test_every_tag_of_the_list_keeps_its_name_and_category(onnx_pack: Path, pictures: list[np.ndarray]):
    found = Tagger(cache=str(onnx_pack), device="cpu", batch_size=3).tag(pictures)
    assert found.tags == ("general", "explicit", "1girl", "null", "long_hair", "rem_(re:zero)")
    assert found.categories == ("rating", "rating", "general", "general", "general", "character")
    assert (found.scores.shape, found.scores.dtype) == ((7, 6), np.float32)
    assert found.scores.min() >= 0
    assert found.scores.max() <= 1
    assert loading.CALLS == {"tagger.pictures": 7, "tagger.runs": 3}


def test_files_with_a_fixed_batch_axis_give_the_same_answers(
    onnx_pack: Path, fixed_batch_pack: Path, pictures: list[np.ndarray]
):
    free = Tagger(cache=str(onnx_pack), device="cpu", batch_size=5).tag(pictures)
    loading.reset_calls()
    one = Tagger(cache=str(fixed_batch_pack), device="cpu", batch_size=5).tag(pictures)
    assert loading.CALLS == {"tagger.pictures": 7, "tagger.runs": 7}
    np.testing.assert_allclose(one.scores, free.scores, atol=1e-6)
    three = Detector(cache=str(fixed_batch_pack), device="cpu", batch_size=5).detect(pictures, ["person"])
    assert loading.CALLS["detector.runs"] == 3  # 5 pictures in 2 runs of 3, 2 pictures in 1
    assert [[box[:5] for box in boxes] for boxes in three] == [
        [box[:5] for box in boxes]
        for boxes in Detector(cache=str(onnx_pack), device="cpu").detect(pictures, ["person"])
    ]


def test_a_tag_list_of_another_network_is_refused(onnx_pack: Path, pictures: list[np.ndarray]):
    tagger = Tagger(cache=str(onnx_pack), device="cpu")
    path = tagger.open_pack().file(tagger.open_pack().models("tagger")[0], "tags")
    good = path.read_text()
    try:
        path.write_text(good + "7,hat,0,1\n")
        with pytest.raises(ValueError, match="gives 6 scores, but its list has 7 tags"):
            tagger.tag(pictures)
        path.write_text(good + "7,hat,8,1\n")
        with pytest.raises(ValueError, match=r"selected_tags\.csv, line 8"):
            tagger.tag(pictures)
    finally:
        path.write_text(good)


def test_no_pictures_give_empty_answers_of_the_right_shape_and_load_nothing(onnx_pack: Path, torch_pack: Path):
    assert FrameEmbedder(cache=str(torch_pack)).embed([]).shape == (0, 32)
    assert Detector(cache=str(onnx_pack)).detect(iter([])) == []
    identity = Identity(cache=str(onnx_pack))
    assert identity.embed([]).shape == (0, 768)
    assert identity.differences(np.zeros((0, 768), np.float32)).shape == (0, 0)
    assert QualityMetric(cache=str(torch_pack), model="cnniqa").score([]).shape == (0,)
    assert Tagger(cache=str(onnx_pack)).tag([]).scores.shape == (0, 6)
    assert loading.loaded_keys() == []
    assert not loading.CALLS


def test_quality_batches_only_pictures_of_one_size_and_keeps_their_order(
    metric: QualityMetric, pictures: list[np.ndarray]
):
    scores = metric.score(pictures)
    assert (scores.shape, scores.dtype) == ((7,), np.float32)
    # batches of three: sizes a a b | c d a | c
    assert loading.CALLS == {"quality.pictures": 7, "quality.runs": 6}
    singly = [metric.score([picture])[0] for picture in pictures]
    np.testing.assert_allclose(scores, singly, atol=1e-5)
    assert len({round(float(score), 6) for score in scores}) == 7


def test_quality_is_what_pyiqa_says_of_the_picture_scaled_down_by_area_and_never_up(
    metric: QualityMetric, torch_pack: Path, pictures: list[np.ndarray]
):
    import cv2
    import pyiqa
    import torch

    weights = metric.open_pack().file(metric.open_pack().models("quality")[0], "weights")
    reference = pyiqa.create_metric("cnniqa", device=torch.device("cpu"), pretrained_model_path=str(weights))

    def expected(picture: np.ndarray) -> float:
        return float(reference(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255))

    tall = pictures[4]  # 301 x 97
    small = QualityMetric(cache=str(torch_pack), device="cpu", model="cnniqa", short_side_px=48)
    resized = cv2.resize(tall, (48, 149), interpolation=cv2.INTER_AREA)
    assert float(small.score([tall])[0]) == pytest.approx(expected(resized), abs=1e-6)
    assert float(metric.score([tall])[0]) == pytest.approx(expected(tall), abs=1e-6)


def test_metrics_that_count_errors_are_negated_so_that_higher_is_better(pictures: list[np.ndarray]):
    import pyiqa
    import torch

    picture = pictures[2]
    piqe = QualityMetric(device="cpu", model="piqe")
    reference = pyiqa.create_metric("piqe", device=torch.device("cpu"))
    assert reference.lower_better
    expected = float(reference(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255))
    assert float(piqe.score([picture])[0]) == pytest.approx(-expected, abs=1e-4)
    assert piqe.fingerprint().files == {}
    assert piqe.terms() == {"metric": "piqe", "direction": "lower", "short_side_px": 512}


def test_metrics_without_weights_work_where_nothing_was_pulled(tmp_path: Path):
    flat, noise = np.full((80, 80, 3), 90, np.uint8), np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    entropy = QualityMetric(device="cpu", model="entropy", cache=str(tmp_path))
    low, high = entropy.score([flat, noise])
    assert low == pytest.approx(0, abs=0.1)
    assert 7 < high <= 8
    assert list(tmp_path.iterdir()) == []


def test_models_toml_says_of_each_metric_which_way_pyiqa_has_it():
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    metrics = [it for it in ModelPack.open("real").registry.models.values() if it.role == "quality"]
    assert len(metrics) >= 5
    for entry in metrics:
        config = DEFAULT_CONFIGS[entry.metric]
        assert config["metric_mode"] == "NR", entry.name
        assert entry.lower_is_better == bool(config.get("lower_better")), entry.name


@pytest.mark.parametrize(("name", "told"), [("piqe", "false"), ("entropy", "true")])
def test_a_metric_that_models_toml_has_the_wrong_way_round_is_refused(name: str, told: str):
    from dataset_pipeline.models import quality

    entry = load_registry().model(name, "quality")
    turned = entry.model_copy(update={"lower_is_better": not entry.lower_is_better})
    quality._load(entry, {}, Device("cpu"))
    with pytest.raises(RegistryError, match=f"{name!r} that lower_is_better = {told}.*under .models.{name}"):
        quality._load(turned, {}, Device("cpu"))


def test_quality_weights_that_do_not_fit_the_network_are_refused(torch_pack: Path, tmp_path: Path):
    import shutil

    import torch

    shutil.copytree(torch_pack, tmp_path / "pack")
    metric = QualityMetric(cache=str(tmp_path / "pack"), device="cpu", model="cnniqa")
    path = metric.open_pack().file(metric.open_pack().models("quality")[0], "weights")
    state = torch.load(path)
    del state["params"]["fc3.weight"]
    torch.save(state, path)
    with pytest.raises(RuntimeError, match=r"Missing key.*fc3\.weight"):
        metric.score([np.zeros((32, 32, 3), np.uint8)])


@pytest.mark.thorough
def test_hyperiqa_equals_pyiqas_own_on_the_same_weights_alone_and_in_batches_and_downloads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import pyiqa
    import torch

    from dataset_pipeline.models import quality
    from dataset_pipeline_tests.benchmarks.real_size_pack import calibrated_hyperiqa

    def no_network(*arguments: object) -> None:
        raise AssertionError(f"a connection was opened: {arguments}")

    monkeypatch.setattr("socket.socket.connect", no_network)
    torch.manual_seed(0)
    monkeypatch.setattr("timm.models._builder.load_pretrained", lambda *_, **__: None)
    reference = pyiqa.create_metric("hyperiqa", device=torch.device("cpu"), pretrained=False)
    reference.net.load_state_dict(calibrated_hyperiqa().state_dict())
    metric = QualityMetric(cache=str(tmp_path), device="cpu", batch_size=2)
    file = metric.open_pack().models("quality")[0].files["weights"][0]
    torch.save({"params": reference.net.state_dict()}, put(tmp_path, str(file), b""))

    smooth = np.linspace(40, 200, 240 * 226 * 3).reshape(240, 226, 3).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (240, 226, 3), np.uint8)
    pictures = [smooth, noise, (smooth // 2 + noise // 2), noise[:150, :130]]
    with torch.inference_mode():
        inputs = [torch.from_numpy(picture).permute(2, 0, 1)[None] / 255 for picture in pictures]
        expected = [float(reference(it)) for it in inputs]
    scores = metric.score(pictures)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert np.ptp(expected) > 1e-3
    assert loading.CALLS == {"quality.pictures": 4, "quality.runs": 3}
    assert len(list((tmp_path / "exported").iterdir())) == 1

    loading.unload_all()
    monkeypatch.setattr(quality, "_load", lambda *_: pytest.fail("pyiqa's network is not needed any more"))
    np.testing.assert_allclose(metric.score(pictures[1:2]), expected[1:2], atol=1e-5)


def test_importing_the_package_imports_no_model_library_and_imgutils_imports_no_torch(onnx_pack: Path):
    script = f"""
import json, sys, time
import numpy as np
from dataset_pipeline.models import Detector
def heavy():
    names = ["torch", "torchvision", "transformers", "open_clip", "pyiqa", "onnxruntime", "imgutils", "pandas",
             "sklearn", "huggingface_hub", "cv2", "PIL"]
    return [name for name in names if name in sys.modules]
after_import = heavy()
detector = Detector(cache={str(onnx_pack)!r}, device="cpu")
detector.fingerprint()
after_fingerprint = heavy()
detector.detect([np.zeros((8, 8, 3), np.uint8)], ["person"])
after_detect = heavy()
from torchvision.transforms import Compose
from imgutils.generic.yolo import yolo_predict
print(json.dumps([after_import, after_fingerprint, after_detect, "torchvision" in sys.modules]))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    after_import, after_fingerprint, after_detect, torchvision_works = json.loads(run.stdout)
    assert after_import == []
    assert after_fingerprint == []
    assert {"imgutils", "onnxruntime"} <= set(after_detect)
    assert not {"torch", "torchvision", "transformers"} & set(after_detect)
    assert torchvision_works


def test_lines_of_text_do_not_depend_on_the_batch_and_lie_within_the_picture(pictures: list[np.ndarray]):
    import cv2

    written = np.full((200, 420, 3), 60, np.uint8)
    cv2.putText(written, "a line of text", (30, 110), cv2.FONT_HERSHEY_DUPLEX, 1.4, (255, 255, 255), 3, cv2.LINE_AA)
    pictures = [*pictures, written, written[:, ::-1].copy(), written]
    detector = TextDetector(device="cpu", batch_size=4, long_side_px=320)
    found = detector.lines(iter(pictures))
    assert loading.CALLS["text_detector.pictures"] == 10
    singly = [detector.lines([it])[0] for it in pictures]
    assert [len(lines) for lines in found] == [len(lines) for lines in singly]
    for one, other in zip(found, singly, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-2)
    [line] = found[7]
    assert line.score > 0.8
    assert (line.x0, line.y0) < (30, 80)
    assert (line.x1, line.y1) > (330, 110)
    for picture, lines in zip(pictures, found, strict=True):
        assert all(0 <= it.x0 < it.x1 <= picture.shape[1] and 0 <= it.y0 < it.y1 <= picture.shape[0] for it in lines)


@pytest.mark.parametrize(("size_px", "place"), [((2400, 360), (1500, 200)), ((360, 2400), (120, 1500))])
def test_small_text_is_found_on_a_panorama_as_on_a_frame(size_px: tuple[int, int], place: tuple[int, int]):
    import cv2

    long = np.full((size_px[1], size_px[0], 3), 60, np.uint8)
    cv2.putText(long, "a sign", place, cv2.FONT_HERSHEY_DUPLEX, 1.0, (255, 255, 255), 2, cv2.LINE_AA)
    [[line]] = TextDetector(device="cpu").lines([long])
    assert line.score > 0.8
    assert (line.x0, line.y0) == pytest.approx((place[0], place[1] - 24), abs=12)


def test_no_picture_has_no_text_and_loads_nothing():
    assert TextDetector(device="cpu").lines([]) == []
    assert loading.loaded_keys() == []


def test_points_do_not_depend_on_the_batch_nor_on_what_lies_around_in_black(pictures: list[np.ndarray]):
    alone, together = (Pose(pack="demo", device="cpu", batch_size=size).points(pictures) for size in (1, 3))
    np.testing.assert_allclose(np.stack(alone), np.stack(together), atol=1e-4)
    assert {points.shape for points in alone} == {(133, 3)}
    height, width = pictures[0].shape[:2]
    wide = np.zeros((height, 4 * width, 3), np.uint8)
    wide[:, :width] = pictures[0]
    before = loading.CALLS["pose.pictures"]
    [found] = Pose(pack="demo", device="cpu").points([wide])
    assert loading.CALLS["pose.pictures"] == before + 1
    assert found[:, 0].max() < 4 * width + 4
    assert Pose(device="cpu").points([]) == []
