"""What a single picture does wrong at any asset is told with its reason, and everything else goes on."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.graph import framework
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.png import encode_png
from dataset_pipeline.images.resize import encode
from dataset_pipeline.models.captioner import Captioner
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.reports.explain import explain
from dataset_pipeline.reports.first_screen import first_screen
from dataset_pipeline.reports.run_report import faults_of
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.store.files import LocalFiles
from dataset_pipeline.store.left_out import first_reasons
from dataset_pipeline.store.store import Pointer
from dataset_pipeline_tests.assets.drawn_models import Models
from dataset_pipeline_tests.assets.drawn_project import EPISODE, DrawnProject, noise

FIRST, SECOND, THIRD = (f"{EPISODE}/{number:08d}" for number in (1, 2, 3))
BOX = "person-250-250-250-250"
CUT = f"{SECOND}#{BOX}"
SETTINGS = {
    "models__pack": "demo",
    "character_gallery__min_crops": 2,
    "crops__person_min_side_px": 20,
    "selection__min_short_side_px": 20,
    "selection__min_quality": 0.0,
    "selection__max_crop_share": 1.0,
}
MEASURING = {  # the picture that is lost to each
    "frame_embeddings": SECOND,
    "detections": SECOND,
    "crop_embeddings": CUT,
    "quality_scores": SECOND,
    "tag_scores": SECOND,
    "text_lines": SECOND,
}
CHAIN = [
    asset
    for phase in phases()
    for asset in phase.assets
    if asset
    not in ("video_probe", "shots", "tracks", "keyframes", "distinct_frames", "repeated_frames", "hand_edited_tags")
    and asset not in ("alignments", "panoramas", "backdrops", "stitched_embeddings")
]


class Broken(Exception):
    """What a model library raises."""


@dataclass
class Project(DrawnProject):
    """An episode of three frames 200, 220 and 240 px wide, with a person on each."""

    models: Models = field(default_factory=Models)
    changes: dict[str, Any] = field(default_factory=dict)

    def picture(self, asset: str, image_id: str, width: int) -> dict:
        return self.put(asset, image_id, noise(width))

    def write_frames(self, widths: dict[str, int] | None = None) -> None:
        source = {"episode": EPISODE, "show": "show", "show_title": "Show", "episode_title": "1", "kind": "video"}
        self.write("video", [source | {"size_bytes": 1}])
        widths = widths or {FIRST: 200, SECOND: 220, THIRD: 240}
        self.write("keyframes", [self.picture("keyframes", it, width) for it, width in widths.items()])
        kept = {"pts_s": 1.5, "kept": True, "reason": "kept"}
        frames = [self.picture("distinct_frames", it, width) for it, width in widths.items()]
        self.write("distinct_frames", [frame | kept | {"group": frame["image_id"]} for frame in frames])
        self.write("repeated_frames", [], None)
        self.write("hand_edited_tags", [])
        self.write("video_probe", [{"episode": EPISODE, "readable": True}])
        self.write("shots", [])
        self.write("tracks", [])
        for asset in ("alignments", "panoramas", "backdrops", "stitched_embeddings"):
            self.write(asset, [])

    def step(self, asset: str) -> Step:
        episode = None if DECLARATIONS[asset].joined else EPISODE
        roles = dict.fromkeys(("embedder", "detector", "identity", "quality", "tagger", "text_detector"), self.models)
        settings = load_settings(resources_folder() / "settings.toml", **SETTINGS | self.changes)
        resources = SimpleNamespace(store=self.store, settings=settings, export_root=self.root / "exports", **roles)
        return Step(DECLARATIONS[asset], resources, episode, SimpleNamespace(warning=print), [EPISODE])

    def made(self, asset: str) -> tuple[dict[str, dict], Pointer]:
        """The asset's rows by image id, and its pointer."""
        step = self.step(asset)
        pointer, _ = materialize(ASSETS[asset], step)
        rows = self.store.read(asset, step.episode).to_pylist()
        return {row["image_id"]: row for row in rows if "image_id" in row}, pointer

    def make_before(self, asset: str) -> None:
        for earlier in CHAIN[: CHAIN.index(asset)]:
            self.made(earlier)

    def file(self, asset: str, image_id: str) -> Path:
        [row] = [row for row in self.store.read(asset, EPISODE).to_pylist() if row["image_id"] == image_id]
        return self.root / "store" / row["path"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write_frames()
    return project


ROLES = {"frame_embeddings": "identity", "detections": "detector", "crop_embeddings": "identity"}
ROLES |= {"quality_scores": "quality", "tag_scores": "tagger", "text_lines": "text_detector"}
WIDTHS = {SECOND: 220, CUT: 55}


def fail_on(asset: str, error: BaseException) -> Callable[[str, np.ndarray], None]:
    """The model of that asset raises on its picture of MEASURING."""

    def fails(role: str, picture: np.ndarray) -> None:
        if role == ROLES[asset] and picture.shape[1] == WIDTHS[MEASURING[asset]]:
            raise error

    return fails


SOURCES = {"frame_embeddings": "keyframes", "detections": "stills", "crop_embeddings": "crops", "text_lines": "stills"}


@pytest.mark.parametrize("fault", ["cut off", "gone", "the model fails"])
@pytest.mark.parametrize("asset", MEASURING)
def test_a_picture_that_cannot_be_measured_costs_its_own_row_and_is_tried_again(project: Project, asset: str, fault):
    lost = MEASURING[asset]
    project.make_before(asset)
    stored = project.file(SOURCES.get(asset, "images"), lost)
    whole = stored.read_bytes()
    if fault == "the model fails":
        project.models.fails = fail_on(asset, Broken("negative dimension"))
    elif fault == "gone":
        stored.unlink()
    else:
        stored.write_bytes(whole[:20])
    rows, pointer = project.made(asset)
    assert lost not in rows
    assert len(rows) == (5 if asset in ("quality_scores", "tag_scores") else 2)
    assert pointer.provenance.numbers["unmeasured"] == 1
    reason = pointer.provenance.faults["every_picture_was_measured"]
    words = {"cut off": f"{stored} is damaged", "gone": "is gone", "the model fails": "negative dimension"}
    assert reason.startswith(f"{lost}: ")
    assert words[fault] in reason
    stored.write_bytes(whole)
    project.models = Models()
    rows, pointer = project.made(asset)
    assert lost in rows
    assert project.models.seen == {ROLES[asset]: 1}
    assert not pointer.provenance.faults
    assert "unmeasured" not in pointer.provenance.numbers


def test_of_many_pictures_that_fail_some_are_named_and_the_others_counted():
    reasons = {f"e/{number}": "broken" for number in range(5)}
    assert first_reasons(reasons) == "e/0: broken; e/1: broken; e/2: broken; and 2 more"
    assert first_reasons({}) == ""


@pytest.mark.parametrize("asset", MEASURING)
def test_pictures_that_all_fail_with_a_model_that_works_are_each_left_out(project: Project, asset: str):
    project.make_before(asset)

    def fails(role: str, picture: np.ndarray) -> None:
        if picture.shape[:2] != (512, 512):
            raise Broken("negative dimension")

    project.models.fails = fails
    rows, pointer = project.made(asset)
    assert not rows
    wanted = 6 if asset in ("quality_scores", "tag_scores") else 3
    assert pointer.provenance.numbers["unmeasured"] == wanted
    assert set(pointer.provenance.left_out.values()) == {"negative dimension"}


@pytest.mark.parametrize("asset", MEASURING)
def test_a_model_that_fails_on_a_plain_picture_too_fails_the_asset_of_one_picture(project: Project, asset: str):
    only_one(project, asset)
    project.make_before(asset)

    def fails(role: str, picture: np.ndarray) -> None:
        raise Broken("the device is gone")

    project.models.fails = fails
    with pytest.raises(Broken, match="the device is gone"):
        project.made(asset)


def only_one(project: Project, asset: str) -> None:
    """A single picture is there for the asset to measure: that of MEASURING."""
    project.write_frames({SECOND: WIDTHS[SECOND]})
    if asset in ("quality_scores", "tag_scores"):
        project.models.detect = lambda pictures, kinds: ([] for _ in pictures)


@pytest.mark.parametrize("fault", ["cut off", "the model fails"])
@pytest.mark.parametrize("asset", MEASURING)
def test_the_only_picture_of_an_asset_is_left_out_and_the_episode_goes_on(project: Project, asset: str, fault: str):
    lost = MEASURING[asset]
    only_one(project, asset)
    project.make_before(asset)
    if fault == "the model fails":
        project.models.fails = fail_on(asset, Broken("negative dimension"))
    else:
        project.file(SOURCES.get(asset, "images"), lost).write_bytes(b"no picture")
    rows, pointer = project.made(asset)
    assert not rows
    assert pointer.provenance.left_out.keys() == {lost}
    assert pointer.provenance.faults["every_picture_was_measured"].startswith(f"{lost}: ")
    for later in CHAIN[CHAIN.index(asset) + 1 :]:
        project.made(later)
    assert project.store.pointer("training_set") is not None


def test_stills_stay_in_the_set_though_the_only_crop_of_the_episode_cannot_be_measured(project: Project):
    detect = project.models.detect
    wide = WIDTHS[SECOND]

    def on_second(pictures: Iterable[np.ndarray], kinds: Any) -> Iterator[list[Any]]:
        return (next(detect([it], kinds)) if it.shape[1] == wide else [] for it in pictures)

    project.models.detect = on_second
    project.models.fails = fail_on("crop_embeddings", Broken("negative dimension"))
    made = {name: project.made(name)[0] for name in CHAIN}
    assert made["crops"].keys() == {CUT}
    assert made["training_set"].keys() == {FIRST, SECOND, THIRD}
    assert made["selection"][CUT]["reason"] == "nobody_known"


def test_the_only_selected_picture_is_left_out_of_the_set_and_told(project: Project):
    only_one(project, "quality_scores")
    project.make_before("training_images")
    project.file("stills", SECOND).write_bytes(b"no picture")
    rows, pointer = project.made("training_images")
    assert not rows
    assert pointer.provenance.left_out.keys() == {SECOND}
    assert pointer.provenance.numbers["unreadable"] == 1
    for later in CHAIN[CHAIN.index("training_images") + 1 :]:
        project.made(later)
    [fault] = faults_of(project.store, "")
    assert f"1 are not: {SECOND}: " in fault


AWAY = {
    "a connection that is reset": ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    "a drive that is unplugged": OSError(errno.EIO, "Input/output error"),
    "an answer that never comes": TimeoutError("timed out"),
}


@pytest.mark.parametrize("what", AWAY)
@pytest.mark.parametrize("asset", ["frame_embeddings", "crops", "training_images"])
def test_a_store_that_cannot_be_read_fails_the_asset_and_no_picture_is_taken_for_broken(
    project: Project, monkeypatch, asset: str, what: str
):
    project.make_before(asset)
    read = LocalFiles.read

    def away(self: LocalFiles, path: str) -> bytes:
        if path.endswith(".png") and "@00000001" not in path:
            raise AWAY[what]
        return read(self, path)

    monkeypatch.setattr(LocalFiles, "read", away)
    with pytest.raises(type(AWAY[what])):
        project.made(asset)
    assert project.store.pointer(asset, EPISODE) is None
    monkeypatch.undo()
    assert SECOND in {it.partition("#")[0] for it in project.made(asset)[0]}


def test_a_contact_sheet_of_a_store_that_cannot_be_read_says_so_instead_of_failing(project: Project, monkeypatch):
    project.make_before("images")
    step = project.step("crops")
    paths = [row["path"] for row in step.previous()]

    def away(self: LocalFiles, path: str) -> bytes:
        raise AWAY["a drive that is unplugged"]

    monkeypatch.setattr(LocalFiles, "read", away)
    assert "Input/output error" in framework._sheet(step, {"": paths})


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


OF_THE_WHOLE = {
    "weights": PermanentError("the weights are not here: pull them"),
    "memory of the GPU": OutOfMemoryError("CUDA"),
    "memory": MemoryError(),
    "a full disk": OSError(errno.ENOSPC, "No space left on device"),
    "a person": KeyboardInterrupt(),
}


@pytest.mark.parametrize("what", OF_THE_WHOLE)
def test_an_error_of_the_whole_is_never_taken_for_a_pictures(project: Project, what: str):
    error = OF_THE_WHOLE[what]
    project.make_before("quality_scores")
    project.models.fails = fail_on("quality_scores", error)
    with pytest.raises(type(error)):
        project.made("quality_scores")


def test_a_model_that_stops_working_half_way_fails_its_asset(project: Project, monkeypatch):
    monkeypatch.setattr("dataset_pipeline.graph.measuring.CHUNK_PICTURES", 2)
    project.make_before("quality_scores")

    def fails(role: str, picture: np.ndarray) -> None:
        if role == "quality" and project.models.seen["quality"] > 2:
            raise Broken("the device is gone")

    project.models.fails = fails
    with pytest.raises(Broken, match="the device is gone"):
        project.made("quality_scores")
    project.models = Models()
    project.made("quality_scores")
    assert project.models.seen == {"quality": 4}  # what was measured before is kept


def test_columns_alone_hand_out_no_pictures(project: Project):
    project.make_before("quality_scores")
    step = project.step("quality_scores")
    rows = step.read_columns("images", ["image_id", "pixel_sha256", "path"]).to_pylist()

    def measured() -> object:
        return step.measure("quality", rows, lambda model, pictures: ({"score": it} for it in model.score(pictures)))

    with pytest.raises(LookupError, match="has read no table that names the picture"):
        measured()
    step.read("images")
    measured()


def test_an_asset_that_reads_what_it_does_not_declare_fails_as_a_whole(project: Project):
    step = project.step("quality_scores")
    with pytest.raises(LookupError, match="has read no table that names the picture"):
        step.measure(
            "quality",
            [
                {"image_id": it, "pixel_sha256": it, "path": project.file("keyframes", it).name}
                for it in (FIRST, SECOND)
            ],
            lambda model, pictures: ({"score": score} for score in model.score(pictures)),
        )


# By the asset that one picture fails at: the images that are not in the set, and their reasons in `selection`.
OUT = {
    "frame_embeddings": {},
    "detections": {},
    "crop_embeddings": {CUT: "nobody_known"},
    "quality_scores": {SECOND: "not_scored"},
    "tag_scores": {SECOND: "not_tagged"},
    "text_lines": {},
}


@pytest.mark.parametrize("asset", MEASURING)
def test_an_image_without_a_row_of_one_asset_costs_the_set_nothing_else_and_is_explained(project: Project, asset: str):
    project.models.fails = fail_on(asset, Broken("negative dimension"))
    made = {name: project.made(name) for name in CHAIN}
    images, selection, the_set = (made[name][0] for name in ("images", "selection", "training_set"))
    assert images.keys() == {FIRST, SECOND, THIRD, *(f"{it}#{BOX}" for it in (FIRST, SECOND, THIRD))} - (
        {CUT} if asset == "detections" else set()
    )
    assert {it: row["reason"] for it, row in selection.items() if not row["selected"]} == OUT[asset]
    assert the_set.keys() == images.keys() - OUT[asset].keys()
    numbers = made["training_set"][1].provenance.numbers
    assert numbers["set: in the set"] == len(the_set)
    for reason in OUT[asset].values():
        assert numbers[f"images: {reason}"] == 1
    lost = MEASURING[asset]
    assert faults_of(project.store, EPISODE) == [f"{asset}: {lost}: negative dimension"]  # which a run ends by 3 for
    [line] = [line for line in first_screen(explain(project.store, lost)) if line.startswith(f"{asset} ")]
    assert line.split(maxsplit=1)[1] == "left out: negative dimension"


def test_where_faces_decide_an_image_that_was_not_searched_for_them_stays_out_until_it_was(project: Project):
    project.changes = {"selection__max_faces": 0}
    project.models.fails = fail_on("detections", Broken("negative dimension"))
    for asset in CHAIN[: CHAIN.index("selection")]:
        project.made(asset)
    rows, _ = project.made("selection")
    assert {it: row["reason"] for it, row in rows.items() if not row["selected"]} == {SECOND: "faces_not_counted"}
    project.models.fails = lambda role, picture: None
    project.models.detect = lambda pictures, kinds: ([] for _ in pictures)  # the table of boxes stays as it is
    project.made("detections")
    assert project.made("selection")[0][SECOND]["reason"] == "selected"


def test_a_frame_without_an_embedding_is_dropped_with_its_reason(project: Project):
    frames = {FIRST: 200, SECOND: 220, THIRD: 240}
    signals = {"sharpness": 1.0, "contrast": 0.2, "combing": 0.0, "ghost": 0.0, "blockiness": 0.0}
    keyframes = [project.picture("keyframes", it, width) | signals for it, width in frames.items()]
    project.write("keyframes", keyframes)
    project.write("video_probe", [{"episode": EPISODE}])
    project.models.fails = fail_on("frame_embeddings", Broken("negative dimension"))
    project.made("frame_embeddings")
    made = ASSETS["distinct_frames"]
    step = project.step("distinct_frames")
    step.render = lambda rows, **_: ([row | {"path": "", "pixel_sha256": ""} for row in rows], {})  # type: ignore[method-assign]
    result = made.function(step)
    reasons = dict(zip(*(result.table[name].to_pylist() for name in ("image_id", "reason")), strict=True))
    assert reasons == {FIRST: "kept", SECOND: "not_measured", THIRD: "duplicate"}
    assert result.numbers["not_measured"] == 1


@pytest.mark.parametrize("fault", ["cut off", "gone", "smaller than its row says"])
def test_a_still_that_cannot_be_cut_costs_its_own_crops(project: Project, fault: str):
    project.make_before("crops")
    still = project.file("stills", SECOND)
    whole = still.read_bytes()
    still.write_bytes(whole[:20])
    if fault == "gone":
        still.unlink()
    elif fault == "smaller than its row says":
        still.write_bytes(encode(np.zeros((20, 20, 3), np.uint8), "png"))
    rows, pointer = project.made("crops")
    assert {it: (row["kept"], row["reason"]) for it, row in rows.items()} == {
        f"{FIRST}#{BOX}": (True, "kept"),
        CUT: (False, "unreadable"),
        f"{THIRD}#{BOX}": (True, "kept"),
    }
    assert pointer.provenance.faults["every_crop_could_be_cut"].startswith(f"{CUT}: ")
    [line] = [line for line in first_screen(explain(project.store, CUT)) if line.startswith("crops ")]
    assert "left out: " in line
    still.write_bytes(whole)
    rows, pointer = project.made("crops")
    assert rows[CUT]["kept"]
    assert not pointer.provenance.faults


def test_a_box_that_is_no_box_gives_no_crop_and_costs_no_other(project: Project):
    project.make_before("crops")
    boxes = project.store.read("detections", EPISODE).to_pylist()
    odd = [
        boxes[0] | {"x0_px": float("nan")},
        boxes[0] | {"x0_px": 900.0, "x1_px": 990.0},
        boxes[0] | {"x1_px": boxes[0]["x0_px"]},
        boxes[0] | {"score": float("nan"), "x0_px": 3.0},
    ]
    project.write("detections", [*boxes, *odd])
    assert project.made("crops")[0].keys() == {f"{it}#{BOX}" for it in (FIRST, SECOND, THIRD)}


def test_a_picture_that_cannot_be_encoded_is_left_out_and_named(project: Project, monkeypatch):
    def encoder(picture: np.ndarray) -> bytes:
        if picture.shape[1] == 2:
            raise ValueError("no such size")
        return encode_png(picture)

    monkeypatch.setattr("dataset_pipeline.images.png.encode_png", encoder)
    pictures = [({"image_id": f"{EPISODE}/{n:08d}"}, np.zeros((3, n, 3), np.uint8)) for n in (1, 2, 3)]
    left_out: dict[str, str] = {}
    rows = list(project.step("keyframes").save_pictures(pictures, left_out))
    assert [row["image_id"] for row in rows] == [FIRST, THIRD]
    assert left_out == {SECOND: "no such size"}


def test_a_selected_picture_that_is_left_out_is_told_by_the_set_and_explained(project: Project):
    for asset in CHAIN[: CHAIN.index("training_images")]:
        project.made(asset)
    project.file("stills", SECOND).write_bytes(b"no picture")
    made = {name: project.made(name) for name in CHAIN[CHAIN.index("training_images") :]}
    rows, pointer = made["training_set"]
    assert SECOND not in rows
    assert len(rows) == 5
    assert pointer.provenance.numbers["set: unreadable"] == 1
    assert "set: left out" not in pointer.provenance.numbers
    fault = pointer.provenance.faults["every_selected_image_is_in_the_set"]
    assert fault.startswith(f"1 are not: {SECOND}: ")
    assert "no readable picture" in fault
    [line] = [line for line in first_screen(explain(project.store, SECOND)) if line.startswith("training_images ")]
    assert "left out: " in line


def test_a_contact_sheet_passes_over_a_damaged_picture(project: Project):
    project.make_before("images")
    project.file("crops", CUT).write_bytes(b"no picture")
    step = project.step("crops")
    assert framework._sheet(step, {"": [row["path"] for row in step.previous()]}).startswith("![contact sheet]")


def test_a_picture_that_cannot_be_read_is_not_described_and_the_others_are(monkeypatch):
    settings = load_settings().descriptions
    captioner = Captioner(settings)
    monkeypatch.setattr(captioner, "_ask", lambda request, client: "a girl")
    grey = np.full((8, 8, 3), 128, np.uint8)
    answers = list(captioner.describe([grey, ValueError("is damaged"), np.zeros((0, 8, 3), np.uint8), grey]))
    assert [answer.text for answer in answers] == ["a girl", "", "", "a girl"]
    assert answers[1].status == "not asked: is damaged"
    assert answers[2].status.startswith("not asked: ")


def test_what_a_person_wrote_beside_a_picture_stays_though_the_tagger_failed_on_it(project: Project):
    project.models.fails = fail_on("tag_scores", Broken("negative dimension"))
    project.write("hand_edited_tags", [{"image_id": SECOND, "file": "x.txt", "tags": ["1boy", "hat"]}])
    made = {name: project.made(name)[0] for name in CHAIN}
    assert made["tags"][SECOND]["tags"] == ["1boy", "hat"]
    assert SECOND in made["training_set"]
    assert "hat" in made["captions"][SECOND]["caption"]
