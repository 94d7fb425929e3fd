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
from dataset_pipeline.orchestration.automation import BY_AUTOMATION
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.together import runs_together
from dataset_pipeline.orchestration.unfinished import RANGE_END_TAG, RANGE_START_TAG, project_tag
from dataset_pipeline.settings import Settings, load_settings, resources_folder
from dataset_pipeline.sources.finding import find_sources
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
    cursor: Any = None  # of automation

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

    def settings(self, **changes: Any) -> Settings:
        places = {
            "episodes__roots": [str(self.root / "episodes")],
            "store__root": str(self.root / "store"),
            "exported_set__root": str(self.root / "exports"),
        }
        return load_settings(resources_folder() / "settings.toml", **SETTINGS | places | changes)

    def definitions(self, **changes: Any) -> dg.Definitions:
        return definitions.build_definitions(self.settings(**changes))

    def register(self, *names: str) -> list[str]:
        """Draw episodes and make them known. Returns their keys."""
        for name in names:
            self.draw(name)
        sources = find_sources([self.root / "episodes" / name for name in names]).sources
        register(self.instance, self.store, self.settings(), sources)
        return [source.key for source in sources]

    def measure(self, *names: str) -> None:
        """Draw episodes and have them measured, as the runs of arrivals do."""
        for key in self.register(*names):
            measured = runs.phases()[0].assets
            failures = runs.materialize_assets(
                self.definitions(), self.instance, self.settings(), measured, partition_key=key
            )
            assert failures == []

    def follow(self, most: int = 8) -> list[set[str]]:
        """Tick until two ticks in a row ask for nothing, and run what they ask for. Returns the assets of each run."""
        defs = self.definitions()
        graph, job = defs.resolve_asset_graph(), defs.resolve_implicit_global_asset_job_def()
        registered, asked, quiet = self.instance.get_dynamic_partitions("episodes_demo"), [], 0
        for _ in range(most):
            with pytest.MonkeyPatch.context() as patch:
                # The evaluator asks for them thousands of times; the daemon's own queryer remembers them for a tick.
                patch.setattr(self.instance, "get_dynamic_partitions", lambda partitions_def_name: registered)
                result = dg.evaluate_automation_conditions(defs, self.instance, cursor=self.cursor)
            subsets = [it.true_subset for it in result.results if not it.true_subset.is_empty]
            together, others = runs_together(graph, {it.key for it in result.results}, subsets, lambda key: registered)
            assert not others
            for run in together:
                tags, names = {BY_AUTOMATION: "true"} | run.tags, run.asset_selection
                done = job.execute_in_process(
                    instance=self.instance, asset_selection=names, tags=tags, run_config=runs.QUIET
                )
                assert done.success
            asked += [{key.path[-1] for key in run.asset_selection or ()} for run in together]
            self.cursor, quiet = result.cursor, 0 if together else quiet + 1
            if quiet == 2:
                return asked
        pytest.fail(f"not quiet after {most} ticks: {asked}")

    def run(self, job: str, **changes: Any) -> dg.ExecuteInProcessResult:
        made = self.definitions(**changes).resolve_job_def(job)
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


FOLLOWS = [asset for phase in runs.phases()[1:] for asset in phase.assets if asset != "exported_set"]


@pytest.mark.thorough
def test_automation_makes_what_follows_from_all_episodes_in_one_run_as_the_job_does_step_by_step(project):
    project.measure("one", "two")
    assert project.follow() == [set(FOLLOWS)]
    assert project.images_of_the_set().keys() == {"one.one", "two.two"}
    made = {it: pointer for it in FOLLOWS if (pointer := project.store.pointer(it))}
    assert "training_set" in made
    assert project.run("rebuild_set").success
    assert {it: project.store.pointer(it) for it in made} == made
    assert project.follow() == []

    project.measure("three")
    assert project.follow() == [{*FOLLOWS} - {"reference_embeddings"}]
    assert project.images_of_the_set().keys() == {"one.one", "two.two", "three.three"}


def test_an_episode_that_could_not_be_measured_is_left_out_of_the_run_over_all(project):
    project.measure("one", "three")
    project.register("two")
    assert project.instance.get_dynamic_partitions("episodes_demo")[-1] == "two.two"
    ends = {RANGE_START_TAG: "one.one", RANGE_END_TAG: "two.two"}
    assert (
        runs.materialize_assets(project.definitions(), project.instance, project.settings(), FOLLOWS, tags=ends) == []
    )
    assert project.images_of_the_set().keys() == {"one.one", "three.three"}
    assert project.store.episodes("tags") == ["one.one", "three.three"]


def test_what_is_to_be_measured_is_handed_over_beside_a_run_over_all_episodes(project):
    project.register("one", "two")
    instance, defs, settings = project.instance, project.definitions(), project.settings()
    instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def(),
        asset_selection=frozenset([dg.AssetKey(["demo", "tags"])]),
        tags={RANGE_START_TAG: "one.one", RANGE_END_TAG: "two.two"} | project_tag(settings),
        status=dg.DagsterRunStatus.STARTED,
    )
    asked = runs.submit_measuring(defs, instance, settings, ["one.one", "two.two"])
    assert (asked.episodes, asked.under_way) == (["one.one", "two.two"], [])


def test_a_job_says_which_step_failed_and_why(project, monkeypatch):
    project.draw("one")

    def broken(models, pictures):
        raise ValueError("no tags today: ask tomorrow")

    monkeypatch.setattr(Models, "tag", broken)
    result = project.run("process_new_episodes")
    assert not result.success
    assert "steps failed: tag_scores" in failure_of(result)
    assert "ask tomorrow" in failure_of(result)
