"""What a joined table is made from, however far up: gathered from the pointers of all that is behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dataset_pipeline.graph.declaration import DECLARATIONS, is_joined
from dataset_pipeline.graph.reading import Reading, work_of
from dataset_pipeline.graph.versions import version_of
from dataset_pipeline.store.lineage import JOINED, Lineage, Made
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.store import Pointer, Store

SOURCE = "video_probe"  # whose table changes with what a source holds, and not with where it lies or since when


def lineage_of(step: Reading) -> Lineage:
    """The lineage of what a joined step makes now, its own settings among them."""
    work, name = work_of(step), step.declaration.name

    def pointers_of(asset: str, keys: Sequence[str]) -> Mapping[str, Pointer]:
        # Those of what it reads are at hand; all others would fill the memory if they were kept.
        if asset not in step.declaration.reads:
            return pointers_in(work.store, asset, keys)
        found = {JOINED: step.pointer(asset)} if is_joined(asset) else step.pointers(asset)
        return {key: pointer for key in keys if (pointer := found.get(key))}

    found = lineage_in(pointers_of, step.ancestors, step.episodes)
    sections = {section: getattr(work.settings, section).counted() for section in work.declaration.settings}
    own = Made(str(work.declaration.algorithm), sections)
    return replace(found, steps={**found.steps, name: {JOINED: own}})


def pointers_in(store: Store, asset: str, keys: Sequence[str]) -> Mapping[str, Pointer]:
    """What is current of an asset for some episodes, or for JOINED alone."""
    if list(keys) == [JOINED]:
        return {JOINED: pointer} if (pointer := store.pointer(asset)) else {}
    return store.pointers(asset, keys)


def lineage_in(
    pointers_of: Callable[[str, Sequence[str]], Mapping[str, Pointer]],
    made_from: Iterable[str],
    episodes: Iterable[str],
) -> Lineage:
    """The lineage of what would be made now from these assets, the ancestors of a joined one. pointers_of: as
    `pointers_in` of a store. Raises TableOutdated for a damaged pointer."""
    keys = sorted(episodes)
    sources: dict[str, str] = {}
    steps: dict[str, dict[str, Made]] = {}
    tables: dict[str, dict[str, str]] = {}
    for asset in sorted(asset for asset in made_from if asset in DECLARATIONS):
        for key, pointer in pointers_of(asset, [JOINED] if is_joined(asset) else keys).items():
            steps.setdefault(asset, {})[key] = made_by(pointer.provenance)
            tables.setdefault(asset, {})[key] = table_name(pointer)
            if asset == SOURCE:
                sources[key] = version_of(pointer)
    return Lineage(sources, steps, tables)


def made_by(provenance: Provenance) -> Made:
    """How a table was made, in short."""
    algorithm = provenance.code_version.partition("-")[0]
    models = {model["role"]: f"{model['model']} {model['sha256'][:12]}" for model in provenance.models}
    return Made(algorithm, provenance.settings, models)


def table_name(pointer: Pointer) -> str:
    """The name of the table without its ending: its content hash."""
    return pointer.file.rpartition("/")[2].partition(".")[0]
