"""How tests look at a store."""

from __future__ import annotations

from dataset_pipeline.store.condition import condition_of
from dataset_pipeline.store.pointers import NONE_APART
from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.store.conftest import Disk


def intact(store: Store, asset: str, episode: str | None = None) -> bool:
    """Whether there is a current table that can be read, with every picture it names."""
    found = condition_of(store, asset, episode)
    return found.pointer is not None and not found.fault and not found.gone


def of_tables(disk: Disk) -> list[str]:
    """What lies in a store but its locks and what says how it is laid out."""
    return [path for path in disk.files() if not path.startswith(".") and path != NONE_APART]
