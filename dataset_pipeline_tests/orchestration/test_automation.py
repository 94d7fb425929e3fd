"""When things run by themselves: a small graph of the project's shape under the project's condition, tick by tick.

`video` -> `frames` -> `crops` for each episode, `gallery` joined over crops, `clusters` bringing it back to each
episode, `the_set` joined over clusters. Runs happen between ticks, as the daemon would start them.
"""

import gc
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.definitions.automation_tick_evaluation_context import AutomationTickEvaluationContext
from dagster._core.definitions.declarative_automation.automation_condition_evaluator import AutomationConditionEvaluator
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.subset.default import DefaultPartitionsSubset
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData

from dataset_pipeline.orchestration import noted
from dataset_pipeline.orchestration.automation import BY_AUTOMATION, automation_sensor, interval_s, keep_current
from dataset_pipeline.orchestration.together import TERSE, THROUGH_TAG, runs_together
from dataset_pipeline.orchestration.unfinished import RANGE_END_TAG, RANGE_START_TAG

EPISODES = dg.DynamicPartitionsDefinition(name="episodes")
VIDEO = dg.AssetSelection.assets("video")
PER_EPISODE = {"frames": ["video"], "crops": ["frames"], "clusters": ["gallery", "crops"]}
JOINED = {"gallery": ["crops"], "the_set": ["clusters"]}
MEASURING = ("frames", "crops")
PROJECTIONS = ("clusters", "selection")
CHECKED = ("gallery",)


def upstream(asset: str) -> set[str]:
    reads = {read for read in {**PER_EPISODE, **JOINED}[asset] if read not in ("video", "corrections")}
    return reads.union(*map(upstream, reads))


