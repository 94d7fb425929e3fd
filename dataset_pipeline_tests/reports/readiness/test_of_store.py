"""The report of a store's set, on the command line and as files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from dataset_pipeline.cli.app import app
from dataset_pipeline.reports.readiness import of_store
from dataset_pipeline.reports.readiness.of_store import leaks_in, readiness_of
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

EPISODE = "show.e1"
STILL = {"episode": EPISODE, "kept": True, "group": "", "reason": "kept", "width_px": 1344, "height_px": 768}


@pytest.fixture(autouse=True)
def words_for_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokenizer needs torch, which takes longer to import than all tests here."""
    monkeypatch.setattr(of_store, "clip_token_counter", lambda: lambda caption: len(caption.split()))


def made(tmp_path: Path, captions: dict[str, str]) -> Store:
    """A set of one character on stills with these captions by image id, each with a face of 96 px found on it."""
    store = Store(str(tmp_path / "store"))

    def write(asset: str, rows: list[dict], episode: str | None = EPISODE) -> None:
        store.write(asset, SCHEMAS[asset].table(rows), episode, Provenance.from_json({"demo": False}))

    face = {"kind": "face", "x0_px": 0.0, "y0_px": 0.0, "x1_px": 96.0, "y1_px": 120.0, "score": 0.9}
    write("distinct_frames", [{"image_id": image_id} | STILL for image_id in captions])
    write("crops", [])
    size = {name: STILL[name] for name in ("width_px", "height_px")}
    write("images", [{"image_id": it, "still_id": it, "x_px": 0, "y_px": 0, **size} for it in captions])
    write("detections", [{"image_id": image_id} | face for image_id in captions])
    write("selection", [{"image_id": image_id, "selected": True, "reason": "selected"} for image_id in captions])
    rows = [
        {
            "image_id": image_id, "episode": EPISODE, "show": "show", "kind": "still", "characters": [],
            "concept": "0_characters/character_others", "multiply": 1.0, "caption": caption, "tags": ["indoors"],
            "split": "train", "width_px": 1344, "height_px": 768, "file_sha256": image_id,
            "path": "p.webp", "quality": 0.5,
        }
        for image_id, caption in captions.items()
    ]  # fmt: skip
    write("training_set", rows, None)
    return store


def said(store: Store, *arguments: str) -> tuple[int, str]:
    overlay = Path(store.root).parent / "mine.toml"
    exports = Path(store.root).parent / "exports"
    overlay.write_text(f'[store]\nroot = "{store.root}"\n[exported_set]\nroot = "{exports}"\n')
    result = CliRunner().invoke(app, ["report", *arguments, "--settings", str(overlay)])
    return result.exit_code, result.output


def test_a_sound_set_is_said_to_be_sound_beside_the_exports(tmp_path: Path):
    code, text = said(made(tmp_path, {"show.e1/00000001": "indoors", "show.e1/00000002": "outdoors"}))
    assert code == 0
    assert text.splitlines() == [
        "nothing speaks against training on this set",
        str(tmp_path / "exports/readiness.html"),
    ]
    assert "<h1>Nothing speaks against" in (tmp_path / "exports/readiness.html").read_text()
    found = json.loads((tmp_path / "exports/readiness.json").read_text())
    assert (found["set"]["images"], found["worst"]) == (2, "")


def test_a_serious_fault_is_a_line_and_an_exit_code(tmp_path: Path):
    store = made(tmp_path, {"show.e1/00000001": "indoors", "show.e1/00000002": ""})
    code, text = said(store, "--out", str(tmp_path / "elsewhere"))
    assert code == 3
    assert text.splitlines()[0] == "serious: 1 image has no caption."
    assert "<h1>1 image has no caption.</h1>" in (tmp_path / "elsewhere/readiness.html").read_text()
    code, text = said(store, "--json", "--resolution", "512")
    assert code == 3
    assert json.loads(text)["set"]["resolution"] == 512


def test_tags_faces_and_what_became_of_every_frame_are_read_from_the_tables(tmp_path: Path):
    store = made(tmp_path, {"show.e1/00000001": "indoors", "show.e1/00000002": "outdoors"})
    found = readiness_of(store, load_settings(resources_folder() / "settings.toml"), 1024)
    assert found["tags"] == [{"tag": "indoors", "images": 2, "share": 1.0}]
    assert (found["faces"]["count"], found["faces"]["median"]) == (2, 96.0)
    stages = [(row["stage"], row["reason"], row["images"]) for row in found["left_out"]]
    assert stages == [("frames", "kept", 2), ("images", "selected", 2), ("set", "in the set", 2)]


