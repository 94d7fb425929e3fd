"""Which shows are clustered again, and which episodes are compared with their characters again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.graph.aliases import rekey
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings import Settings, load_settings, resources_folder
from dataset_pipeline.store.pointers import pointer_path
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

DEFAULTS = load_settings(resources_folder() / "settings.toml", models__pack="demo")


@dataclass
class Identity:
    """Half the distance between vectors, and which were asked about."""

    threshold: float = 0.178
    sha256: str = "weights"
    asked: list[int] = field(default_factory=list)

    def fingerprint(self) -> Any:
        return SimpleNamespace(sha256=self.sha256, demo=True, as_dict=lambda: {"sha256": self.sha256})

    def differences(self, features: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
        self.asked.append(len(features))
        others = features if others is None else others
        return np.linalg.norm(features[:, None] - others[None], axis=2) / 2


@dataclass
class Project:
    """Episodes of crops on stills of their own, and the steps that are made of them."""

    root: Path
    identity: Identity = field(default_factory=Identity)
    settings: Settings = DEFAULTS
    episodes: set[str] = field(default_factory=set)

    @property
    def store(self) -> Store:
        return Store(str(self.root))

    def add(self, episode: str, people: list[int], seed: int = 0) -> None:
        """One crop of each of `people`: crops of one lie within 0.1 of one another, of two 0.7 apart."""
        self.episodes.add(episode)
        ids = [f"{episode}/{number:08d}#person-1-0-9-9" for number in range(len(people))]
        stills = [image_id.partition("#")[0] for image_id in ids]
        noise = np.random.default_rng([seed, len(episode)]).normal(size=(len(people), 16))
        vectors = np.eye(16)[people] + 0.1 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        same = {"pixel_sha256": "p", "model_sha256": self.identity.sha256, "algorithm": "1"}
        tables = {
            "shots": [],
            "tracks": [],
            "stills": [{"image_id": still, "episode": episode} for still in stills],
            "crops": [
                {"image_id": image_id, "still_id": still, "kind": "person", "kept": True}
                | {"x_px": 0, "y_px": 0, "width_px": 9, "height_px": 9}
                for image_id, still in zip(ids, stills, strict=True)
            ],
            "crop_embeddings": [
                {"image_id": image_id, **same, "embedding": vector.tolist()}
                for image_id, vector in zip(ids, vectors, strict=True)
            ],
        }
        provenance = {"models": [self.identity.fingerprint().as_dict()], "demo": True, "numbers": {}}
        for asset, rows in tables.items():
            self.store.write(asset, SCHEMAS[asset].table(rows), episode, Provenance.from_json(provenance))

    def made(self, asset: str, episode: str | None = None) -> tuple[pa.Table, dict[str, Any]]:
        """What the asset gives, and its numbers."""
        resources = SimpleNamespace(store=self.store, settings=self.settings, identity=self.identity)
        log = SimpleNamespace(warning=lambda message: None)
        step = Step(ASSETS[asset].declaration, resources, episode, log, sorted(self.episodes))
        pointer, _ = materialize(ASSETS[asset], step)
        return self.store.read(asset, episode), pointer.provenance.numbers


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "store")
    project.add("one.e1", [0] * 6 + [1] * 5)
    project.add("one.e2", [0] * 4 + [2] * 3, seed=1)
    project.add("other.e1", [0] * 7, seed=2)
    project.made("character_gallery")
    return project


def test_a_show_whose_crops_did_not_change_is_not_clustered_again(project: Project, tmp_path: Path):
    project.add("other.e2", [0] * 5 + [3] * 6, seed=3)
    project.identity.asked.clear()
    table, numbers = project.made("character_gallery")
    assert numbers["shows_clustered"] == 1
    assert project.identity.asked[0] == 7 + 5 + 6
    assert numbers["crops"] == 6 + 5 + 4 + 3 + 7 + 5 + 6

    anew = Project(tmp_path / "anew")
    anew.add("one.e1", [0] * 6 + [1] * 5)
    anew.add("one.e2", [0] * 4 + [2] * 3, seed=1)
    anew.add("other.e1", [0] * 7, seed=2)
    anew.add("other.e2", [0] * 5 + [3] * 6, seed=3)
    columns = ["character", "crops", "episodes"]
    assert anew.made("character_gallery")[0].select(columns).equals(table.select(columns))


def version_of(project: Project) -> str:
    pointer = project.store.pointer("character_gallery")
    assert pointer is not None
    return pointer.data_version


@pytest.mark.parametrize("episode", ["one.e0", "one.e3", "one.e1"], ids=["earlier", "later", "replaced"])
def test_more_of_whom_is_known_leaves_the_gallery_and_all_other_episodes_as_they_are(project: Project, episode: str):
    ids, version = who(project), version_of(project)
    others = {"one.e1", "one.e2"} - {episode}
    before = {other: project.made("clusters", other) for other in sorted(others)}
    project.add(episode, [0] * 6 + [1] * 9, seed=11)
    assert who(project) == ids
    assert version_of(project) == version
    project.identity.asked.clear()
    for other in sorted(others):
        assert project.made("clusters", other) == before[other]
    assert project.identity.asked == []


def test_exemplars_that_serve_no_longer_are_chosen_anew(project: Project):
    version = version_of(project)
    project.add("one.e3", [0] * 7 + [1] * 8 + [3] * 6, seed=11)
    project.made("character_gallery")
    somebody_new = version_of(project)
    assert somebody_new != version
    project.settings = load_settings(
        resources_folder() / "settings.toml", models__pack="demo", character_gallery__exemplars=3
    )
    table, _ = project.made("character_gallery")
    assert set(table["exemplar_ids"].combine_chunks().value_lengths().to_pylist()) == {3}
    assert version_of(project) != somebody_new


def test_a_show_is_clustered_again_if_the_settings_or_the_weights_change(project: Project):
    project.settings = load_settings(
        resources_folder() / "settings.toml", models__pack="demo", character_gallery__exemplars=3
    )
    assert project.made("character_gallery")[1]["shows_clustered"] == 2
    project.identity.sha256 = "other weights"
    table, numbers = project.made("character_gallery")
    assert numbers["shows_clustered"] == 2
    assert numbers["crops"] == table.num_rows == 0  # none that these weights can be compared with


def test_a_show_without_episodes_has_no_characters_any_more(project: Project):
    project.episodes -= {"other.e1"}
    table, numbers = project.made("character_gallery")
    assert set(table["show"].to_pylist()) == {"one"}
    assert numbers["shows_clustered"] == 0


def test_a_show_without_characters_is_looked_at_each_time_and_shows_nobody(project: Project):
    project.add("lone.e1", [5, 6, 7])
    for _ in range(2):
        table, numbers = project.made("character_gallery")
        assert set(table["show"].to_pylist()) == {"one", "other"}
        project.add("other.e2", [0])  # lets it run again
    assert numbers["shows_clustered"] == 2


def test_crops_of_other_weights_are_counted_apart(project: Project):
    project.identity.sha256 = "new weights"
    project.add("one.e3", [0] * 8)
    _, numbers = project.made("character_gallery")
    assert numbers["crops"] == 8
    faults = project.store.pointer("character_gallery").provenance.faults  # type: ignore[union-attr]
    assert faults == {"all_crops_speak_one_language": "25 were embedded by other weights"}


def test_an_episode_is_compared_again_only_if_the_characters_of_its_show_change(project: Project):
    before = {episode: project.made("clusters", episode) for episode in sorted(project.episodes)}
    project.add("other.e2", [3] * 6, seed=3)
    project.made("character_gallery")
    project.identity.asked.clear()
    for episode in ("one.e1", "one.e2"):
        assert project.made("clusters", episode) == before[episode]
    assert project.identity.asked == []
    assert project.made("clusters", "other.e1")[0].equals(before["other.e1"][0])
    assert project.identity.asked == [7, 7]  # with the characters, and with what they wear


def test_changed_crops_or_a_changed_limit_compare_an_episode_again(project: Project):
    project.made("clusters", "one.e1")
    project.add("one.e1", [0] * 6 + [1] * 5 + [2], seed=9)
    project.identity.asked.clear()
    assert project.made("clusters", "one.e1")[1]["crops_recognised"] == 11
    project.settings = load_settings(
        resources_folder() / "settings.toml", models__pack="demo", clusters__max_difference=0.001
    )
    assert project.made("clusters", "one.e1")[1]["crops_recognised"] == 0
    assert project.identity.asked == [12] * 4


def test_kept_rows_are_those_of_a_full_comparison(project: Project):
    project.made("clusters", "one.e1")
    project.add("other.e2", [3] * 6, seed=3)
    project.made("character_gallery")
    kept = project.made("clusters", "one.e1")[0]
    (project.root / pointer_path("clusters", "one.e1")).unlink()
    assert project.made("clusters", "one.e1")[0].equals(kept)
    assert {episode_of(image_id) for image_id in kept["image_id"].to_pylist()} == {"one.e1"}


def who(project: Project, show: str = "one") -> dict[int, str]:
    """The id of each person of a show, by the crops' axes."""
    rows = [row for row in project.made("character_gallery")[0].to_pylist() if row["show"] == show]
    return {int(np.argmax(np.mean(row["exemplars"], axis=0))): row["character"] for row in rows}


