"""Characters of a drawn show sorted by hand in folders: what that says holds after the next run, and is said once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dataset_pipeline.corrections.events import event_of
from dataset_pipeline.graph.project import correction_log
from dataset_pipeline.reports.review_folders import (
    CARD,
    FolderError,
    Imported,
    current_of,
    export_folders,
    import_folders,
)
from dataset_pipeline_tests.scenarios.conftest import DrawnShow, Project


class Sorting:
    """A person with a folder of characters."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.folder = project, folder

    def write(self) -> None:
        export_folders(self.project.settings(), self.project.store, self.folder)

    def take_over(self, only_tell: bool = False) -> Imported:
        return import_folders(self.project.settings(), self.project.store, self.folder, only_tell)

    def pictures(self, place: str) -> list[Path]:
        return sorted((self.folder / place).glob("*.*"))

    @property
    def places(self) -> list[str]:
        """The folders of characters, that of most pictures first."""
        found = [it.name for it in self.folder.iterdir() if it.is_dir() and it.name.startswith("c-")]
        return sorted(found, key=lambda it: -len(self.pictures(it)))

    @property
    def characters(self) -> dict[str, dict]:
        return {row["character"]: row for row in self.project.rows("character_gallery")}


@pytest.fixture
def sorting(copy_of_finished: Project, tmp_path: Path) -> Sorting:
    found = Sorting(copy_of_finished, tmp_path / "characters")
    found.write()
    return found


def is_silent(done: Imported) -> bool:
    return not (done.said or done.conflicts or done.notices or done.foreign)


def image_of(sorting: Sorting, file: Path) -> str:
    name = file.relative_to(sorting.folder).as_posix()
    files = json.loads((sorting.folder / "manifest.json").read_text("utf-8"))["files"]
    return next(it["images"][0] for it in files if it["file"] == name)


def sort_by_hand(sorting: Sorting) -> tuple[list[str], list[Path], list[str]]:
    """Ids of the characters with the most pictures; files that were moved, deleted and moved out, and their images."""
    fern, stark, other = places = sorting.places[:3]
    moved, deleted, refused = files = sorting.pictures(fern)[:3]
    images = [image_of(sorting, it) for it in files]
    moved.rename(sorting.folder / stark / moved.name)
    deleted.unlink()
    (sorting.folder / "_unknown").mkdir(exist_ok=True)
    refused.rename(sorting.folder / "_unknown" / refused.name)
    for file in sorting.pictures(other):
        file.rename(sorting.folder / stark / file.name)
    (sorting.folder / fern).rename(sorting.folder / "Fern, the mage")
    return places, files, images


def test_what_is_sorted_by_hand_is_said_once(sorting: Sorting):
    assert len(sorting.places) == len(sorting.characters)
    assert is_silent(sorting.take_over())
    assert not (sorting.project.root / "corrections").exists()
    written = (sorting.folder / "manifest.json").read_text("utf-8")
    sort_by_hand(sorting)
    told = [it["do"] for it in sorting.take_over(only_tell=True).said]
    assert sorted(told) == ["merge", "not_character", "reject", "rename", "set_character"]
    assert [it["do"] for it in sorting.take_over().said] == told
    assert is_silent(sorting.take_over())
    (sorting.folder / "manifest.json").write_text(written, "utf-8")  # as if the import had been killed at its end
    assert is_silent(sorting.take_over())


@pytest.mark.thorough
def test_what_is_sorted_by_hand_holds_after_the_next_run(sorting: Sorting, drawn_show: DrawnShow):
    (fern, stark, other), (moved, deleted, _), images = sort_by_hand(sorting)
    sorting.take_over()
    outcome, calls = sorting.project.run(drawn_show.folder)
    assert (outcome.failures, calls) == ([], {})
    gallery = sorting.characters
    assert gallery[fern]["name"] == "Fern, the mage"
    assert gallery[stark]["merged"] == [other]
    shown = {row["image_id"]: row["characters"] for row in sorting.project.rows("clusters")}
    assert shown[images[0]] == [stark]
    assert fern not in shown[images[2]]
    reasons = {row["image_id"]: row["reason"] for row in sorting.project.rows("selection")}
    assert reasons[images[1]] == "rejected_by_hand"
    assert is_silent(sorting.take_over())

    sorting.write()  # nothing is lost by that, so the folder is written anew
    assert is_silent(sorting.take_over())
    assert moved.name in [it.name for it in sorting.pictures(stark)]
    assert deleted.name not in [it.name for it in sorting.folder.rglob("*.*")]
    assert len(sorting.pictures("Fern, the mage")) > 1


def test_what_was_said_elsewhere_meanwhile_is_not_overruled_by_a_folder(sorting: Sorting):
    fern, stark, other = sorting.places[:3]
    file = sorting.pictures(fern)[0]
    image = image_of(sorting, file)
    file.rename(sorting.folder / stark / file.name)
    log = correction_log(sorting.project.settings())
    log.append([event_of({"do": "set_character", "images": [image], "character": other})], by="a test")
    done = sorting.take_over()
    assert done.said == []
    assert done.conflicts == [f"{stark}/{file.name}: since the export it was given to {other}"]
    with pytest.raises(FolderError, match="was changed by hand"):
        sorting.write()
    current = current_of(sorting.project.settings(), sorting.project.store)
    assert current.who[image] == other
    odd, *alike = (
        image_of(sorting, sorting.pictures(fern)[0]),
        *(image_of(sorting, it) for it in sorting.pictures(other)[:2]),
    )
    log.append(
        [
            event_of({"do": "same_person", "images": [odd, *alike]}),
            event_of({"do": "rename", "character": "c-00000000", "name": "Found again", "shown_by": alike}),
        ],
        by="a test",
    )
    current = current_of(sorting.project.settings(), sorting.project.store)
    assert [current.who[it] for it in (odd, *alike)] == [other] * 3
    assert current.names[other] == "Found again"


def test_a_folder_is_read_with_suspicion(sorting: Sorting, tmp_path: Path):
    fern, stark = sorting.places[:2]
    secret = tmp_path / "secret"
    secret.mkdir()
    shutil.copy(sorting.pictures(stark)[0], secret / "picture.webp")
    (sorting.folder / fern / "linked").symlink_to(secret, target_is_directory=True)
    (sorting.folder / fern / "link.webp").symlink_to(secret / "picture.webp")
    (sorting.folder / fern / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    for number in range(300):
        (sorting.folder / fern / f"{number}.txt").write_text(str(number))
    (sorting.folder / fern / ".hidden").write_text("x")
    (sorting.folder / CARD).unlink()
    done = sorting.take_over()
    assert done.said == []
    assert [it.partition(":")[0] for it in done.notices] == [f"'{fern}/linked'", f"{fern}/link.webp"]
    assert len(done.foreign) == 301

    manifest = sorting.folder / "manifest.json"
    written = manifest.read_text("utf-8")
    manifest.write_text(written.replace(f'"path": "{stark}"', '"path": "../secret"'))
    with pytest.raises(FolderError, match=r"does not lie below the folder.*Export again"):
        sorting.take_over()
    manifest.write_text("[" * 100_000)
    with pytest.raises(FolderError, match="no JSON"):
        sorting.take_over()
    manifest.unlink()
    with pytest.raises(FolderError, match="has no manifest"):
        sorting.take_over()
    with pytest.raises(FolderError, match="was not written by"):
        sorting.write()