@dataclass
class World:
    """A deployment: its instance, what its assets would answer, and the runs it has seen."""

    instance: dg.DagsterInstance
    content: dict[tuple[str, str], str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    broken: set[tuple[str, str]] = field(default_factory=set)
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    cursor: Any = None

    def answer(self, asset: str, episode: str) -> str:
        """What an asset would give: set by hand, or a digest of what it reads."""
        if (asset, episode) in self.content:
            return self.content[asset, episode]
        return f"{asset} of {episode}" if asset in PER_EPISODE else f"{asset} over all"

    def definitions(self) -> dg.Definitions:
        external = ("video", "corrections")
        assets: list[Any] = [dg.AssetSpec(name, partitions_def=EPISODES) for name in external]
        return dg.Definitions(assets=assets + [self.asset(name) for name in (*PER_EPISODE, *JOINED)])

    def asset(self, name: str) -> dg.AssetsDefinition:
        joined = name in JOINED
        follows = joined or name in PROJECTIONS
        together = {*JOINED, *PROJECTIONS} & {*JOINED, *PER_EPISODE}
        measured = set().union(*map(upstream, together)) - together
        of_all = (measured, together, upstream(name) & together)
        waits_for = [sorted(map(dg.AssetKey, names)) if follows else [] for names in of_all]
        evaluated_at = dg.AssetKey("gallery") if follows else None

        @dg.asset(
            name=name,
            deps=[dg.AssetKey(read) for read in {**PER_EPISODE, **JOINED}[name]],
            partitions_def=None if joined else EPISODES,
            code_version=self.versions.get(name, "1"),
            automation_condition=keep_current(VIDEO, *waits_for[:2], above=waits_for[2], evaluated_at=evaluated_at),
            backfill_policy=dg.BackfillPolicy.single_run() if name in PROJECTIONS else None,
            retry_policy=dg.RetryPolicy(max_retries=1),
            check_specs=[dg.AssetCheckSpec("is_sound", asset=name)] if name in CHECKED else None,
        )
        def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            episodes = ["all"] if joined else list(context.partition_keys)
            for episode in episodes:
                self.attempts[name, episode] += 1
                if (name, episode) in self.broken:
                    raise OSError(f"{name} of {episode} cannot be read")
            answers = [self.answer(name, episode) for episode in episodes]
            for read in JOINED[name][:1] if joined else ():
                answers += sorted(self.instance.get_materialized_partitions(dg.AssetKey(read)))
            checks = [dg.AssetCheckResult(passed=True)] if name in CHECKED else None
            return dg.MaterializeResult(data_version=dg.DataVersion("|".join(answers)), check_results=checks)

        return made

    def arrive(self, *episodes: str) -> None:
        """What the sensor of arrivals does, and the measuring runs that it asks for."""
        self.announce(*episodes)
        for episode in episodes:
            self.run(MEASURING, [episode], {})

    def announce(self, *episodes: str) -> None:
        self.instance.add_dynamic_partitions("episodes", episodes)
        for episode in episodes:
            tags = {"dagster/data_version": f"fingerprint of {episode} {self.content.get(('video', episode), '')}"}
            self.instance.report_runless_asset_event(dg.AssetMaterialization("video", partition=episode, tags=tags))

    def run(self, assets: Iterable[str], episodes: list[str], tags: dict[str, str]) -> None:
        defs = self.definitions()
        job = defs.resolve_implicit_global_asset_job_def()
        partition: dict[str, Any] = {}
        if episodes and len(episodes) == 1:
            partition = {"partition_key": episodes[0]}
        elif episodes:
            tags = tags | {
                "dagster/asset_partition_range_start": episodes[0],
                "dagster/asset_partition_range_end": episodes[-1],
            }
        job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            tags=tags,
            raise_on_error=False,
            **partition,
        )

    def evaluate(self) -> Any:
        """What an evaluation comes to."""
        registered = self.instance.get_dynamic_partitions("episodes")
        with pytest.MonkeyPatch.context() as patch:
            # The evaluator asks for them thousands of times; the daemon's own queryer remembers them for a tick.
            patch.setattr(self.instance, "get_dynamic_partitions", lambda partitions_def_name: registered)
            return dg.evaluate_automation_conditions(self.definitions(), self.instance, cursor=self.cursor)

    def tick(self, lost: bool = False) -> list[str]:
        """One evaluation, and the runs it asks for, unless they are lost. Returns `asset:episodes` of each, a plus
        between the assets of a run."""
        registered = self.instance.get_dynamic_partitions("episodes")
        result = self.evaluate()
        self.cursor = result.cursor
        asked = [it.true_subset for it in result.results if not it.true_subset.is_empty]
        keys = {it.key for it in result.results}
        graph = self.definitions().resolve_asset_graph()
        together, alone = runs_together(graph, keys, asked, lambda key: registered)
        started: list[tuple[list[str], list[str], dict[str, str]]] = []
        for subset in alone:
            wanted = subset.expensively_compute_partition_keys()
            started += [([subset.key.path[-1]], [episode], {}) for episode in registered if episode in wanted]
        for run in together:
            first, last = run.tags.get(RANGE_START_TAG), run.tags.get(RANGE_END_TAG)
            episodes = registered[registered.index(first) : registered.index(last) + 1] if first and last else []
            names = sorted((key.path[-1] for key in run.asset_selection or ()), key=lambda it: (len(upstream(it)), it))
            started.append((names, list(episodes), dict(run.tags)))
        for names, episodes, tags in [] if lost else started:
            self.run(names, episodes, {BY_AUTOMATION: "true"} | tags)
        told = [("+".join(names), ",".join(episodes)) for names, episodes, _ in started]
        return [f"{names}:{episodes}" if episodes else names for names, episodes in told]

    def settle(self, most: int = 30) -> list[str]:
        """Tick until two ticks in a row ask for nothing. Returns the runs in order."""
        runs: list[str] = []
        quiet = 0
        for _ in range(most):
            asked = self.tick()
            runs += asked
            quiet = 0 if asked else quiet + 1
            if quiet == 2:
                return runs
        pytest.fail(f"not quiet after {most} ticks: {runs}")


@pytest.fixture
def world():
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance)


@pytest.fixture(scope="module")
def at_rest() -> Iterator[World]:
    """Three episodes in a deployment that is at rest."""
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(instance)
        world.tick()
        world.arrive("e1", "e2", "e3")
        world.settle()
        yield world


