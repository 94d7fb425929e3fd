"""Importing the model libraries: fast, quiet, and only when a model is needed.

Importing anything of imgutils imports torchvision and, where installed, transformers (about 10 s), for helpers that
this package never calls; imgutils does without them when they are absent. `hidden` makes them look absent while
imgutils is imported for the first time. open_clip and pyiqa need torchvision: they find it once the guard is lifted.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

from dataset_pipeline.models.loading import LOADING


@contextlib.contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Make `import name` raise ImportError for modules that are not imported yet; lifted on exit.

    Python's own rule: a None in sys.modules stops the import. Process-wide while it lasts, hence the lock, which every
    load of a model takes too.
    """
    with LOADING:
        blocked = [name for name in names if name not in sys.modules]
        sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
        try:
            yield
        finally:
            for name in blocked:
                del sys.modules[name]


def import_imgutils(module: str) -> ModuleType:
    """`imgutils.<module>`, without dragging in torchvision and transformers."""
    with hidden("torchvision", "transformers"):
        return importlib.import_module(f"imgutils.{module}")
