"""The jobs that a person starts in the web UI, run by Dagster on small pictures and drawn models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from PIL import Image

from dataset_pipeline import definitions
from dataset_pipeline.orchestration import runs
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.assets.drawn_models import Models

PICTURES = 2  # of an episode
SETTINGS = {
    "models__pack": "demo",
    "arrivals__settle_s": 0.0,
    "character_gallery__min_crops": 2,
    "crops__person_min_side_px": 20,
    "selection__min_short_side_px": 20,
    "selection__min_quality": 0.0,
    "selection__max_crop_share": 1.0,
    "captions__template": "booru",
}


class DistinctModels(Models):
    """No two pictures are alike to it."""

    def embed(self, pictures: Iterable[np.ndarray]) -> Iterator[list[float]]:
        for picture in self.watched("embedder", pictures):
            vector = np.random.default_rng(int(picture.sum())).normal(size=64)
            yield (vector / np.linalg.norm(vector)).tolist()


@dataclass
class Project:
    """A project in a folder, with Dagster's history in memory."""

    root: Path
    instance: dg.DagsterInstance
    models: Models = field(default_factory=DistinctModels)

    @property
    def store(self) -> Store:
        return Store(str(self.root / "store"))

    def draw(self, name: str) -> None:
        """A folder with pictures; `one` becomes the episode `one.one`."""
        folder = self.root / "episodes" / name
        folder.mkdir(parents=True)
        for number in range(PICTURES):
            noise = np.random.default_rng([*name.encode(), number]).integers(0, 255, (12, 20, 3), np.uint8)
            Image.fromarray(noise).resize((320, 200), Image.Resampling.BICUBIC).save(folder / f"{number}.png")

    def run(self, job: str, **changes: Any) -> dg.ExecuteInProcessResult:
        places = {
            "episodes__roots": [str(self.root / "episodes")],
            "store__root": str(self.root / "store"),
            "exported_set__root": str(self.root / "exports"),
        }
        settings = load_settings(resources_folder() / "settings.toml", **SETTINGS | places | changes)
        made = definitions.build_definitions(settings).resolve_job_def(job)
        return made.execute_in_process(instance=self.instance, run_config=runs.QUIET, raise_on_error=False)

    def images_of_the_set(self) -> dict[str, list[dict]]:
        """The rows of the training set by episode."""
        rows: dict[str, list[dict]] = {}
        for row in self.store.read("training_set").to_pylist():
            rows.setdefault(row["episode"], []).append(row)
        return rows


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    with dg.DagsterInstance.ephemeral() as instance:
        made = Project(tmp_path, instance)
        roles = dict.fromkeys(("embedder", "detector", "identity", "quality", "tagger", "text_detector"), made.models)
        monkeypatch.setattr(definitions, "model_resources", lambda settings: roles)
        monkeypatch.setattr(runs, "model_resources", lambda settings: roles)
        yield made


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    [event] = result.filter_events(lambda event: event.is_step_failure)
    return runs.plain_error(event)


def test_new_episodes_are_measured_and_taken_into_the_set_and_those_that_are_there_are_not_measured_again(project):
    project.draw("one")
    assert project.run("process_new_episodes").success
    assert project.instance.get_dynamic_partitions("episodes_demo") == ["one.one"]
    assert project.store.episodes("tag_scores") == ["one.one"]
    before, seen = project.images_of_the_set()["one.one"], dict(project.models.seen)
    assert sum(row["kind"] == "still" for row in before) == PICTURES
    assert all(row["caption"] for row in before)

    project.draw("two")
    assert project.run("rebuild_set", captions__template="sentence").success
    after = project.images_of_the_set()
    assert list(after) == ["one.one"]
    assert [row["image_id"] for row in after["one.one"]] == [row["image_id"] for row in before]
    assert [row["caption"] for row in after["one.one"]] != [row["caption"] for row in before]
    assert project.models.seen == seen

    assert project.run("process_new_episodes").success
    assert project.models.seen == {role: 2 * count for role, count in seen.items()}
    assert project.instance.get_dynamic_partitions("episodes_demo") == ["one.one", "two.two"]
    stills = {
        episode: sum(row["kind"] == "still" for row in rows) for episode, rows in project.images_of_the_set().items()
    }
    assert stills == {"one.one": PICTURES, "two.two": PICTURES}
    assert all(row["caption"] for rows in project.images_of_the_set().values() for row in rows)
    assert project.store.pointer("exported_set") is None


def test_a_job_says_which_step_failed_and_why(project, monkeypatch):
    project.draw("one")

    def broken(models, pictures):
        raise ValueError("no tags today: ask tomorrow")

    monkeypatch.setattr(Models, "tag", broken)
    result = project.run("process_new_episodes")
    assert not result.success
    assert "steps failed: tag_scores" in failure_of(result)
    assert "ask tomorrow" in failure_of(result)
