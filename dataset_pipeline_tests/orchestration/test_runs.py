"""Who takes part in a run, and what is said of one that fails."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

import dataset_pipeline.definitions  # noqa: F401 (the phases are those of its assets)
from dataset_pipeline.base.progress import TimeLeft
from dataset_pipeline.orchestration import runs
from dataset_pipeline.orchestration.runs import materialize_assets, phases, ready_for
from dataset_pipeline.settings import load_settings
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

MEASURED = (
    "video",
    "stills",
    "detections",
    "crops",
    "details",
    "images",
    "crop_embeddings",
    "quality_scores",
    "tag_scores",
    "text_lines",
    "screen_marks",
    "burnt_in_text",
    "hand_edited_tags",
    "video_probe",
    "shots",
    "tracks",
    "alignments",
    "panoramas",
    "backdrops",
    "stitched_embeddings",
    "distinct_frames",
)


@pytest.fixture
def store(tmp_path) -> Store:
    """a.e1 is measured, a.e2 was interrupted after its frames, a.e3 is registered and nothing more."""
    store = Store(str(tmp_path))
    for asset in MEASURED:
        store.write(asset, SCHEMAS[asset].empty(), "a.e1")
    for asset in MEASURED[:2]:
        store.write(asset, SCHEMAS[asset].empty(), "a.e2")
    return store


def test_episodes_that_were_never_measured_hold_up_no_projection(store):
    recognising, saying = [phase for phase in phases() if phase.projection]
    registered = ["a.e1", "a.e2", "a.e3"]
    assert "clusters" in recognising.assets
    assert ready_for(recognising, store, registered, failed=set()) == [(recognising.assets, {"a.e1"})]
    assert ready_for(recognising, store, registered, failed={"a.e1"}) == [(recognising.assets, set())]
    for asset in recognising.assets:
        store.write(asset, SCHEMAS[asset].empty(), "a.e1")
    assert ready_for(saying, store, registered, failed=set()) == [(saying.assets, {"a.e1"})]
    assert ready_for(saying, store, registered, failed={"a.e1"}) == [
        (("tags",), set()),
        (("multiplies", "descriptions"), {"a.e1"}),
        (("captions", "clips", "training_clips"), set()),
    ]


def failures_of(body) -> list:
    made = dg.asset(name="keyframes")(body)
    with dg.DagsterInstance.ephemeral() as instance:
        return materialize_assets(dg.Definitions(assets=[made]), instance, load_settings(), ["keyframes"])


def test_a_failure_tells_what_its_author_wrote():
    def body() -> None:
        try:
            raise OSError("bad sector")
        except OSError as error:
            raise ValueError("clip.mkv cannot be read: bring it back") from error

    [failure] = failures_of(body)
    assert failure.asset == "keyframes"
    assert failure.error == "ValueError: clip.mkv cannot be read: bring it back"


def test_a_run_that_breaks_before_its_first_step_is_a_failure():
    @dg.asset(name="keyframes", required_resource_keys={"store"})
    def made() -> None: ...

    def broken(_) -> None:
        raise RuntimeError("no such bucket")

    defs = dg.Definitions(assets=[made], resources={"store": dg.ResourceDefinition(broken)})
    with dg.DagsterInstance.ephemeral() as instance:
        [failure] = materialize_assets(defs, instance, load_settings(), ["keyframes"])
    assert failure.asset == "keyframes"
    assert "no such bucket" in failure.error


def test_an_interrupted_run_stops_the_command():
    def body() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failures_of(body)


def test_a_failure_behind_a_retry_tells_what_its_author_wrote():
    made = dg.asset(name="keyframes", retry_policy=dg.RetryPolicy(max_retries=1, delay=0))

    def body() -> None:
        raise RuntimeError("the disk is on fire")

    with dg.DagsterInstance.ephemeral() as instance:
        [failure] = materialize_assets(dg.Definitions(assets=[made(body)]), instance, load_settings(), ["keyframes"])
    assert failure.error == "RuntimeError: the disk is on fire"


def test_an_episode_runs_through_what_is_due_of_it_and_not_after_a_failure(monkeypatch, tmp_path):
    made: list[tuple[str, list[str]]] = []

    def make(assets: list[str], partition_key: str) -> list[runs.Failure]:
        made.append((partition_key, list(assets)))
        return [runs.Failure(assets[0], partition_key, "broken")] if partition_key == "a.e2" else []

    measuring = runs.Phase(("keyframes", "crops", "tag_scores"), joined=False, projection=False)
    found = [(("keyframes",), {"a.e1"}), (("crops", "tag_scores"), {"a.e1", "a.e2", "a.e3"})]
    monkeypatch.setattr(runs, "due", lambda *_: found)
    outcome = runs.Outcome(episodes=["a.e1", "a.e2", "a.e3", "a.e4"])
    no_instance: Any = None
    settings = load_settings()
    store, work = Store(str(tmp_path)), [measuring, measuring]
    runs._work(make, no_instance, settings, store, outcome, lambda *_: None, work, TimeLeft())
    crops = ["crops", "tag_scores"]
    first = [("a.e1", ["keyframes", *crops]), ("a.e2", crops), ("a.e3", crops)]
    assert made == [*first, first[0], first[2]]
    assert [failure.episode for failure in outcome.failures] == ["a.e2"]
