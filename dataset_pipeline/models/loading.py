"""Loaded models are kept for the process, the least recently used one dropped first; every call is counted."""

from __future__ import annotations

import gc
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from dataset_pipeline.base.timing import span

Loaded = TypeVar("Loaded")
Key = tuple[Hashable, ...]

# "<role>.pictures": pictures sent to a model (a picture sent to two detectors counts twice); "<role>.runs": runs of it;
# "identity.difference_runs": runs of the small network that compares features.
CALLS: Counter[str] = Counter()

_MODELS: OrderedDict[Key, Any] = OrderedDict()
# Held while a model loads: loading twice would double its memory, and the import guard of imports.py is process-wide.
LOADING = threading.RLock()
_COUNTING = threading.Lock()


def count(role: str, pictures: int, runs: int = 1) -> None:
    """Note that a role's model saw `pictures` pictures in `runs` runs."""
    with _COUNTING:
        CALLS[f"{role}.pictures"] += pictures
        CALLS[f"{role}.runs"] += runs


def reset_calls() -> None:
    """Start counting from zero."""
    with _COUNTING:
        CALLS.clear()


def loaded(key: Key, load: Callable[[], Loaded], keep_loaded: int) -> Loaded:
    """The model kept under `key`, loaded with `load` if need be.

    Before another model is loaded, the least recently used ones are dropped until at most `keep_loaded` - 1 are left.
    A dropped model that a thread is still using lives until that call ends.
    """
    with LOADING:
        if key not in _MODELS:
            _drop_down_to(keep_loaded - 1)
            with span("imports"):
                _MODELS[key] = load()
        _MODELS.move_to_end(key)
        return _MODELS[key]


def loaded_keys() -> list[Key]:
    """Keys of the models in memory, the least recently used first."""
    return list(_MODELS)


def unload_all() -> None:
    """Drop every model."""
    with LOADING:
        _drop_down_to(0)


def _drop_down_to(count_kept: int) -> None:
    if len(_MODELS) <= max(count_kept, 0):
        return
    while len(_MODELS) > max(count_kept, 0):
        _MODELS.popitem(last=False)
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
