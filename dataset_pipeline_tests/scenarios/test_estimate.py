"""What a run will cost, measured on excerpts and held against the run itself."""

from __future__ import annotations

import dagster as dg
import pytest

from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.orchestration.runs import earlier_rates, phases
from dataset_pipeline.reports.estimate.costs import Estimate
from dataset_pipeline.reports.estimate.measuring import estimate
from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline_tests.scenarios.conftest import DrawnShow, Project


def test_earlier_runs_tell_how_long_each_phase_takes(finished: Project, drawn_show: DrawnShow):
    sizes = {source.key: float(source.size_bytes) for source in find_sources([drawn_show.folder]).sources}
    with dg.DagsterInstance.from_config(str(finished.root / "dagster")) as instance:
        rates = earlier_rates(instance, finished.settings(), sizes)
        assert earlier_rates(instance, load_settings(models__pack="real"), sizes) == {}
    by_name = {phase.name: phase for phase in phases()}
    assert rates.keys() <= by_name.keys()
    assert phases()[0].name in rates
    assert {by_name[name].joined for name in rates} == {True, False}
    assert min(rates.values()) > 0
    assert 1 < rates[phases()[0].name] * sum(sizes.values()) < 600


def test_finished_episodes_cost_nothing(finished: Project, drawn_show: DrawnShow):
    sources = find_sources([drawn_show.folder]).sources
    told = estimate(finished.settings(), sources, build_definitions)
    assert (told.seconds, told.episodes, told.stages) == (0.0, 0, [])
    assert told.done == [source.key for source in sources]


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_an_excerpt_tells_what_the_episode_comes_to(finished: Project, drawn_show: DrawnShow, fresh: Project):
    (source,) = find_sources([drawn_show.episodes[0]]).sources
    told: Estimate = estimate(fresh.settings(), [source], build_definitions, seconds=5.0)
    frames = finished.store.read("keyframes", source.key).num_rows
    stills = finished.store.read("stills", source.key).num_rows
    assert told.units["candidates"] == pytest.approx(frames, rel=0.1)
    assert told.units["stills"] == pytest.approx(stills, rel=0.5)
    assert told.rests_on["units"]["candidates"] < frames
    run = {name for name, it in DECLARATIONS.items() if not it.on_demand}
    assert {stage.asset for stage in told.stages} == run | {"start", "dagster"}
    assert told.seconds == pytest.approx(sum(stage.seconds for stage in told.stages))
    assert told.core_seconds > 0
    assert min(told.disk_bytes.values()) > 0
    assert not (fresh.root / "store").exists()
