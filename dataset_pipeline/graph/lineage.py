"""What a joined table is made from, however far up: gathered from the pointers of all that is behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.graph.declaration import DECLARATIONS, is_joined
from dataset_pipeline.graph.reading import Reading, work_of
from dataset_pipeline.graph.versions import version_of
from dataset_pipeline.store.lineage import JOINED, Lineage, Made
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.store import Pointer

SOURCE = "video_probe"  # whose table changes with what a source holds, and not with where it lies or since when


def lineage_of(step: Reading) -> Lineage:
    """The lineage of what a joined step makes now, its own settings among them."""
    work, name = work_of(step), step.declaration.name

    def pointer_of(asset: str, episode: str | None) -> Pointer | None:
        # Those of what it reads are at hand; all others would fill the memory if they were kept.
        is_read = asset in step.declaration.reads
        return step.pointer(asset, episode) if is_read else work.store.pointer(asset, episode)

    found = lineage_in(pointer_of, step.ancestors, step.episodes)
    sections = {section: getattr(work.settings, section).counted() for section in work.declaration.settings}
    own = Made(str(work.declaration.algorithm), sections)
    return replace(found, steps={**found.steps, name: {JOINED: own}})


def lineage_in(
    pointer_of: Callable[[str, str | None], Pointer | None], made_from: Iterable[str], episodes: Iterable[str]
) -> Lineage:
    """The lineage of what would be made now from these assets, the ancestors of a joined one. pointer_of: what is
    current of an asset for an episode. Raises TableOutdated for a damaged pointer."""
    behind = sorted(asset for asset in made_from if asset in DECLARATIONS)
    keys = sorted(episodes)
    places = [(asset, key) for asset in behind for key in ([JOINED] if is_joined(asset) else keys)]

    def found_at(place: tuple[str, str]) -> tuple[Made, str, str] | None:
        asset, key = place
        pointer = pointer_of(asset, key or None)
        source = version_of(pointer) if pointer and asset == SOURCE else ""
        return (made_by(pointer.provenance), table_name(pointer), source) if pointer else None

    sources: dict[str, str] = {}
    steps: dict[str, dict[str, Made]] = {}
    tables: dict[str, dict[str, str]] = {}
    for (asset, key), found in zip(places, map_all(found_at, places), strict=True):
        if found is None:
            continue
        steps.setdefault(asset, {})[key], tables.setdefault(asset, {})[key], source = found
        if asset == SOURCE:
            sources[key] = source
    return Lineage(sources, steps, tables)


def made_by(provenance: Provenance) -> Made:
    """How a table was made, in short."""
    algorithm = provenance.code_version.partition("-")[0]
    models = {model["role"]: f"{model['model']} {model['sha256'][:12]}" for model in provenance.models}
    return Made(algorithm, provenance.settings, models)


def table_name(pointer: Pointer) -> str:
    """The name of the table without its ending: its content hash."""
    return pointer.file.rpartition("/")[2].partition(".")[0]
