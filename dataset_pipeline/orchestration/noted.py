"""Conditions of automation that are found once on each tick and looked up from there: an asset waits for some twenty
others, and each of these answers the same to all who ask.

`NotedCondition` stands in the condition of an asset itself, `AsNotedCondition` in those of others, or later in its own.
Dagster evaluates assets from above, so that who is waited for has answered before. The daemon and the web server have
to know these classes: every event log of this package loads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from dagster import AutomationCondition, AutomationContext, AutomationResult

from dataset_pipeline.orchestration.dagster_internals import (
    BuiltinAutomationCondition,
    record,
    whitelist_for_serdes,
)

# By tick, which looks at one view of the graph: what was found, by name and asset.
_FOUND: WeakKeyDictionary[Any, dict[tuple[str, Any], Any]] = WeakKeyDictionary()


@whitelist_for_serdes
@record
class NotedCondition(BuiltinAutomationCondition):
    """As its operand, which is evaluated for all partitions; others find under the name for which it holds."""

    operand: AutomationCondition
    noted_as: str

    @property
    def name(self) -> str:
        return f"NOTED AS {self.noted_as}"

    @property
    def requires_cursor(self) -> bool:
        return False

    @property
    def children(self) -> Sequence[Any]:
        return [self.operand]

    async def evaluate(self, context: AutomationContext) -> AutomationResult:
        everything = context.asset_graph_view.get_full_subset(key=context.key)
        found = await context.for_child_condition(self.operand, [0], everything).evaluate_async()
        _FOUND.setdefault(context.asset_graph_view, {})[self.noted_as, context.key] = found.true_subset
        holds = context.candidate_subset.compute_intersection(found.true_subset)
        return AutomationResult(context, holds, child_results=[found])


@whitelist_for_serdes
@record
class AsNotedCondition(BuiltinAutomationCondition):
    """What was noted of the asset on this tick; as its operand where nothing was, as of one without a condition."""

    operand: AutomationCondition
    noted_as: str

    @property
    def name(self) -> str:
        return f"AS NOTED AS {self.noted_as}"

    @property
    def requires_cursor(self) -> bool:
        return False

    @property
    def children(self) -> Sequence[Any]:
        return [self.operand]

    async def evaluate(self, context: AutomationContext) -> AutomationResult:
        found = _FOUND.get(context.asset_graph_view, {}).get((self.noted_as, context.key))
        if found is not None:
            return AutomationResult(context, context.candidate_subset.compute_intersection(found))
        result = await context.for_child_condition(self.operand, [0], context.candidate_subset).evaluate_async()
        return AutomationResult(context, result.true_subset, child_results=[result])