def log_of(project: Project) -> dict[str, bytes]:
    folder = project.root / "_identities"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}


def test_an_earlier_episode_that_arrives_later_leaves_the_others_as_they_were(project: Project):
    ids = who(project)
    before = {episode: project.made("clusters", episode)[0] for episode in ("one.e1", "one.e2")}
    project.add("one.e0", [0] * 6 + [1] * 6 + [4] * 6, seed=4)
    assert who(project).items() > ids.items()
    for episode, table in before.items():
        assert project.made("clusters", episode)[0]["characters"].equals(table["characters"])


def test_a_gallery_of_a_version_without_a_log_is_taken_over_with_its_ids(project: Project):
    table = project.store.read("character_gallery")
    old = {name: f"c-{number:08x}" for number, name in enumerate(sorted(table["character"].to_pylist()))}
    rows = [row | dict.fromkeys(("character", "name"), old[row["character"]]) for row in table.to_pylist()]
    pointer = project.store.pointer("character_gallery")
    assert pointer is not None
    project.store.write("character_gallery", SCHEMAS["character_gallery"].table(rows), None, pointer.provenance)
    shutil.rmtree(project.root / "_identities")
    project.add("one.e0", [0] * 6 + [1] * 6 + [2] * 6, seed=4)
    ids = who(project)
    assert set(ids.values()) > {row["character"] for row in rows if row["show"] == "one"}
    assert who(project, "other") == {0: next(row["character"] for row in rows if row["show"] == "other")}
    assert len(log_of(project)) == len(rows) + 1

    project.add("one.e1", [1] * 9, seed=5)
    project.add("one.e0", [0] * 9, seed=6)
    assert who(project).items() <= ids.items()