@pytest.fixture
def running(at_rest: World, world: World) -> World:
    """One of those, with all that Dagster remembers of it."""
    for storage in ("run_storage", "event_log_storage"):
        one, other = (getattr(it.instance, storage)._held_conn.connection for it in (at_rest, world))
        one.driver_connection.backup(other.driver_connection)
    world.cursor, world.attempts = at_rest.cursor, at_rest.attempts.copy()
    return world


def test_nothing_runs_where_there_is_no_episode(world):
    assert world.settle() == []


def test_arrivals_are_followed_by_one_run_of_all_that_is_joined_and_projected(world):
    world.tick()
    world.arrive("e1", "e2")
    assert world.settle() == ["gallery+clusters+the_set:e1,e2"]


def test_a_new_episode_touches_no_old_one_where_the_join_stays_equal(running):
    running.content["gallery", "all"] = "the same people"
    running.arrive("e4")
    before = dict(running.attempts)
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3,e4"]
    assert all(running.attempts[name, "e1"] == before[name, "e1"] for name in MEASURING)


def test_quiet_ticks_and_a_restarted_daemon_start_nothing(running):
    assert [running.tick() for _ in range(8)] == [[]] * 8
    running.cursor = None
    assert running.settle() == []


def test_a_changed_threshold_with_equal_content_runs_that_asset_and_nothing_else(running):
    running.versions["crops"] = "2"
    assert running.settle() == ["crops:e1", "crops:e2", "crops:e3"]


def test_a_changed_threshold_is_followed_only_where_content_differs(running):
    running.versions["frames"] = "2"
    running.content["frames", "e2"] = "one frame more"
    assert running.settle() == ["frames:e1", "frames:e2", "frames:e3", "crops:e2"]


def test_what_reads_corrections_is_asked_for_when_they_change_and_when_its_threshold_does(world, monkeypatch):
    monkeypatch.setitem(PER_EPISODE, "crops", ["frames", "corrections"])

    def said(episode: str, what: str) -> None:
        event = dg.AssetMaterialization("corrections", partition=episode, tags={"dagster/data_version": what})
        world.instance.report_runless_asset_event(event)

    world.tick()
    world.announce("e1", "e2")
    said("e1", "nothing")
    said("e2", "nothing")
    world.arrive("e1", "e2")
    world.settle()
    said("e1", "a box by hand")
    assert world.settle() == ["crops:e1"]
    world.versions["crops"] = "2"
    assert world.settle() == ["crops:e1", "crops:e2"]


def test_a_second_edit_right_after_the_first_is_acted_on_too(running):
    running.versions["crops"] = "2"
    assert [running.tick(), running.tick()] == [[], ["crops:e1", "crops:e2", "crops:e3"]]
    running.versions["crops"] = "3"
    assert running.settle() == ["crops:e1", "crops:e2", "crops:e3"]


def test_a_failing_episode_is_tried_twice_and_then_left_alone_while_the_others_go_on(running):
    running.broken.add(("frames", "e4"))
    running.arrive("e4", "e5")
    runs = running.settle()
    assert running.attempts["frames", "e4"] == 2
    assert running.attempts["crops", "e4"] == 0
    assert runs == ["gallery+clusters+the_set:e1,e2,e3,e4,e5"]
    assert [running.tick() for _ in range(5)] == [[]] * 5


def test_a_failed_episode_recovers_when_its_file_is_replaced(running):
    running.broken.add(("frames", "e4"))
    running.arrive("e4")
    running.settle()
    running.broken.clear()
    running.content["video", "e4"] = "a better release"
    running.arrive("e4")
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3,e4"]
    assert running.attempts["crops", "e4"] == 1
    assert "e4" in running.instance.get_materialized_partitions(dg.AssetKey("clusters"))


def test_an_arrival_whose_run_was_lost_is_made_up_for(running):
    running.announce("e4")
    runs = running.settle()
    assert runs == ["frames:e4", "crops:e4", "gallery+clusters+the_set:e1,e2,e3,e4"]


def test_what_was_just_asked_for_and_is_not_seen_yet_is_not_asked_for_again_at_once(world):
    world.tick()
    world.arrive("e1")
    asked = ["gallery+clusters+the_set:e1"]
    assert [world.tick(lost=True) for _ in range(4)] == [[], asked, [], asked]


