"""What a joined table is made from, however far up: gathered from the pointers of all that is behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath

from dataset_pipeline.base.parallel import map_all
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
    found = lineage_in(work.store, step.ancestors, step.episodes)
    sections = {section: getattr(work.settings, section).counted() for section in work.declaration.settings}
    own = Made(str(work.declaration.algorithm), sections)
    return replace(found, steps={**found.steps, name: {JOINED: own}})


def lineage_in(store: Store, made_from: Iterable[str], episodes: Iterable[str]) -> Lineage:
    """The lineage of what would be made now from these assets, the ancestors of a joined one. Raises TableOutdated for
    a damaged pointer."""
    behind = sorted(asset for asset in made_from if asset in DECLARATIONS)
    keys = sorted(episodes)
    places = [(asset, key) for asset in behind for key in ([JOINED] if is_joined(asset) else keys)]
    found = map_all(lambda place: store.pointer(place[0], place[1] or None), places)
    pointers = {place: pointer for place, pointer in zip(places, found, strict=True) if pointer}
    steps: dict[str, dict[str, Made]] = {}
    tables: dict[str, dict[str, str]] = {}
    for (asset, key), pointer in pointers.items():
        steps.setdefault(asset, {})[key] = made_by(pointer.provenance)
        tables.setdefault(asset, {})[key] = table_name(pointer)
    sources = {key: version_of(pointers[SOURCE, key]) for key in keys if (SOURCE, key) in pointers}
    return Lineage(sources, steps, tables)


def made_by(provenance: Provenance) -> Made:
    """How a table was made, in short."""
    algorithm = provenance.code_version.partition("-")[0]
    models = {model["role"]: f"{model['model']} {model['sha256'][:12]}" for model in provenance.models}
    return Made(algorithm, provenance.settings, models)


def table_name(pointer: Pointer) -> str:
    """The name of the table without its ending: its content hash."""
    return PurePosixPath(pointer.file).stem