def renamed(project: Project, old: str, new: str) -> None:
    rekey(project.store, old, new)
    project.store.forget(old)
    project.episodes = project.episodes - {old} | {new}


def test_characters_keep_their_ids_when_episodes_go_by_other_keys(project: Project):
    ids, others = who(project), who(project, "other")
    renamed(project, "one.e1", "one.s01e01")
    assert who(project) == ids
    renamed(project, "one.s01e01", "right.s01e01")
    renamed(project, "one.e2", "right.s01e02")
    assert who(project, "right") == ids
    assert who(project) == {}
    assert who(project, "other") == others


def test_shows_that_a_name_had_split_become_one_with_the_ids_of_the_first(project: Project):
    ids = who(project)
    project.add("one-20.e20", [0] * 5 + [4] * 5, seed=7)
    split = who(project, "one-20")
    renamed(project, "one-20.e20", "one.e20")
    assert who(project) == {**ids, 4: split[4]}


def test_an_episode_that_leaves_its_show_takes_nobody_along_who_stays(project: Project):
    project.add("one.e3", [0] * 5 + [3] * 6, seed=3)
    ids = who(project)
    renamed(project, "one.e3", "apart.e3")
    apart = who(project, "apart")
    assert who(project).items() <= ids.items()
    assert apart[3] == ids[3]  # all of whose crops are there
    assert apart[0] not in set(ids.values())


def test_a_log_that_was_lost_is_made_again_from_the_gallery(project: Project):
    before = who(project)
    shutil.rmtree(project.root / "_identities")
    project.add("one.e0", [0] * 6 + [4] * 6, seed=4)
    assert who(project).items() > before.items()


def test_the_gallery_stays_as_it_is_where_nobody_new_appears(project: Project):
    before, log = project.store.read("character_gallery"), log_of(project)
    project.settings = load_settings(
        resources_folder() / "settings.toml", models__pack="demo", character_gallery__exemplars=3
    )
    project.made("character_gallery")
    project.settings = DEFAULTS
    assert project.made("character_gallery")[0].equals(before)
    assert log_of(project) == log


def test_whom_another_writer_adds_to_the_log_is_looked_for_when_the_gallery_is_made_next_and_only_once(
    project: Project, tmp_path: Path
):
    elsewhere = Project(tmp_path / "elsewhere")
    elsewhere.add("other.e0", [0] * 7, seed=7)
    ids = who(elsewhere, "other")
    shutil.copytree(elsewhere.root / "_identities", project.root / "_identities", dirs_exist_ok=True)
    project.identity.asked.clear()
    before = project.made("character_gallery")[0]
    assert project.identity.asked == []  # nothing that the gallery is made from has changed
    project.add("one.e3", [0] * 3, seed=8)
    assert project.made("character_gallery")[1]["shows_clustered"] == 2
    project.add("one.e3", [0] * 4, seed=8)
    table, numbers = project.made("character_gallery")
    assert numbers["shows_clustered"] == 1
    assert sorted(table["character"].to_pylist()) == sorted(before["character"].to_pylist())
    assert ids[0] not in table["character"].to_pylist()  # the older id stays


def test_an_asset_that_does_not_declare_that_it_remembers_has_no_log(project: Project):
    resources = SimpleNamespace(store=project.store, settings=DEFAULTS)
    step = Step(ASSETS["clusters"].declaration, resources, "one.e1", None, ["one.e1"])
    with pytest.raises(LookupError, match="clusters does not declare that it remembers"):
        _ = step.identity_log