@pytest.mark.parametrize("meanwhile", ["run", "run, tick", "tick, run", "tick, run, tick"])
def test_what_is_measured_while_the_joins_run_is_joined_by_a_run_after_them(running, meanwhile, monkeypatch):
    answer, left = running.answer, meanwhile.split(", ")
    seen: list[list[str]] = []

    def measured_meanwhile(asset: str, episode: str) -> str:
        while asset == "clusters" and left:
            if left.pop(0) == "tick":
                seen.append(running.tick())
            else:
                running.content["crops", "e1"] = "another cut"
                running.run(["crops"], ["e1"], {})
        return answer(asset, episode)

    monkeypatch.setattr(running, "answer", measured_meanwhile)
    running.content["crops", "e2"] = "another cut"
    running.run(["crops"], ["e2"], {})
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3"] * 2
    assert seen == [[]] * meanwhile.count("tick")


def test_nothing_that_follows_is_asked_for_while_an_episode_is_half_measured(world, monkeypatch):
    monkeypatch.setitem(PER_EPISODE, "scores", ["crops"])
    monkeypatch.setitem(PER_EPISODE, "selection", ["scores", "gallery"])
    world.tick()
    world.announce("e1")
    run = queued(world, ["scores"], "e1")
    world.run(MEASURING, ["e1"], {})
    assert [world.tick() for _ in range(4)] == [[]] * 4
    world.instance.report_run_canceled(run)
    world.run(["scores"], ["e1"], {})
    assert world.settle() == ["gallery+clusters+selection+the_set:e1"]


def test_a_joined_asset_that_fails_is_left_alone_and_what_follows_is_made_of_the_one_before(running):
    running.broken.add(("gallery", "all"))
    running.arrive("e4")
    before = dict(running.attempts)
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3,e4", "clusters+the_set:e1,e2,e3,e4"]
    assert running.attempts["gallery", "all"] == before["gallery", "all"] + 2
    assert running.attempts["the_set", "all"] == before["the_set", "all"] + 1
    running.broken.clear()
    running.versions["gallery"] = "2"
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3,e4"]


def test_a_projection_that_fails_is_left_alone_and_what_follows_is_made_once(running):
    running.broken.add(("clusters", "e2"))
    running.content["crops", "e1"] = "another cut"
    running.run(["crops"], ["e1"], {})
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3", "the_set"]


def test_a_projection_that_fails_for_one_episode_leaves_what_follows_of_the_others_alone(running, monkeypatch):
    monkeypatch.setitem(PER_EPISODE, "selection", ["clusters"])
    running.settle()
    answer, before = running.answer, dict(running.attempts)
    monkeypatch.setattr(running, "answer", lambda asset, episode: f"{answer(asset, episode)} anew")
    running.broken.add(("clusters", "e2"))
    running.run(["crops"], ["e1"], {})
    assert running.settle() == ["gallery+clusters+selection+the_set:e1,e2,e3", "selection+the_set:e1,e2,e3"]
    assert running.attempts["selection", "e1"] == before["selection", "e1"] + 1


def reported(world: World, run: dg.DagsterRun, kind: DagsterEventType, asset: str = "", episode: str = "") -> None:
    """An event of a run that goes on elsewhere."""
    data = None
    if asset:
        tags = {"dagster/data_version": world.answer(asset, episode or "all")}
        data = StepMaterializationData(dg.AssetMaterialization(asset, partition=episode or None, tags=tags))
    event = DagsterEvent(kind.value, job_name=run.job_name, step_key=asset or None, event_specific_data=data)
    world.instance.report_dagster_event(event, run.run_id)


def begun_elsewhere(world: World) -> dg.DagsterRun:
    """The run over all episodes that a tick asked for, under way in another process."""
    return world.instance.create_run_for_job(
        world.definitions().resolve_implicit_global_asset_job_def(),
        asset_selection=frozenset(map(dg.AssetKey, ("gallery", "clusters", "the_set"))),
        tags={THROUGH_TAG: "true", BY_AUTOMATION: "true", RANGE_START_TAG: "e1", RANGE_END_TAG: "e3"},
        status=dg.DagsterRunStatus.STARTED,
    )