def test_faces_are_measured_in_the_picture_that_shows_them(tmp_path: Path):
    store = made(tmp_path, {"show.e1/00000001": "indoors"})
    [whole] = store.read("training_set").to_pylist()
    place = {"x_px": 0, "y_px": 0, "width_px": 192, "height_px": 240, "still_share": 0.05}
    head = {"image_id": "show.e1/00000001#head-0-0-1-1", "kind": "head"}
    crop = {"still_id": "show.e1/00000001", **head, **place}
    still = store.read("images", EPISODE).to_pylist()
    store.write("images", SCHEMAS["images"].table([*still, crop]), EPISODE)
    half = whole | {"width_px": 672, "height_px": 384}
    unknown = whole | {"image_id": "show.e1/00000009"}
    rows = [half, whole | head | {"width_px": 384, "height_px": 480}, unknown]
    store.write("training_set", SCHEMAS["training_set"].table(rows), None)
    faces = readiness_of(store, load_settings(resources_folder() / "settings.toml"), 1024)["faces"]
    assert (faces["count"], faces["median"], faces["largest"]) == (2, 120.0, 192.0)


def test_held_out_images_are_compared_by_the_vectors_of_their_stills(tmp_path: Path):
    store = made(tmp_path, {f"show.e1/0000000{number}": "indoors" for number in (1, 2, 3)})
    measured = {"pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"}
    vectors = {1: [1.0, 0.0], 2: [0.0, 1.0], 3: [0.995, 0.0999]}
    rows = [{"image_id": f"show.e1/0000000{i}", **measured, "embedding": vector} for i, vector in vectors.items()]
    store.write("frame_embeddings", SCHEMAS["frame_embeddings"].table(rows), EPISODE)
    splits = pa.array(["train", "validation", "validation"])
    table = store.read("training_set").drop_columns("split").append_column("split", splits)
    [leak] = leaks_in(store, table, [EPISODE], similarity=0.95)
    assert (leak.image_id, leak.train_id, leak.why) == ("show.e1/00000003", "show.e1/00000001", "near-duplicate")
    assert leaks_in(store, store.read("training_set"), [EPISODE], similarity=0.95) == []


def test_regularization_classes_are_judged_by_what_the_chosen_trainer_does_with_them(tmp_path: Path):
    store = made(tmp_path, {f"show.e1/0000000{number}": "indoors" for number in (1, 2, 3)})
    rows = [
        {
            "image_id": f"woman/{place:08x}",
            "class": "woman",
            "caption": "a woman",
            "place": place,
            "path": f"{place}.webp",
            "width_px": 64,
            "height_px": 64,
            "file_sha256": str(place),
        }
        for place in range(12)
    ]
    woman = {"name": "woman", "source": "prompts", "prompts": ["1girl"]}
    given = {"regularization__classes": [woman], "exported_set__profile": "kohya"}
    [fault] = readiness_of(store, load_settings(resources_folder() / "settings.toml", **given), 1024)["faults"]
    assert (fault["name"], fault["examples"]) == ("unmade_regularization", ["woman"])
    store.write("regularization_set", SCHEMAS["regularization_set"].table(rows), None)
    store.write("regularization_selection", SCHEMAS["regularization_selection"].empty(), "woman")
    found = readiness_of(store, load_settings(resources_folder() / "settings.toml", **given), 1024)
    [told] = found["regularization"]
    assert (told["class"], told["pictures"], told["in_an_epoch"], told["used"]) == ("woman", 12, 3, 3)
    assert [fault["name"] for fault in found["faults"]] == ["unused_regularization"]
    given["exported_set__profile"] = "onetrainer"
    found = readiness_of(store, load_settings(resources_folder() / "settings.toml", **given), 1024)
    assert ([row["used"] for row in found["regularization"]], found["faults"]) == ([12], [])
    assert readiness_of(store, load_settings(resources_folder() / "settings.toml"), 1024)["regularization"] == []


def test_without_a_set_it_says_what_makes_one(tmp_path: Path):
    code, text = said(Store(str(tmp_path / "store")))
    assert code == 1
    assert "there is no training set in" in text


def test_text_on_stills_is_counted_and_what_of_it_is_in_the_set_is_told(tmp_path: Path):
    ids = [f"show.e1/0000000{number}" for number in range(1, 4)]
    store = made(tmp_path, dict.fromkeys(ids, "indoors"))
    box = {"x0_px": 400.0, "y0_px": 700.0, "x1_px": 900.0, "y1_px": 750.0, "score": 0.9, "burnt_in": True}
    found = [{"image_id": it, "kind": "subtitle", **box} for it in ids[:2]]
    found.append({"image_id": ids[2], "kind": "sign", **box, "burnt_in": False})
    images = [{"image_id": it, "cut_px": cut} for it, cut in zip(ids, ([0, 0, 1344, 690], None, None), strict=True)]
    for asset, rows in (("burnt_in_text", found), ("training_images", images)):
        store.write(asset, SCHEMAS[asset].table(rows), EPISODE, Provenance.from_json({"demo": False}))
    report = readiness_of(store, load_settings(resources_folder() / "settings.toml"), 1024)
    assert report["text"] == {"stills": 2, "kinds": {"subtitle": 2}, "cut_away": 1, "left_in": 1}
    [fault] = [it for it in report["faults"] if it["name"] == "burnt_in_text"]
    assert (fault["count"], fault["examples"]) == (1, [ids[1]])
