"""`review export` and `review import`: what is written, and what is said of what was changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.images.resize import encode, pixel_sha256
from dataset_pipeline.reports.review_folders import FolderError
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline_tests.cli.project import Project

EPISODE = "show.e1"
NAMED, GROUP = "c-00000001", "c-00000002"
CROPS = [f"{EPISODE}/{number:08d}#person-0-0-900-900" for number in range(6)]
WHO = dict(zip(CROPS, (NAMED, NAMED, NAMED, GROUP, GROUP, ""), strict=True))


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (40, 30, 3), dtype=np.uint8)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.home.mkdir()
    (project.home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    (tmp_path / "settings.toml").write_text(
        f"[models]\npack = 'demo'\n[store]\nroot = '{tmp_path / 'store'}'\n"
        f"[corrections]\nroot = '{tmp_path / 'corrections'}'\n"
    )
    project.store.write(
        "video", SCHEMAS["video"].table([{"episode": EPISODE}]), EPISODE, Provenance(fingerprint="f00d")
    )
    rows = []
    for number, crop in enumerate(CROPS):
        path = project.store.put_picture("crops", EPISODE, crop, encode(picture(number), "png"), "png")
        row = {"image_id": crop, "still_id": crop.partition("#")[0], "kind": "person", "kept": True, "path": path}
        place = {"x_px": 0, "y_px": 0, "width_px": 30, "height_px": 40}
        rows.append({**row, **place, "pixel_sha256": pixel_sha256(picture(number))})
    project.store.write("crops", SCHEMAS["crops"].table(rows), EPISODE)
    images = [{name: row[name] for name in ("image_id", "still_id", "kind", "path", "pixel_sha256")} for row in rows]
    project.store.write("images", SCHEMAS["images"].table(images), EPISODE)
    clusters = [{"image_id": it, "kind": "person", "characters": [who] if who else []} for it, who in WHO.items()]
    project.store.write("clusters", SCHEMAS["clusters"].table(clusters), EPISODE)
    gallery = [{"character": it, "show": "show", "name": name} for it, name in ((NAMED, "a/b|c, ..."), (GROUP, GROUP))]
    project.store.write("character_gallery", SCHEMAS["character_gallery"].table(gallery))
    return project


def files_in(folder: Path) -> list[str]:
    return sorted(it.relative_to(folder).as_posix() for it in folder.rglob("*") if it.is_file())


def test_a_folder_goes_out_is_changed_and_comes_back(project: Project, tmp_path: Path):
    folder = tmp_path / "sorted"
    code, out, _ = project.command("review", "export", str(folder))
    assert (code, "6 pictures of 2 characters" in out) == (0, True)
    stems = [f"show~e1@{number:08d}=person-0-0-900-900.png" for number in range(6)]
    named = "a_b_c,"
    places = [named, named, named, GROUP, GROUP, "_unknown"]
    assert files_in(folder) == sorted(
        ["READ ME.txt", "manifest.json", *(f"{place}/{stem}" for place, stem in zip(places, stems, strict=True))]
    )
    assert project.command("review", "import", str(folder))[1] == "nothing new is said\n"

    (folder / GROUP).rename(folder / "フリーレン 🪄")
    (folder / "_unknown" / stems[5]).rename(folder / named / stems[5])
    (folder / named / stems[0]).unlink()
    (folder / named / "mine.png").write_bytes(encode(picture(99), "png"))
    code, _, err = project.command("review", "import", str(folder), "--dry-run")
    assert (code, (tmp_path / "corrections").exists()) == (3, False)
    assert "mine.png: the project does not know it" in err
    said = {it["do"]: it for it in json.loads(project.command("review", "import", str(folder), "--json")[1])["said"]}
    assert said["rename"]["name"] == "フリーレン 🪄"
    assert said["set_character"]["images"] == [CROPS[5]]
    assert said["reject"]["images"] == [CROPS[0]]
    [batch] = (tmp_path / "corrections").iterdir()
    [event] = [it for it in json.loads(batch.read_text("utf-8"))["events"] if it["do"] == "reject"]
    assert event["images"][0] | {"look": ""} == {
        "image": CROPS[0], "source": "f00d", "pixels": pixel_sha256(picture(0)), "look": "",
    }  # fmt: skip
    assert json.loads(project.command("review", "import", str(folder), "--json")[1])["said"] == []


def test_models_and_settings_are_taken_after_the_name_of_the_command_as_well(project: Project, tmp_path: Path):
    folder = str(tmp_path / "sorted")
    other = tmp_path / "other.toml"
    other.write_text(f"[store]\nroot = '{tmp_path / 'empty'}'\n")
    after = ("--models", "demo", "--settings", str(tmp_path / "settings.toml"))
    assert project.command("review", "--settings", str(other), "export", folder, *after)[0] == 0
    assert project.command("review", "--settings", str(other), "import", folder, *after)[0] == 0
    code, _, err = project.command("review", "import", folder, "--settings", str(other))
    assert (code, "no characters" in err) == (1, True)


def test_a_folder_that_an_archive_decomposed_is_as_it_was_and_written_anew_once(project: Project, tmp_path: Path):
    gallery = [{"character": it, "show": "show", "name": "Andr\u00e9"} for it in (NAMED, GROUP)]
    project.store.write("character_gallery", SCHEMAS["character_gallery"].table(gallery))
    folder = tmp_path / "sorted"
    assert project.command("review", "export", str(folder))[0] == 0
    (folder / "Andr\u00e9").rename(folder / "Andre\u0301")
    assert project.command("review", "import", str(folder))[1] == "nothing new is said\n"
    assert project.command("review", "export", str(folder))[0] == 0
    assert sum(it.endswith(".png") for it in files_in(folder)) == len(CROPS)


def test_what_is_no_such_folder_is_told_in_a_sentence(project: Project, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.jpg").write_bytes(b"x")
    for what, why in (("import", "has no manifest.json"), ("export", "was not written by `review export`")):
        with pytest.raises(FolderError, match=why):  # which the entry point prints
            project.command("review", what, str(tmp_path / "mine"))
    assert files_in(tmp_path / "mine") == ["holiday.jpg"]
