"""Taking episodes out for good. Their files stay where they are, and are not taken up again by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from dataset_pipeline.graph.aliases import current_id
from dataset_pipeline.graph.project import partitions_name
from dataset_pipeline.orchestration.registration import recorded
from dataset_pipeline.orchestration.unfinished import UnderWay, unfinished_backfills, unfinished_runs
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.finding import list_sources
from dataset_pipeline.sources.locations import root_of, whereabouts
from dataset_pipeline.sources.roots import roots_of
from dataset_pipeline.store.store import Store


@dataclass
class Pruned:
    """Keys of the episodes that were taken out, and for each that was not, a sentence saying why."""

    removed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def prune(
    instance: dg.DagsterInstance, store: Store, settings: Settings, episodes: Sequence[str] | None = None
) -> Pruned:
    """Take the named episodes out, or if None those whose source is gone. Joined assets still hold them until rebuilt.

    The store forgets an episode before Dagster does, so that a call that broke off finds it again. Its pictures and
    tables are left to the store's `clean`.
    """
    partitions = partitions_name(settings)
    registered = instance.get_dynamic_partitions(partitions)
    named = gone_episodes(settings, store, instance) if episodes is None else episodes
    known = frozenset(registered)
    chosen = list(dict.fromkeys(key if key in known else current_id(store, key) for key in named))
    under_way = UnderWay(registered, unfinished_runs(instance, settings), unfinished_backfills(instance, settings))
    pruned = Pruned()
    for episode in chosen:
        if episode not in known:
            pruned.refused[episode] = f"{episode} is no episode of this project"
        elif work := under_way.on(episode):
            pruned.refused[episode] = f"{work} is not finished: wait for it or cancel it"
        else:
            store.forget(episode)
            instance.delete_dynamic_partition(partitions, episode)
            pruned.removed.append(episode)
    return pruned


def gone_episodes(settings: Settings, store: Store, instance: dg.DagsterInstance) -> list[str]:
    """The registered episodes whose source is gone, sorted.

    One whose root or folder is missing, empty or cannot be listed is not among them: its disk may be away.
    """
    registered = instance.get_dynamic_partitions(partitions_name(settings))
    paths = {key: Path(seen.path) for key, seen in recorded(instance, store, settings, registered).items() if seen.path}
    roots = roots_of(settings)
    gone = []
    healthy: dict[Path, bool] = {}
    for key, path in sorted(paths.items()):
        root = root_of(path, roots)
        if whereabouts(path, root) != "gone":
            continue
        if root is not None and root not in healthy:
            healthy[root] = bool(list_sources([root], lambda path, status: None, folders_of_shows=True)[0])
        if root is None or healthy[root]:
            gone.append(key)
    return gone
