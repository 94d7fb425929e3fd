"""References on their way to names: what is looked at, what is made anew, and which ids and names come of it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.materializing import is_current, materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.models.detector import Box
from dataset_pipeline.models.tagger import TagScores
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline_tests.assets import test_characters
from dataset_pipeline_tests.assets.test_characters import Identity

SHADE = 16  # a picture of person k has this brightness times k
CHAIN = ("reference_embeddings", "character_gallery", "clusters")


@dataclass
class Seeing(Identity):
    """Each role in one: whoever is on a picture is told by its brightness, and pictures are counted by role."""

    seen: Counter = field(default_factory=Counter)

    def watched(self, role: str, pictures: Iterable[np.ndarray]) -> Iterator[int]:
        for picture in pictures:
            self.seen[role] += 1
            yield round(float(picture.mean()) / SHADE)

    def detect(self, pictures: Iterable[np.ndarray], kinds: Any) -> list[list]:
        """Somebody in the left half of each picture."""
        return [[Box("person", 0, 0, 15, 40, 0.9)] for _ in self.watched("detector", pictures)]

    def embed(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        return np.eye(16, dtype=np.float32)[list(self.watched("identity", pictures))]

    def vocabulary(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("red_hair", "blue_eyes", "smile"), ("general",) * 3

    def tag(self, pictures: Iterable[np.ndarray]) -> TagScores:
        count = len(list(self.watched("tagger", pictures)))
        return TagScores(*self.vocabulary(), np.full((count, 3), 0.5, np.float32))


@dataclass
class Project(test_characters.Project):
    identity: Seeing = field(default_factory=Seeing)

    @property
    def folder(self) -> Path:
        return self.root.parent / "references"

    def show(self, file: str, person: int) -> None:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        # One pixel tells pictures of one person apart, who have a file each.
        pixels = np.full((40, 30 + len(list(self.folder.rglob("*"))), 3), SHADE * person, np.uint8)
        Image.fromarray(pixels).save(path)

    def add(self, episode: str, people: list[int], seed: int = 0) -> None:
        super().add(episode, people, seed)
        same = {"pixel_sha256": "p", "model_sha256": "t", "algorithm": "1", "tags": []}
        ids = self.store.read("crops", episode)["image_id"].to_pylist()
        self.store.write("tag_scores", SCHEMAS["tag_scores"].table([{"image_id": it, **same} for it in ids]), episode)

    def step(self, asset: str, episode: str | None = None) -> Step:
        self.settings = load_settings(
            resources_folder() / "settings.toml", models__pack="demo", references__root=str(self.folder)
        )
        roles = dict.fromkeys(("detector", "identity", "tagger"), self.identity)
        resources = SimpleNamespace(store=self.store, settings=self.settings, **roles)
        log = SimpleNamespace(warning=lambda message: None)
        return Step(ASSETS[asset].declaration, resources, episode, log, sorted(self.episodes))

    def made(self, asset: str, episode: str | None = None) -> tuple[pa.Table, dict[str, Any]]:
        pointer, _ = materialize(ASSETS[asset], self.step(asset, episode))
        return self.store.read(asset, episode), dict(pointer.provenance.numbers)

    def run(self) -> set[str]:
        """Make what is due; returns what was."""
        made = set()
        for asset in CHAIN:
            for episode in sorted(self.episodes) if asset == "clusters" else [None]:
                if not is_current(self.step(asset, episode)):
                    made.add(asset)
                    self.made(asset, episode)
        return made

    def people(self) -> dict[int, tuple[str, str]]:
        """Id and name of each character by who it is most."""
        rows = self.store.read("character_gallery").to_pylist()
        return {int(np.argmax(np.mean(r["exemplars"], axis=0))): (r["character"], r["name"]) for r in rows}

    def faults(self) -> dict[str, str]:
        return self.store.pointer("reference_embeddings").provenance.faults  # type: ignore[union-attr]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Persons 0, 1 and 2 in two episodes, without references."""
    project = Project(tmp_path / "store")
    project.folder.mkdir()
    project.add("one.e1", [0] * 6 + [1] * 5)
    project.add("one.e2", [0] * 4 + [2] * 5, seed=1)
    project.run()
    return project


def test_without_references_nothing_is_read_asked_or_named(project: Project):
    table = project.store.read("reference_embeddings")
    assert table.num_rows == 0
    assert not project.identity.seen
    assert {name for _, name in project.people().values()} == {it for it, _ in project.people().values()}
    inputs = project.store.pointer("character_gallery").provenance.inputs  # type: ignore[union-attr]
    assert not {"tag_scores", "reference_embeddings"} & set(inputs)
    assert project.run() == set()


