"""Where a project's tables and sets lie, and whether its models may write there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dataset_pipeline.corrections.log import CorrectionLog
from dataset_pipeline.models import load_registry
from dataset_pipeline.settings import DEMO_DEFAULTS, Settings, load_settings, project_folder
from dataset_pipeline.store.files import open_files
from dataset_pipeline.store.store import Store

DEMO = "demo"
MADE_HERE = "data/{pack}/exports"  # what is exported to a URL
DEMO_EPISODES = "data/demo/episodes"
# The projects that definitions.py has code locations for, by their names there: their settings, read anew.
LOCATIONS: dict[str, Callable[[], Settings]] = {
    "defs": lambda: load_settings(),
    "demo_defs": lambda: load_settings(pack_defaults=DEMO_DEFAULTS, models__pack=DEMO, episodes__roots=[DEMO_EPISODES]),
}


def store_of(settings: Settings) -> Store:
    """The store of a project; a relative root starts at the project folder."""
    return Store(_rooted(settings.store.root, settings))


def correction_log(settings: Settings) -> CorrectionLog:
    """What a person said about a project. Raises StoreError for a place that cannot be one."""
    return CorrectionLog(open_files(_rooted(settings.corrections.root, settings)))


def export_root(settings: Settings) -> Path:
    """The folder that exported sets are written into; those for a URL are made here first."""
    root = settings.exported_set.root
    return Path(_rooted(MADE_HERE if "://" in root else root, settings))


def published(settings: Settings, folder: Path) -> str:
    """Where a set is to be had that was written into `export_root`: its folder, or a copy of it below the URL that
    `[exported_set] root` is. Raises StoreError, ExportError, OSError."""
    root = _rooted(settings.exported_set.root, settings)
    if "://" not in root:
        return str(folder)
    from dataset_pipeline.training.exporters.publishing import publish

    return publish(folder, open_files(root))


def mixing_fault(settings: Settings, store: Store) -> str:
    """Why these models must not write into this store: it holds results of the demo models, or of real ones. Empty if
    they may. Raises RegistryError for a pack that is not known."""
    demo = load_registry().pack(settings.models.pack).demo
    for episode in store.episodes("frame_embeddings")[:1]:
        pointer = store.pointer("frame_embeddings", episode)
        if pointer and pointer.provenance.demo != demo:
            there, here = ("real", "demo") if demo else ("demo", "real")
            return f"{store.root} holds results of {there} models: put {{pack}} into [store] root for {here} ones"
    return ""


def demo_hint(settings: Settings, store: Store) -> str:
    """Where to look instead, if nothing was ever run in this store but the demo was in its own. Else empty."""
    models = settings.models.model_copy(update={"pack": DEMO})
    of_demo = store_of(settings.model_copy(update={"models": models}))
    if store.episodes("video") or of_demo.root == store.root or not of_demo.episodes("video"):
        return ""
    return f"the demo's results are in {of_demo.root}: add --models {DEMO}"


def location_prefix(settings: Settings) -> list[str]:
    """The key prefix of a project's assets: none for real models, the pack's name otherwise."""
    return [] if settings.models.pack == "real" else [settings.models.pack]


def partitions_name(settings: Settings) -> str:
    """The name of the project's dynamic partitions."""
    return "_".join(["episodes", *location_prefix(settings)])


def _rooted(root: str, settings: Settings) -> str:
    root = root.replace("{pack}", settings.models.pack)
    return root if "://" in root else str(project_folder() / Path(root).expanduser())
