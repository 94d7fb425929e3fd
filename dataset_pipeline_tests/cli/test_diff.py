"""`diff` as a person types it: sets of the store and exported folders, and its exit codes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset_pipeline.reports.set_diff import sides
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.lineage import JOINED, Lineage, Made
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.exporters.image_set import CAPTION_FIELDS
from dataset_pipeline_tests.cli.project import PIXEL, Project

EPISODE = "one.one"


def write_set(project: Project, dropped: str = "", **changes: Any) -> str:
    """Make a set of two images current, without the second if a reason is given why it is `dropped`; its name."""
    settings, ids = load_settings(DEFAULTS, **changes), [f"{EPISODE}/{number:08}" for number in (1, 2)]
    rows = []
    for image_id in ids:
        path = project.store.put_picture("training_images", EPISODE, image_id, PIXEL, "png")
        row = {"image_id": image_id, "episode": EPISODE, "show": "one", "kind": "still", "concept": "1_character/fern"}
        row |= {"characters": ["fern"], "multiply": 1.0, "caption": "fern", "quality": 0.25, "path": path}
        row |= {"width_px": 1, "height_px": 1, "file_sha256": hashlib.sha256(PIXEL).hexdigest(), "split": "train"}
        rows.append(CAPTION_FIELDS | row)
    reasons = {ids[0]: "selected", ids[1]: dropped or "selected"}
    told = [
        {"image_id": it, "still_id": it, "selected": why == "selected", "reason": why, "quality": 0.25}
        for it, why in reasons.items()
    ]
    table = project.store.write("selection", SCHEMAS["selection"].table(told), EPISODE).path
    steps = {
        name: {EPISODE: Made("1", {name: getattr(settings, name).counted()})}
        for name in ("selection", "distinct_frames")
    }
    steps["concept_balance"] = {JOINED: Made("1", {"concept_balance": settings.concept_balance.counted()})}
    lineage = Lineage({EPISODE: "v1"}, steps, {"selection": {EPISODE: Path(table).stem}})
    kept = rows[:1] if dropped else rows
    return Path(project.store.write("training_set", SCHEMAS["training_set"].table(kept), lineage=lineage).path).stem


def test_a_set_that_is_not_current_any_more_is_compared_with_the_current_one(project: Project, tmp_path: Path):
    first = write_set(project)
    second = write_set(project, "low_quality", selection__min_quality=0.3, distinct_frames__similarity=0.9)
    code, output, errors = project.command("diff", first[:5], "--page", str(tmp_path / "page.html"))
    assert (code, errors) == (3, "")
    assert "1 image left\n      1  of too low a quality, since [selection] min_quality 0.0 -> 0.3" in output
    assert f"{EPISODE}/00000002 (0.25)" in output
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 1
    code, output, _ = project.command("diff", "current", first, "--json")
    told = json.loads(output)
    assert (code, told["counts"]["came"], told["same"]) == (3, 1, False)
    assert told["differences"][0]["reason"].startswith("no longer of too low a quality (0.25), since [selection]")
    for name in (second, "current"):
        code, output, errors = project.command("diff", name)
        assert (code, output.splitlines()[-1], errors) == (0, "no difference", "")


def test_the_sets_that_there_are_can_be_listed(project: Project):
    first, second = write_set(project), write_set(project, "low_quality")
    code, output, _ = project.command("diff", "--list", "--json")
    listed = [(it["name"], it["images"], it["current"], it["traced"]) for it in json.loads(output)]
    assert (code, listed) == (0, [(second, 1, True, True), (first, 2, False, True)])
    code, output, _ = project.command("diff", "--list")
    assert (code, all(name in output for name in (first, second, "current"))) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name the set to compare with"),
        (["nothing"], "'nothing' is no folder, and no training set begins so in"),
        (["current"], "there is no training set in"),
        (["episodes"], "manifest.json"),
    ],
)
def test_what_cannot_be_compared_ends_with_one_and_says_what_to_do(
    arguments: list[str], told: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "episodes").mkdir()
    monkeypatch.chdir(tmp_path)
    code, output, errors = project.command("diff", *arguments)
    assert (code, output) == (1, "")
    assert told in errors


def test_a_listed_name_goes_before_a_data_version_and_two_that_begin_alike_are_both_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    """The current set's data version begins as the name of the older set does."""
    first = write_set(project)
    second = write_set(project, "low_quality")
    of_current = sides.Store.pointer
    alike = lambda store, *of: (found := of_current(store, *of)) and replace(found, data_version=first)  # noqa: E731
    monkeypatch.setattr(sides.Store, "pointer", alike)
    code, output, _ = project.command("diff", first[:4], second[:4], "--json")
    assert (code, json.loads(output)["counts"]["left"]) == (3, 1)
    name = "0" * len(first)
    folder = project.root / "store" / "training_set" / "_all"
    for digit in "12":
        (folder / f"{name[:-1]}{digit}.parquet").write_bytes((folder / f"{first}.parquet").read_bytes())
    code, _, errors = project.command("diff", name[:5])
    assert (code, f"{name[:-1]}1" in errors, f"{name[:-1]}2" in errors) == (1, True, True)