def test_a_folder_that_names_nobody_is_told_and_nothing_else_is_made_anew(project: Project):
    (project.folder / "Stark").mkdir()
    (project.folder / "a,b").mkdir()
    project.show("a,b/1.png", 0)
    assert project.run() == {"reference_embeddings"}
    [told] = project.faults().values()
    assert "Stark: is empty" in told
    assert "a,b/1.png: the name 'a,b' has ," in told
    shutil.rmtree(project.folder)
    assert project.run() == {"reference_embeddings"}
    [told] = project.faults().values()
    assert told == f"references.root: there is no folder {project.folder}: correct the setting"


def test_references_give_names_and_everybody_keeps_the_id(project: Project):
    before = project.people()
    project.show("Fern/1.png", 0)
    project.show("Stark_1.png", 2)
    assert project.run() == set(CHAIN)
    assert project.people() == {0: (before[0][0], "Fern"), 1: before[1], 2: (before[2][0], "Stark")}
    rows = project.store.read("clusters", "one.e2").to_pylist()
    assert [row["characters"] for row in rows if row["kind"] == "still"] == [[before[0][0]]] * 4 + [[before[2][0]]] * 5


def test_one_more_picture_makes_just_these_anew_and_models_see_it_alone(project: Project):
    project.show("Fern/1.png", 0)
    project.run()
    assert project.identity.seen == {"detector": 1, "identity": 1, "tagger": 1}
    project.show("Fern/2.png", 0)
    assert project.run() == set(CHAIN)
    assert project.identity.seen == {"detector": 2, "identity": 2, "tagger": 2}
    assert project.run() == set()


def test_a_picture_that_is_moved_copied_or_brought_back_is_never_measured_twice(project: Project):
    project.show("Fern/1.png", 0)
    project.run()
    shutil.copy(project.folder / "Fern/1.png", project.folder / "Fern/2.png")
    (project.folder / "Fern/1.png").rename(project.folder / "Fern_3.png")
    project.run()
    assert project.store.read("reference_embeddings")["file"].to_pylist() == ["Fern/2.png", "Fern_3.png"]
    shutil.rmtree(project.folder)
    project.run()
    project.show("Fern/1.png", 0)
    project.run()
    assert project.identity.seen["identity"] == 1


def test_a_renamed_folder_changes_the_name_alone(project: Project):
    project.show("Fern/1.png", 0)
    project.run()
    before = project.people()
    (project.folder / "Fern").rename(project.folder / "Frieren")
    project.run()
    assert project.people() == before | {0: (before[0][0], "Frieren")}
    assert project.identity.seen["identity"] == 1


def test_references_that_go_leave_the_ids(project: Project):
    before = project.people()
    project.show("Fern/1.png", 0)
    project.run()
    shutil.rmtree(project.folder)
    project.run()
    assert project.people() == before


def test_two_characters_under_one_name_become_one_with_an_id_of_theirs(project: Project):
    before = project.people()
    project.show("Fern/1.png", 0)
    project.show("Fern/dress/1.png", 2)
    project.run()
    rows = {row["name"]: row for row in project.store.read("character_gallery").to_pylist()}
    assert rows["Fern"]["character"] in {before[0][0], before[2][0]}
    assert rows["Fern"]["crops"] == 6 + 4 + 5
    assert rows.keys() == {"Fern", before[1][0]}
    shutil.rmtree(project.folder / "Fern/dress")
    project.run()
    assert {it for it, _ in project.people().values()} == {it for it, _ in before.values()}


def test_noise_rejects(project: Project):
    project.show("Fern/1.png", 0)
    project.show("noise/1.png", 0)
    project.run()
    assert {name for _, name in project.people().values()} == {it for it, _ in project.people().values()}
    assert project.made("reference_embeddings")[1]["pictures_that_reject"] == 1


def test_what_cannot_be_read_is_told_by_file_and_the_others_count(project: Project, monkeypatch: pytest.MonkeyPatch):
    project.show("Fern/1.png", 0)
    (project.folder / "Fern/2.png").write_bytes(b"no picture")
    (project.folder / "Stark").mkdir()
    project.show("Ruler/1.png", 3)
    monkeypatch.setattr("dataset_pipeline.assets.references.MAX_PIXELS", 30 * 40 + 200)
    project.show("Ruler/2.png", 3)
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(project.folder / "Ruler/2.png")
    project.run()
    rows = project.store.read("reference_embeddings").to_pylist()
    assert {row["file"]: bool(row["views"]) for row in rows} == {
        "Fern/1.png": True, "Fern/2.png": False, "Ruler/1.png": True, "Ruler/2.png": False,
    }  # fmt: skip
    assert [bool(row["reason"]) for row in rows] == [not row["views"] for row in rows]
    [told] = project.faults().values()
    assert "Stark: is empty: put pictures into it, or remove it" in told
    assert "Fern/2.png: " in told
    assert "Ruler/2.png: " in told
    assert "90x90 pixels are more than the 1400 allowed" in told
    assert project.people()[0][1] == "Fern"


def test_the_originals_are_left_as_they_are(project: Project):
    project.show("Fern/1.png", 0)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in project.folder.rglob("*.png")}
    project.run()
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in project.folder.rglob("*.*")}
