"""Parts of conditions of automation that are found once on each tick and looked up from there: an asset waits for some
twenty others, and each of these answers the same to all who ask.

They are conditions of Dagster's own, ands and ors known by their labels. What one remembers from tick to tick is kept
with the asset that it is about, whoever asks first. Every event log of this package loads this module into the daemon;
where another log does without it all who ask evaluate for themselves, with the same answers but that what an arrival's
run is about to do may be asked for once more.
"""

from __future__ import annotations

from dagster import AutomationContext, AutomationResult

from dataset_pipeline.orchestration.dagster_internals import at_home

DUE, RESTED, BUSY, FAILED = "is due", "is at rest", "an episode or what follows is busy", "has just failed"
NOTED = frozenset({DUE, RESTED, BUSY, FAILED})

_evaluated_anew = AutomationContext.evaluate_async


async def evaluated(self: AutomationContext) -> AutomationResult:
    """A condition in its context, as Dagster evaluates it, or as it was found before on this tick."""
    label = self.condition.get_label()
    # What has no condition, as an external asset, has no memory of its own: each asker keeps that.
    if label not in NOTED or self.asset_graph.get(self.key).automation_condition is None:
        return await _evaluated_anew(self)
    # For which partitions a label holds of an asset: kept with the view of the graph, which a tick has for itself.
    found = vars(self.asset_graph_view).setdefault("_noted", {})
    if (label, self.key) not in found:
        result = await _evaluated_anew(at_home(self))
        found[label, self.key] = result.true_subset, list(result.child_results)
    subset, noted = found[label, self.key]
    below = []
    if self.root_context.key == self.key:
        below, noted[:] = list(noted), []
    return AutomationResult(self, self.candidate_subset.compute_intersection(subset), child_results=below)


setattr(AutomationContext, "evaluate_async", evaluated)  # noqa: B010  (Dagster has no place for it)
