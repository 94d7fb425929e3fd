"""A drawn show, taken through the whole graph with the demo models once for all scenarios."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.demo.episodes import TEST_SHOW, write_show
from dataset_pipeline.demo.truth import EpisodeTruth, load_truth
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.models.loading import CALLS, reset_calls
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import Outcome, materialize_all, materialize_assets
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.store.store import Store


@dataclass
class Project:
    """A store, a Dagster instance of its own, and the runs made in it."""

    root: Path
    first_calls: dict[str, int] = field(default_factory=dict)

    def settings(self, **changes: Any) -> Settings:
        usual = {
            "models__pack": "demo",
            "models__device": "cpu",
            "crops__person_min_side_px": 80,  # the drawn episodes are 640x360
            "crops__head_min_side_px": 64,
            "selection__min_short_side_px": 64,
            "text_lines__long_side_px": 320,  # a quarter of the work; what is found is asserted on drawn stills
            "store__root": str(self.root / "store"),
            "exported_set__root": str(self.root / "exports"),
            "corrections__root": str(self.root / "corrections"),
        }
        return load_settings(self.root / "settings.toml", **usual | changes)

    @property
    def store(self) -> Store:
        return store_of(self.settings())

    def run(self, *paths: Path, only: Collection[str] | None = None, **changes: Any) -> tuple[Outcome, dict[str, int]]:
        """Take the sources at `paths` through the graph, or through the assets in `only`. Returns the outcome and the
        pictures each model role saw."""
        settings = self.settings(**changes)
        (self.root / "dagster").mkdir(exist_ok=True)
        (self.root / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}")
        reset_calls()
        with dg.DagsterInstance.from_config(str(self.root / "dagster")) as instance, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = find_sources(list(paths)).sources
            register(instance, self.store, settings, found)
            keys = [source.key for source in found]
            outcome = materialize_all(build_definitions(settings), instance, settings, keys, only=only)
        return outcome, {name: count for name, count in CALLS.items() if name.endswith(".pictures")}

    @property
    def exported_folder(self) -> Path:
        pointer = self.store.pointer("exported_set")
        assert pointer is not None
        return Path(pointer.provenance.numbers["folder"])

    def rows(self, asset: str) -> list[dict]:
        """The rows of all episodes, or of a joined asset."""
        whole = self.store.find(asset)
        table = whole if whole is not None else self.store.read_many(asset, self.store.episodes(asset))
        return table.to_pylist()


def new_project(root: Path) -> Project:
    root.mkdir(parents=True, exist_ok=True)
    (root / "settings.toml").write_text("")
    return Project(root)


@dataclass
class DrawnShow:
    """Episodes on disk and what is true of each, by partition key."""

    folder: Path
    episodes: list[Path]
    truths: dict[str, EpisodeTruth]

    def truth_of(self, image_id: str) -> EpisodeTruth:
        return self.truths[image_id.partition("/")[0]]

    def drawing_of(self, row: dict) -> Any:
        truth = self.truth_of(row["image_id"])
        return truth.drawing_at(truth.frame_at(row["pts_s"]))


@pytest.fixture(scope="session")
def drawn_show(tmp_path_factory: pytest.TempPathFactory) -> DrawnShow:
    folder = tmp_path_factory.mktemp("drawn") / "episodes"
    episodes = write_show(folder, TEST_SHOW)
    truth_folder = folder.parent / "truth"
    keys = {source.path: source.key for source in find_sources([folder]).sources}
    truths = {keys[path]: load_truth(truth_folder / f"{path.stem}.json") for path in episodes}
    return DrawnShow(folder, episodes, truths)


@pytest.fixture(scope="session")
def finished(drawn_show: DrawnShow, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The drawn show after one run. Scenarios read it and leave it as it is."""
    project = new_project(tmp_path_factory.mktemp("finished"))
    outcome, project.first_calls = project.run(drawn_show.folder)
    assert not outcome.failures, outcome.failures
    return project


@pytest.fixture
def copy_of_finished(finished: Project, tmp_path: Path) -> Project:
    """A copy that a scenario may go on with."""
    shutil.copytree(finished.root, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A project in which nothing has happened yet."""
    return new_project(tmp_path / "fresh")


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, EpisodeTruth]]:
    """A show with a long opening: its shots, frames and what its episodes share. The project, and truths by episode."""
    root = tmp_path_factory.mktemp("watched")
    scripts = (
        "opening, talk 1.6, pan 2, solo 0.8, pair 1, ending",
        "solo 0.7, opening, talk 1.6, pan 2, pair 1, walk 1, ending",
        "establish 1.2, opening, trio 1, talk 1.6, pan 2, solo 1, ending",
    )
    show = replace(TEST_SHOW, scripts=scripts, size=(320, 180), opening_s=5.0, opening_entrances=4)
    files = write_show(root / "episodes", show)
    project = new_project(root / "project")
    settings, sources = project.settings(), find_sources([root / "episodes"]).sources
    measured = ["video_probe", "shots", "keyframes", "frame_embeddings", "distinct_frames"]
    measured += ["tracks", "alignments", "panoramas", "backdrops", "stitched_embeddings"]
    with dg.DagsterInstance.ephemeral() as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        register(instance, project.store, settings, sources)
        defs = build_definitions(settings)
        for source in sources:
            assert not materialize_assets(defs, instance, settings, measured, partition_key=source.key)
        assert not materialize_assets(defs, instance, settings, ["repeated_frames"])
    keys = {source.path: source.key for source in sources}
    return project, {keys[path]: load_truth(root / "truth" / f"{path.stem}.json") for path in files}
