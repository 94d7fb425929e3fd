"""`references`: what is listed, and what is copied where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.images.resize import encode
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline_tests.cli.project import Project

EPISODE = "show.e1"
CROPS = [f"{EPISODE}/{number:08d}#person-0-0-9-9" for number in range(3)]
NAMED, FOUND = "c-00000001", "c-00000002"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One crop of a named character and two of one that the tagger knows, in the store of a project."""
    project = Project(tmp_path)
    project.home.mkdir()
    (project.home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    root, references = tmp_path / "store", tmp_path / "references"
    (tmp_path / "settings.toml").write_text(
        f"[models]\npack = 'demo'\n[store]\nroot = '{root}'\n[references]\nroot = '{references}'\n"
    )
    rows = []
    for number, crop in enumerate(CROPS):
        path = project.store.put_picture("crops", EPISODE, crop, picture(number), "png")
        rows.append(
            {"image_id": crop, "still_id": crop.partition("#")[0], "kind": "person", "kept": True, "path": path}
        )
    project.store.write("crops", SCHEMAS["crops"].table(rows), EPISODE)
    tag = {"tag": "fern_(sousou)", "category": "character", "score": 0.9}
    same = {"pixel_sha256": "", "model_sha256": "", "algorithm": "", "tags": [tag]}
    scores = [{"image_id": crop, **same} for crop in CROPS]
    project.store.write("tag_scores", SCHEMAS["tag_scores"].table(scores), EPISODE)
    who = dict(zip(CROPS, (NAMED, FOUND, FOUND), strict=True))
    clusters = [{"image_id": crop, "characters": [character], "kind": "person"} for crop, character in who.items()]
    project.store.write("clusters", SCHEMAS["clusters"].table(clusters), EPISODE)
    gallery = [
        {"character": character, "show": "show", "name": name, "crops": crops, "exemplar_ids": ids}
        for character, name, crops, ids in ((NAMED, "Stark", 1, CROPS[:1]), (FOUND, FOUND, 2, CROPS[1:]))
    ]
    project.store.write("character_gallery", SCHEMAS["character_gallery"].table(gallery))
    return project


def picture(number: int) -> bytes:
    return encode(np.full((8, 8, 3), number, np.uint8), "png")


def listed(project: Project) -> tuple[int, dict]:
    code, out, _ = project.command("references", "--json")
    return code, json.loads(out)


def test_who_has_no_name_is_listed_with_what_the_tagger_calls_them(project: Project):
    code, found = listed(project)
    assert code == 0
    assert found["names"] == []
    [unnamed] = found["unnamed"]
    told = {"character": FOUND, "show": "show", "crops": 2, "proposed_name": "fern (sousou)", "share": 1.0}
    assert unnamed == told
    _, out, _ = project.command("references")
    assert "there are no references" in out
    assert "fern (sousou) (100% of the crops)" in out


def test_a_character_is_named_by_its_typical_crops_and_only_once(project: Project):
    folder = project.root / "references" / "Fern" / "red dress"
    code, out, err = project.command("references", "add", FOUND, "--as", "Fern", "--outfit", "red dress")
    assert code == 0
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [picture(1), picture(2)]
    assert str(folder) in out
    assert "run" in err
    _, out, _ = project.command("references", "add", CROPS[1], "--as", "Fern", "--outfit", "red dress")
    assert "is there already" in out
    _, found = listed(project)
    [fern] = found["names"]
    assert (fern["name"], len(fern["files"]), found["measured"]) == ("Fern", 2, False)


def test_a_crop_goes_to_the_name_that_it_bears(project: Project):
    assert project.command("references", "add", CROPS[0])[0] == 0
    assert [path.read_bytes() for path in (project.root / "references" / "Stark").iterdir()] == [picture(0)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([CROPS[1]], f"{CROPS[1]} bears no name: say whom it shows by --as"),
        (["show.e1/00000009#person-0-0-9-9", "--as", "Fern"], "there is no crop show.e1/00000009#person-0-0-9-9"),
        (["nonsense!", "--as", "Fern"], "'nonsense!' is neither the id of a crop nor of a character"),
        ([FOUND, "--as", "a,b"], "the name 'a,b' has ,, which separates names in captions"),
        ([FOUND, "--as", "../out"], "'../out' holds a slash"),
        ([FOUND, "--as", "Fern", "--outfit", ".."], "'..' is not the plain way from the folder"),
        ([], "nothing to add"),
        (["--proposed"], "nothing to add"),
    ],
)
def test_what_cannot_be_added_is_told_and_nothing_is_written(project: Project, arguments: list[str], told: str):
    code, _, err = project.command("references", "add", *arguments)
    assert code == 1
    assert told in err
    assert not (project.root / "references").exists()


def test_nothing_is_written_into_a_project_of_neme_anima(project: Project):
    folder = project.root / "references"
    folder.mkdir()
    (folder / "project.json").write_text('{"name": "Fern", "refs": []}')
    code, _, err = project.command("references", "add", FOUND, "--as", "Fern")
    assert code == 1
    assert "is a project of neme-anima" in err
    assert [path.name for path in folder.iterdir()] == ["project.json"]


def test_what_is_passed_over_is_told_by_file_and_by_the_exit_code(project: Project):
    (project.root / "references" / "Fern").mkdir(parents=True)
    code, found = listed(project)
    assert code == 3
    assert found["passed_over"] == {"Fern": "is empty: put pictures into it, or remove it"}
