"""Assembles assets and resources into code locations: `defs` on the user's models, `demo_defs` on the shipped ones."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from dataset_pipeline.assets import characters, crops, frames, scores, source, tags, training
from dataset_pipeline.assets.framework import DECLARATIONS, location_prefix, partitions_name
from dataset_pipeline.models import load_registry
from dataset_pipeline.models.injected import known_weights, model_resources
from dataset_pipeline.settings import Settings, load_settings, project_folder
from dataset_pipeline.store.store import Store

MODULES = (source, frames, crops, characters, scores, tags, training)


def store_of(settings: Settings) -> Store:
    """The store of a project; a relative root starts at the project folder."""
    return Store(_rooted(settings.store.root, settings))


def export_root(settings: Settings) -> Path:
    """The folder that exported sets are written into."""
    return Path(_rooted(settings.exported_set.root, settings))


def mixing_fault(settings: Settings, store: Store) -> str:
    """Why these models must not write into this store: it holds results of the demo models, or of real ones. Empty if
    they may."""
    demo = load_registry().packs[settings.models.pack].demo
    for episode in store.episodes("frame_embeddings")[:1]:
        pointer = store.pointer("frame_embeddings", episode)
        if pointer and bool(pointer.provenance.get("demo")) != demo:
            there, here = ("real", "demo") if demo else ("demo", "real")
            return f"{store.root} holds results of {there} models: put {{pack}} into [store] root for {here} ones"
    return ""


def _rooted(root: str, settings: Settings) -> str:
    root = root.replace("{pack}", settings.models.pack)
    return root if "://" in root else str(project_folder() / Path(root).expanduser())


def build_definitions(settings: Settings) -> dg.Definitions:
    """One project as a code location.

    A pack other than the real one prefixes its asset keys and its partitions, so that projects share a Dagster
    instance without mixing.
    """
    prefix = location_prefix(settings)
    partitions = dg.DynamicPartitionsDefinition(name=partitions_name(settings))
    roles = model_resources(settings)
    weights = known_weights(roles)

    def versioned(spec: dg.AssetSpec) -> dg.AssetSpec:
        declaration = DECLARATIONS[spec.key.path[-1]]
        return spec.replace_attributes(
            code_version=declaration.code_version(settings, weights),
            partitions_def=None if declaration.joined else partitions,
        )

    # The prefix reaches dependencies on `video` only if specs are loaded too, though it leaves their own keys alone.
    loaded = dg.load_assets_from_modules(MODULES, key_prefix=prefix or None, include_specs=True)
    assets = [asset for asset in loaded if isinstance(asset, dg.AssetsDefinition)]
    video = source.video.replace_attributes(
        key=dg.AssetKey([*prefix, *source.video.key.path]), partitions_def=partitions
    )
    return dg.Definitions(
        assets=[video, *dg.map_asset_specs(versioned, assets)],
        resources={
            "settings": settings,
            "store": store_of(settings),
            "export_root": export_root(settings),
            **roles,
        },
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The user's project."""
    return build_definitions(load_settings())


@dg.definitions
def demo_defs() -> dg.Definitions:
    """The same graph on the shipped demo models, in a store of its own."""
    return build_definitions(load_settings(models__pack="demo"))
