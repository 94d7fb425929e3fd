"""When things run by themselves.

An arriving episode is measured in one run, which the sensor of `orchestration.arrivals` asks for. Everything that
follows from it, and everything that follows from a changed setting, is asked for by one automation condition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from operator import or_

import dagster as dg

from dataset_pipeline.orchestration.noted import BUSY, DUE, FAILED, RESTED
from dataset_pipeline.orchestration.together import FOLLOWS, THROUGH_TAG

AC = dg.AutomationCondition
BY_AUTOMATION = "dagster/from_automation_condition"  # Dagster puts it on every run that a condition asked for
LOOP_S = 5  # Dagster's daemon looks so often for what is due; a new episode waits for some three ticks on its way
# A tick looks at each asset in each episode, for some 0.02 ms. The daemon shall rest for twice as long.
TICK_S_AN_ASSET = 0.00006


def keep_current(
    sources: dg.AssetSelection,
    measured: Iterable[dg.AssetKey] = (),
    together: Iterable[dg.AssetKey] = (),
    above: Iterable[dg.AssetKey] = (),
    evaluated_at: dg.AssetKey | None = None,
) -> dg.AutomationCondition:
    """Run what is due once nothing it reads is running or due itself.

    sources: external assets, for which the sensor of arrivals alone answers. Failed episodes hold up nothing and are
    left alone until there is news for them.

    Joined assets and projections wait until all episodes are at rest, or they would run once for every batch of
    episodes that comes through, and are made in one run with all that follows, see `orchestration.together`. measured:
    what is made of each episode by itself, which must be neither running nor due in any; without any it waits for what
    it reads in its own episode. together: the joined assets and projections, of which none may be running, as that run
    may have passed this one. above: those of them that this one follows from. evaluated_at: one that is joined, from
    which all others are looked at: a projection would see its own episode's partitions only.
    """
    rested, due = _rested(), _due(sources)
    if evaluated_at:
        elsewhere = [AC.asset_matches(key, ~rested | due) for key in measured]
        # Who has just failed is not at rest. That is asked early, so that all failures of a run are seen on one tick.
        elsewhere += [AC.asset_matches(key, ~rested | _failed()) for key in together]
        waiting = AC.asset_matches(evaluated_at, reduce(or_, elsewhere).with_label(BUSY))
        if failures := [AC.asset_matches(key, _failed()) for key in above]:
            due = _due(sources, AC.asset_matches(evaluated_at, reduce(or_, failures)))
    else:
        waiting = AC.any_deps_match(~rested | due).ignore(sources)
    asked = rested & due
    if not evaluated_at:
        # An arrival's run may do it while a tick looks, which then sees the work and not the run: it counts next time.
        asked &= ~due.newly_true()
    clear = (~waiting).with_label(FOLLOWS if evaluated_at else "nothing above is busy")
    return (asked & clear).with_label("keep_current")


def _due(sources: dg.AssetSelection, failed_above: dg.AutomationCondition | None = None) -> dg.AutomationCondition:
    """This asset has something to do, and something to do it with. failed_above: whether something in the same run that
    this one follows from has just failed."""
    # By a run that makes all that follows as well, and not by one that a person has repeated in part.
    through = AC.all_new_updates_have_run_tags(tag_keys={THROUGH_TAG, BY_AUTOMATION})
    news = AC.code_version_changed() | AC.any_deps_match(AC.data_version_changed() & ~through).ignore(sources)
    failed = _failed()
    if failed_above:
        # What a failure has kept a run from is made of what there is.
        news, failed = news | (failed & failed_above), failed & ~failed_above
    # A run that is under way reads what was known when it began, though it may have been asked for by another asset.
    # One that ends while a tick looks may be seen as ended on one tick and in what it made on the next.
    idle = ~AC.in_progress()
    settled = idle & ~idle.newly_true()
    began = AC.in_progress().newly_true() | (AC.newly_updated() & through & settled & ~settled.newly_true())
    # News is an edge, seen on one tick only, so it is latched until it has been acted on.
    handled = (
        # What changed while a run was being asked for came too late for that run.
        ((AC.newly_requested() | began) & ~news)
        | (AC.newly_updated() & ~AC.all_new_updates_have_run_tags(tag_keys={BY_AUTOMATION}))  # an arrival or a person
        | failed
    )
    # A gap is a level, not an edge: it is also found by a fresh deployment and after a lost run.
    gap = AC.missing() & ~AC.execution_failed()
    # Of an episode every input exists; of what is joined, every input of at least one episode.
    has_inputs = AC.all_deps_match(~AC.missing()).ignore(sources)
    return ((news.since(handled) | gap) & has_inputs).with_label(DUE)


def _failed() -> dg.AutomationCondition:
    failed = AC.execution_failed()
    return (failed & failed.newly_true()).with_label(FAILED)


def _rested() -> dg.AutomationCondition:
    """Not running on this tick nor on the one before, nor asked for on that: a run that ends while a tick looks can be
    seen as neither running nor finished, and between a new partition and its run lies a moment."""
    idle = ~AC.in_progress()
    return (idle & ~idle.newly_true() & ~AC.newly_requested()).with_label(RESTED)


def interval_s(apart_s: float) -> int:
    """What to ask Dagster for so that what it does lies so far apart at least: what is due after 5 s is not yet due
    when it looks after 5 s, so this is a second less than a multiple of that."""
    return max(1, math.ceil(apart_s / LOOP_S)) * LOOP_S - 1


def tick_interval_s(episodes: int, assets: int) -> int:
    """Of ticks that look at so many episodes of so many assets: more than one takes."""
    return interval_s(TICK_S_AN_ASSET * episodes * assets)


def automation_sensor(keys: Iterable[dg.AssetKey], episodes: int = 0) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions of a project's assets. episodes: how many there are."""
    keys = list(keys)
    return dg.AutomationConditionSensorDefinition(
        "keep_current",
        target=dg.AssetSelection.assets(*keys),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=tick_interval_s(episodes, len(keys)),
        description="Runs what a new episode, a changed setting or a repaired file makes out of date.",
    )