@pytest.mark.parametrize("seen_in_part", [False, True])
def test_news_of_a_run_that_ends_while_a_tick_looks_is_kept(running, seen_in_part, monkeypatch):
    running.content["crops", "e2"] = "another cut"
    running.run(["crops"], ["e2"], {})
    asked = ["gallery+clusters+the_set:e1,e2,e3"]
    assert running.tick(lost=True) == asked
    run = begun_elsewhere(running)
    assert running.tick() == []
    running.content["crops", "e1"] = "measured while it runs"
    running.run(["crops"], ["e1"], {})
    assert running.tick() == []

    def end() -> None:
        for asset in ("gallery", "the_set"):
            reported(running, run, DagsterEventType.ASSET_MATERIALIZATION, asset)
        for episode in ("e1", "e2", "e3"):
            reported(running, run, DagsterEventType.ASSET_MATERIALIZATION, "clusters", episode)
        reported(running, run, DagsterEventType.RUN_SUCCESS)

    if seen_in_part:
        prefetch = AutomationConditionEvaluator.prefetch

        def prefetched(self: AutomationConditionEvaluator) -> None:
            prefetch(self)
            monkeypatch.setattr(AutomationConditionEvaluator, "prefetch", prefetch)
            end()

        monkeypatch.setattr(AutomationConditionEvaluator, "prefetch", prefetched)
    else:
        end()
    assert running.settle() == asked


@pytest.mark.parametrize("begun", ["before", "within"])
def test_what_the_run_over_all_makes_while_a_tick_looks_is_no_news(running, begun, monkeypatch):
    running.content["crops", "e2"] = "another cut"
    running.run(["crops"], ["e2"], {})
    assert running.tick(lost=True) == ["gallery+clusters+the_set:e1,e2,e3"]
    run = begun_elsewhere(running)
    assert running.tick() == []
    running.content["clusters", "e2"] = "another one"
    reported(running, run, DagsterEventType.ASSET_MATERIALIZATION, "gallery")
    if begun == "before":
        reported(running, run, DagsterEventType.ASSET_MATERIALIZATION, "clusters", "e1")
    prefetch = AutomationConditionEvaluator.prefetch

    def prefetched(self: AutomationConditionEvaluator) -> None:
        for episode in ("e2", "e3"):
            reported(running, run, DagsterEventType.ASSET_MATERIALIZATION, "clusters", episode)
        prefetch(self)
        monkeypatch.setattr(AutomationConditionEvaluator, "prefetch", prefetch)

    monkeypatch.setattr(AutomationConditionEvaluator, "prefetch", prefetched)
    assert running.tick() == []
    reported(running, run, DagsterEventType.ASSET_MATERIALIZATION, "the_set")
    reported(running, run, DagsterEventType.RUN_SUCCESS)
    assert running.settle() == []


def test_failures_of_a_run_that_ends_while_a_tick_looks_are_seen_together(running, monkeypatch):
    monkeypatch.setitem(JOINED, "a_list", [])  # reads nothing, and so is looked at first
    running.settle()
    running.content["crops", "e2"] = "another cut"
    running.run(["crops"], ["e2"], {})
    assert running.tick(lost=True) == ["gallery+clusters+the_set:e1,e2,e3"]
    run = begun_elsewhere(running)
    assert [running.tick(), running.tick()] == [[], []]
    evaluate = AutomationConditionEvaluator.evaluate_entity

    async def evaluated(self: AutomationConditionEvaluator, key: Any) -> Any:
        if key == dg.AssetKey("gallery"):
            monkeypatch.setattr(AutomationConditionEvaluator, "evaluate_entity", evaluate)
            reported(running, run, DagsterEventType.RUN_FAILURE)
        return await evaluate(self, key)

    monkeypatch.setattr(AutomationConditionEvaluator, "evaluate_entity", evaluated)
    asked = [running.tick() for _ in range(6)]
    assert [it for it in asked if it] == [["clusters+the_set:e1,e2,e3"]]


