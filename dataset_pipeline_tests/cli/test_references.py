"""`references`: what is listed, and what is copied where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.base.file_names import sha256_of_file
from dataset_pipeline.images.resize import encode
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.reports.references import account_of, naming_of
from dataset_pipeline.settings import load_settings
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline_tests.cli.project import Project

EPISODE = "show.e1"
CROPS = [f"{EPISODE}/{number:08d}#person-0-0-9-9" for number in range(7)]
LOOKS = (0, 1, 1, 1, 1, 2, 3)  # of each crop: the last two of a character are other people, found with it by mistake
NAMED, FOUND = "c-00000001", "c-00000002"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One crop of a named character and six of one that the tagger knows, in the store of a project; by mistake two of
    these show others, who are the farthest exemplars."""
    project = Project(tmp_path)
    project.home.mkdir()
    (project.home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    root, references = tmp_path / "store", tmp_path / "references"
    (tmp_path / "settings.toml").write_text(
        f"[models]\npack = 'demo'\n[store]\nroot = '{root}'\n[references]\nroot = '{references}'\n"
    )
    references.mkdir()
    rows = []
    for number, crop in enumerate(CROPS):
        path = project.store.put_picture("crops", EPISODE, crop, picture(number), "png")
        rows.append(
            {"image_id": crop, "still_id": crop.partition("#")[0], "kind": "person", "kept": True, "path": path}
            | {"x_px": 0, "y_px": 0, "width_px": 32, "height_px": 32}
        )
    project.store.write("crops", SCHEMAS["crops"].table(rows), EPISODE)
    tag = {"tag": "fern_(sousou)", "category": "character", "score": 0.9}
    same = {"pixel_sha256": "", "model_sha256": "", "algorithm": "", "tags": [tag]}
    scores = [{"image_id": crop, **same} for crop in CROPS]
    project.store.write("tag_scores", SCHEMAS["tag_scores"].table(scores), EPISODE)
    embed(project, np.eye(768, dtype=np.float32)[list(LOOKS)])
    who = dict(zip(CROPS, (NAMED, *[FOUND] * 6), strict=True))
    clusters = [{"image_id": crop, "characters": [character], "kind": "person"} for crop, character in who.items()]
    project.store.write("clusters", SCHEMAS["clusters"].table(clusters), EPISODE)
    gallery = [
        {"character": character, "show": "show", "name": name, "crops": crops, "exemplar_ids": ids}
        | {"episodes": [EPISODE]}
        for character, name, crops, ids in (
            (NAMED, "Stark", 1, CROPS[:1]),
            (FOUND, FOUND, 6, [CROPS[1], CROPS[5], CROPS[6], CROPS[2]]),
        )
    ]
    project.store.write("character_gallery", SCHEMAS["character_gallery"].table(gallery))
    return project


def measure(project: Project, person: int) -> None:
    """One reference of Stark who looks like this one, as a run would have measured it."""
    path = project.root / "references" / "Stark" / "1.png"
    path.parent.mkdir()
    path.write_bytes(b"a picture")
    weights = model_resources(load_settings(project.root / "settings.toml"))["identity"].fingerprint().sha256
    row = {"file": "Stark/1.png", "name": "Stark", "outfit": "", "sha256": sha256_of_file(path), "reason": ""}
    view = {"kind": "person", "embedding": np.eye(768, dtype=np.float32)[person].tolist()}
    row |= {"views": [view], "traits": [], "model_sha256": weights}
    project.store.write("reference_embeddings", SCHEMAS["reference_embeddings"].table([row]))


def embed(project: Project, looks: np.ndarray) -> None:
    weights = model_resources(load_settings(project.root / "settings.toml"))["identity"].fingerprint().sha256
    same = {"pixel_sha256": "", "model_sha256": weights, "algorithm": ""}
    rows = [{"image_id": crop, "embedding": look, **same} for crop, look in zip(CROPS, looks, strict=True)]
    project.store.write("crop_embeddings", SCHEMAS["crop_embeddings"].table(rows), EPISODE)


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
    told = {"character": FOUND, "show": "show", "crops": 6, "proposed_name": "fern (sousou)", "share": 1.0}
    assert unnamed == told
    _, out, _ = project.command("references")
    assert "there are no references" in out
    assert "fern (sousou) (100% of the crops)" in out


def test_a_character_is_named_by_its_typical_crops_and_only_once(project: Project):
    folder = project.root / "references" / "Fern" / "red dress"
    code, out, err = project.command("references", "add", FOUND, "--as", "Fern", "--outfit", "red dress")
    assert code == 0
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [picture(1), picture(2), picture(3)]
    assert str(folder) in out
    assert "run" in err
    _, out, _ = project.command("references", "add", CROPS[1], "--as", "Fern", "--outfit", "red dress")
    assert "is there already" in out
    _, found = listed(project)
    [fern] = found["names"]
    assert (fern["name"], len(fern["files"]), found["measured"]) == ("Fern", 3, False)


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
        (["--proposed", "--as", "Fern"], "leave --as away"),
        ([FOUND, "--as", ".hidden"], "'.hidden' is what files are called that are ignored"),
        ([FOUND, "--as", "Fern", "--outfit", ".x"], "'.x' is what files are called that are ignored"),
        ([FOUND, "--as", "a" * 300], "has more than 80 letters"),
        ([FOUND, "--as", "CON"], "which Windows takes for another name"),
    ],
)
def test_what_cannot_be_added_is_told_and_nothing_is_written(project: Project, arguments: list[str], told: str):
    code, _, err = project.command("references", "add", *arguments)
    assert code == 1
    assert told in err
    assert list((project.root / "references").iterdir()) == []