def test_current_is_never_a_folder_and_is_looked_for_in_the_store_beside_the_other_one(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_set(project)
    folder = exported(project)
    (tmp_path / "current").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)
    settings = project.root / "settings.toml"
    told = json.dumps(str(tmp_path / "store"))
    assert told in settings.read_text("utf-8")
    settings.write_text(settings.read_text("utf-8").replace(told, json.dumps(str(tmp_path / "elsewhere"))), "utf-8")
    code, output, errors = project.command("diff", str(folder), "current")
    assert (code, output.splitlines()[-1], errors) == (0, "no difference", "")


def test_a_damaged_set_of_the_store_is_named(project: Project):
    name = write_set(project)
    (project.root / "store" / "training_set" / "_all" / f"{name}.parquet").write_bytes(b"cut off")
    code, _, errors = project.command("diff", "current")
    assert code == 1
    assert "cannot be read" in errors


def test_an_exported_folder_is_explained_by_the_tables_behind_it_and_by_no_others(project: Project):
    """A later run by other settings gives the same images, by other tables: the folder's own manifest must do then."""
    write_set(project)
    old = exported(project)
    changes = {"selection__min_quality": 0.3, "distinct_frames__similarity": 0.9}
    write_set(project, "small", **changes)
    new = exported(project)
    code, output, _ = project.command("diff", str(old), str(new))
    assert (code, "      1  too small, since [distinct_frames]" in output) == (3, True)
    write_set(project, "too_few_faces", **changes, selection__max_crop_share=0.3)
    code, output, _ = project.command("diff", str(old), str(new))
    assert (code, "      1  of too low a quality, since [selection] min_quality 0.0 -> 0.3" in output) == (3, True)


def write_clips(project: Project, reason: str = "kept", **changes: Any) -> None:
    settings = load_settings(DEFAULTS, clips__enabled=True, **changes)
    image_id, kept = f"{EPISODE}/clip-00000100-00002100", reason == "kept"
    path = project.store.put_picture("training_clips", EPISODE, image_id, b"a film", "mp4")
    file = {"image_id": image_id, "frames": 33, "fps": 16, "path": path, "width_px": 64, "height_px": 64}
    file |= {"size_bytes": 6, "file_sha256": hashlib.sha256(b"a film").hexdigest()}
    row = {"image_id": image_id, "episode": EPISODE, "start_s": 0.1, "end_s": 2.1, "frames": 33, "fps": 16}
    row |= {"kept": kept, "reason": reason, "concept": "1_character/fern", "caption": "fern, a film", "split": "train"}
    for asset, rows in (("clips", [CAPTION_FIELDS | row]), ("training_clips", [file] if kept else [])):
        by = Provenance("1", settings={asset: getattr(settings, asset).counted()})
        project.store.write(asset, SCHEMAS[asset].table(rows), EPISODE, by)


def test_clips_of_a_folder_are_compared_with_those_that_an_export_would_write(project: Project):
    project.register("one")
    first = write_set(project)
    write_clips(project)
    folder = exported(project, "musubi")
    code, output, errors = project.command("diff", str(folder))
    assert (code, output.splitlines()[-1], errors) == (0, "no difference", "")
    write_clips(project, "held", clips__min_change=99, clips__margin_s=0.4)
    code, output, _ = project.command("diff", str(folder))
    assert code == 3
    assert "1 image left\n      1  a stretch in which nothing moves, since [clips] min_change 3 -> 99\n" in output
    code, output, _ = project.command("diff", "current", str(folder))
    assert "1  no longer a stretch in which nothing moves, since [clips] min_change 99 -> 3\n" in output
    write_set(project, "low_quality")
    code, output, _ = project.command("diff", str(folder), first)
    assert (code, "1 clip was not compared" in output) == (3, True)


def exported(project: Project, profile: str = "plain") -> Path:
    for asset in ("core_tags", "character_gallery"):
        project.store.write(asset, SCHEMAS[asset].empty())
    code, output, errors = project.command("export", profile)
    assert (code, errors) == (0, "")
    return Path(output.splitlines()[-1])