def test_what_changed_is_found_by_a_daemon_that_begins_with_another_asset(running, monkeypatch):
    monkeypatch.setitem(JOINED, "a_list", [])
    running.versions["crops"] = "2"
    asked = running.settle()
    assert {"a_list", "crops:e1", "crops:e2", "crops:e3"} == set(asked)
    running.versions["crops"] = "3"
    assert running.settle() == ["crops:e1", "crops:e2", "crops:e3"]


def test_a_tick_of_the_daemon_asks_for_one_run_and_for_its_checks_with_it(running):
    running.content["crops", "e1"] = "another cut"
    running.run(["crops"], ["e1"], {})
    requests, cursor = [], dg.deserialize_value(dg.serialize_value(running.cursor), AssetDaemonCursor)
    for _ in range(2):
        graph = running.definitions().resolve_asset_graph()
        tick = AutomationTickEvaluationContext(
            evaluation_id=cursor.evaluation_id + 1,
            instance=running.instance,
            asset_graph=graph,
            cursor=cursor,
            materialize_run_tags={"a": "b"},
            observe_run_tags={},
            auto_observe_asset_keys=set(),
            asset_selection=dg.AssetSelection.all(),
            logger=logging.getLogger(),
            emit_backfills=True,
        )
        asked, cursor, _ = tick.evaluate()
        requests += asked
    [request] = requests
    assert request.asset_selection == sorted(map(dg.AssetKey, ("gallery", "clusters", "the_set")))
    assert request.tags == {THROUGH_TAG: "true", RANGE_START_TAG: "e1", RANGE_END_TAG: "e3", "a": "b"}
    assert request.run_config == TERSE
    assert not request.requires_backfill_daemon()


def test_what_follows_one_episode_alone_is_made_for_that_one_and_joined(running, monkeypatch):
    monkeypatch.setitem(PER_EPISODE, "edits", ["video"])
    monkeypatch.setitem(PER_EPISODE, "selection", ["edits", "crops"])
    monkeypatch.setitem(JOINED, "the_set", ["selection"])
    running.run(["edits"], ["e1", "e2", "e3"], {})
    running.settle()
    running.content["edits", "e2"] = "a tag by hand"
    running.run(["edits"], ["e2"], {})
    assert running.settle() == ["selection+the_set:e2"]


def test_what_an_arrivals_run_is_about_to_do_is_left_to_it(running):
    running.broken.add(("frames", "e4"))
    running.arrive("e4")
    running.settle()
    running.broken.clear()
    running.run(["frames"], ["e4"], {})
    assert running.tick() == []
    running.run(["crops"], ["e4"], {})
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3,e4"]


def test_a_replaced_file_measures_that_episode_alone(running):
    running.content["video", "e2"] = running.content["frames", "e2"] = running.content["crops", "e2"] = "better"
    before = dict(running.attempts)
    running.arrive("e2")
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3"]
    assert running.attempts["frames", "e2"] == before["frames", "e2"] + 1
    assert running.attempts["frames", "e1"] == before["frames", "e1"]


def test_what_a_person_made_anew_is_followed_if_it_differs(running):
    running.run(["crops"], ["e1"], {})
    assert running.settle() == []
    running.content["crops", "e1"] = "another cut"
    running.run(["crops"], ["e1"], {})
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3"]


def queued(world: World, assets: Iterable[str], episode: str) -> dg.DagsterRun:
    """A run that waits for its turn."""
    job = world.definitions().resolve_implicit_global_asset_job_def()
    return world.instance.create_run_for_job(
        job,
        asset_selection=frozenset(dg.AssetKey(asset) for asset in assets),
        tags={"dagster/partition": episode},
        status=dg.DagsterRunStatus.NOT_STARTED,
    )


def test_joins_wait_for_every_episode_on_its_way(running):
    running.announce("e4", "e5")
    run = queued(running, MEASURING, "e5")
    running.run(MEASURING, ["e4"], {})
    assert [running.tick() for _ in range(4)] == [[]] * 4
    running.instance.report_run_canceled(run)
    running.run(MEASURING, ["e5"], {})
    assert running.settle() == ["gallery+clusters+the_set:e1,e2,e3,e4,e5"]