def test_nothing_is_written_into_a_project_of_neme_anima(project: Project):
    folder = project.root / "references"
    (folder / "project.json").write_text('{"name": "Fern", "refs": []}')
    code, _, err = project.command("references", "add", FOUND, "--as", "Fern")
    assert code == 1
    assert "is a project of neme-anima" in err
    assert [path.name for path in folder.iterdir()] == ["project.json"]


def test_what_is_passed_over_is_told_by_file_and_by_the_exit_code(project: Project):
    (project.root / "references" / "Fern").mkdir()
    code, found = listed(project)
    assert code == 3
    assert found["passed_over"] == {"Fern": "is empty: put pictures into it, or remove it"}


def test_what_is_there_under_another_name_or_spelling_is_not_added(project: Project):
    assert project.command("references", "add", CROPS[1], "--as", "Fern")[0] == 0
    for name in ("Stark", "noise"):
        code, _, err = project.command("references", "add", CROPS[1], "--as", name)
        assert code == 1
        assert "is there already as Fern/" in err
    code, _, err = project.command("references", "add", CROPS[2], "--as", "fern")
    assert code == 1
    assert "'fern' is another spelling of 'Fern'" in err
    assert [path.name for path in (project.root / "references").iterdir()] == ["Fern"]


def test_a_file_in_the_place_of_a_folder_is_told(project: Project):
    (project.root / "references" / "Fern").write_bytes(b"a file")
    code, _, err = project.command("references", "add", CROPS[1], "--as", "Fern")
    assert code == 1
    assert "cannot be written: " in err


def test_every_file_that_a_run_could_not_measure_is_told_with_its_reason(project: Project):
    files = [project.root / "references" / "Fern" / f"{number}.png" for number in range(5)]
    files[0].parent.mkdir()
    rows = []
    for path in files:
        path.write_bytes(path.name.encode())
        row = {"file": f"Fern/{path.name}", "name": "Fern", "outfit": "", "model_sha256": "", "traits": [], "views": []}
        rows.append(row | {"sha256": sha256_of_file(path), "reason": "no picture"})
    project.store.write("reference_embeddings", SCHEMAS["reference_embeddings"].table(rows))
    code, found = listed(project)
    assert code == 3
    assert found["passed_over"] == {row["file"]: "no picture" for row in rows}
    assert found["measured"]


def test_names_are_told_with_who_bears_them_what_is_doubtful_and_what_would_be_a_good_reference(project: Project):
    looks = np.eye(768, dtype=np.float32)[list(LOOKS)]
    looks[0, :10] = [0.9, *[0.0] * 8, np.sqrt(1 - 0.9**2)]  # Stark, a little unlike the reference
    embed(project, looks)
    measure(project, person=0)
    code, found = listed(project)
    assert code == 0
    [stark] = found["names"]
    assert stark == {
        "name": "Stark", "files": ["Stark/1.png"], "crops": 1, "doubtful": CROPS[:1], "proposed": CROPS[:1],
    }  # fmt: skip
    assert found["measured"]
    assert naming_of(project.store) == {"names": 1, "crops": 1, "characters_without_a_name": 1}
    _, out, err = project.command("references")
    assert f"\n  {CROPS[0]}\n" in out
    assert "changed" not in err
    assert project.command("references", "add", "--proposed")[0] == 0
    files = sorted((project.root / "references" / "Stark").iterdir())
    assert [path.read_bytes() for path in files] == [b"a picture", picture(0)]
    assert not listed(project)[1]["measured"]


def test_people_are_those_of_the_tracks_where_the_run_used_them(project: Project):
    measure(project, person=0)
    [stark] = listed(project)[1]["names"]
    assert stark["doubtful"] == CROPS[:1]
    box = {"x0_px": 0, "y0_px": 0, "x1_px": 9, "y1_px": 9}
    sample = {"pts": 0, "pts_s": 0.0, "held_until_s": 1.0, "head": None, "score": 0.9, "sharpness": 1.0, **box}
    track = {"track_id": f"{EPISODE}/track", "episode": EPISODE, "start_s": 0.0, "end_s": 1.0, "samples": [sample]}
    track |= {"width_px": 1000, "height_px": 1000, "vectors": [], "model_sha256": ""}
    project.store.write("tracks", SCHEMAS["tracks"].table([track]), EPISODE)
    overlay = project.root / "settings.toml"
    for mode, doubtful in (("off", CROPS[:1]), ("on", [])):  # all crops along the track are one person, hardly Stark
        settings = load_settings(overlay, tracks__mode=mode)
        account = account_of(settings, project.store, model_resources(settings)["identity"])
        assert list(account.names[0].doubtful) == doubtful
