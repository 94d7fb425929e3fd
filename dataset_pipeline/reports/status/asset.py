"""The state of the whole project as one page of the web UI, which shows no staleness of partitioned assets itself."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from dataset_pipeline.reports.status.judging import status_of
from dataset_pipeline.reports.status.states import STATES, Status
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.store import Store

LOOK_EVERY_S = 120
PROBLEM_ROWS, REASON_ROWS = 20, 60
PASSED_OVER_CHECK = "nothing_was_passed_over"
FAILING = "!"  # ends the cursor while that check fails


def status_asset(prefix: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The asset `status` under a project's key prefix. Materializing it looks again; `status_sensor` does so by itself.

    It is no part of the graph: nothing reads it and it reads no tables but to judge them.
    """

    @dg.asset(
        key=dg.AssetKey([*prefix, "status"]),
        group_name="status",
        kinds={"markdown"},
        required_resource_keys={"settings", "store"},
        description="Which episodes are fresh, stale and why, missing, running or failed, in every asset.",
        check_specs=[
            dg.AssetCheckSpec(
                PASSED_OVER_CHECK,
                asset=dg.AssetKey([*prefix, "status"]),
                description="The last look for episodes took in all there was but what usually lies beside them.",
            )
        ],
    )
    def status(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        found = status_of(context.resources.settings, context.resources.store, context.instance)
        return dg.MaterializeResult(metadata=_metadata(found, markdown(found)), check_results=[_check(found)])

    return status


def status_sensor(
    settings: Settings, store: Store, key: dg.AssetKey, weights: Mapping[str, str] | None = None
) -> dg.SensorDefinition:
    """Looks every two minutes, and reports a materialization of `key` without a run whenever the page has changed.

    weights: sha256 by model role, those of the project's models if not given.
    """

    @dg.sensor(
        name="status_page",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps the page of the asset `status` up to date. Starts no runs.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        found = status_of(settings, store, context.instance, weights)
        page = markdown(found)
        seen = hashlib.sha256(page.encode()).hexdigest()[:16] + FAILING * bool(found.passed_over)
        if seen == context.cursor:
            return dg.SkipReason("nothing has changed")
        event = dg.AssetMaterialization(asset_key=key, metadata=_metadata(found, page))
        check = _check(found)
        was_failing = (context.cursor or "").endswith(FAILING)
        if check.passed and not was_failing:
            return dg.SensorResult(asset_events=[event], cursor=seen)
        checked = dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=PASSED_OVER_CHECK,
            passed=check.passed,
            severity=check.severity,
            description=check.description,
            metadata={},
        )
        return dg.SensorResult(asset_events=[event, checked], cursor=seen)

    return evaluate


def _check(status: Status) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=PASSED_OVER_CHECK,
        passed=not status.passed_over,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(status.passed_over),
    )


def markdown(status: Status) -> str:
    """Totals, problems, a table of assets by states, and the reasons: about a hundred rows at most."""
    counts = ", ".join(f"{count} {state}" for state, count in status.counts().items() if count)
    lines = [f"{len(status.episodes)} episodes: {counts or 'nothing to make'}.", ""]
    lines += [line for machine in status.machines for line in (f"{machine}.", "")]
    if problems := status.problems():
        lines += ["**Problems**", "", *_listed(problems, PROBLEM_ROWS), ""]
    lines += [f"| asset | {' | '.join(STATES)} |", f"| --- |{' ---: |' * len(STATES)}"]
    for asset in status.cells:
        numbers = (f" {count} |" if count else " |" for count in status.counts(asset).values())
        lines.append(f"| {asset} |{''.join(numbers)}")
    if reasons := status.reason_lines():
        lines += ["", "**What is not fresh**", "", *_listed(reasons, REASON_ROWS)]
    return "\n".join(lines)


def _listed(entries: Sequence[str], most: int) -> Iterable[str]:
    yield from (f"- {entry}" for entry in entries[:most])
    if len(entries) > most:
        yield f"- … and {len(entries) - most} more"


def _metadata(status: Status, page: str) -> dict[str, Any]:
    machines = {"machines": "; ".join(status.machines)} if status.machines else {}
    return {"summary": dg.MetadataValue.md(page), **machines, **status.counts()}