def test_projections_wait_until_the_last_of_several_changed_episodes_is_through(world, monkeypatch):
    monkeypatch.setitem(PER_EPISODE, "scores", ["frames"])
    monkeypatch.setitem(PER_EPISODE, "selection", ["scores", "gallery"])
    world.tick()
    world.arrive("e1", "e2", "e3")
    world.settle()
    run = queued(world, ["scores"], "e2")
    world.content["scores", "e1"] = world.content["scores", "e2"] = "other scores"
    world.run(["scores"], ["e1"], {})
    assert [world.tick() for _ in range(3)] == [[]] * 3
    world.instance.report_run_canceled(run)
    world.run(["scores"], ["e2"], {})
    assert world.settle() == ["selection:e1,e2"]


@pytest.mark.parametrize("wait", [lambda world: None, lambda world: world.tick()])
def test_nothing_is_asked_for_between_a_partition_and_its_run(running, wait: Callable[[World], Any]):
    running.instance.add_dynamic_partitions("episodes", ["e4"])
    run = queued(running, MEASURING, "e4")
    assert running.tick() == []
    wait(running)
    running.announce("e4")
    assert running.tick() == []
    assert run.run_id


def test_who_waits_looks_up_what_others_found_on_the_same_tick(running):
    graph = running.definitions().resolve_asset_graph()
    evaluated = {it.key.path[-1]: nodes(it) for it in running.evaluate().results}
    whole = nodes(graph.get(dg.AssetKey("the_set")).automation_condition)
    assert evaluated["the_set"] < whole / 2


def test_a_tick_leaves_nothing_of_what_it_looked_at(running):
    def views() -> int:
        gc.collect()
        return sum(type(it).__name__ == "AssetGraphView" for it in gc.get_objects())

    running.tick()
    before = views()
    for _ in range(5):
        running.tick()
    assert views() == before


def nodes(tree: Any) -> int:
    """Of a condition, or of what came of it, with all below."""
    below = tree.children if isinstance(tree, dg.AutomationCondition) else tree.child_results
    return 1 + sum(map(nodes, below))


def test_a_daemon_that_looks_up_nothing_asks_for_the_same(world, monkeypatch):
    monkeypatch.setattr(noted, "NOTED", frozenset())
    world.tick()
    world.arrive("e1", "e2")
    assert world.settle() == ["gallery+clusters+the_set:e1,e2"]


@pytest.mark.parametrize("log", ["event_log", "postgres_log"])
def test_whoever_opens_the_event_log_looks_up_what_was_found(log):
    if log == "postgres_log":
        pytest.importorskip("dagster_postgres")
    room = "dataset_pipeline.orchestration"
    program = f"import sys, {room}.{log}; assert {{'{room}.noted', '{room}.together'}} <= sys.modules.keys()"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_ticks_lie_further_apart_the_more_there_is_to_look_at():
    few, many = automation_sensor([dg.AssetKey("a")]), automation_sensor(map(dg.AssetKey, "abcd"), 100_000)
    assert (few.minimum_interval_seconds, many.minimum_interval_seconds) == (4, 24)


def test_an_interval_is_a_second_less_than_what_dagster_looks_after():
    assert [interval_s(apart_s) for apart_s in (0, 4, 5, 5.1, 10, 24)] == [4, 4, 4, 9, 9, 24]


@pytest.mark.parametrize("kept", [(), ("b",), ("a", "b", "d"), ("gone",)])
@pytest.mark.parametrize("partitions", [dg.StaticPartitionsDefinition(list("abcd")), EPISODES])
def test_ranges_of_partitions_are_those_that_dagster_gives(partitions, kept, world):
    world.instance.add_dynamic_partitions("episodes", list("abcd"))
    with partition_loading_context(dynamic_partitions_store=world.instance):
        ranges = DefaultPartitionsSubset(set(kept)).get_partition_key_ranges(partitions)
        expected = DefaultPartitionsSubset(set(kept)).get_ranges_for_keys(partitions.get_partition_keys())
    assert list(ranges) == list(expected)
