"""Where sources lie: paths that are compared, the root a path lies in, and whether a source is still there."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from dataset_pipeline.base.file_names import is_ignored


def path_key(path: Path | str) -> str:
    """A path as text that is the same however it is spelled on this system."""
    return os.path.normcase(path)


def root_of(path: Path | str, roots: Iterable[Path]) -> Path | None:
    """The root that a path lies in, the innermost where roots contain one another."""
    around = [root for root in roots if Path(path_key(path)).is_relative_to(path_key(root))]
    return max(around, key=lambda root: len(root.parts), default=None)


def whereabouts(path: Path, root: Path | None = None) -> Literal["there", "gone", "unseen"]:
    """Whether a source is still there. `unseen`: it may be, as the folder left around it is empty or cannot be listed,
    like that of a disk that is not mounted. Folders above `root`, or above its own if None, are no evidence."""
    try:
        path.stat()
        return "there"
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError:
        return "unseen"
    for folder in path.parents:
        try:
            return "gone" if any(not is_ignored(name) for name in os.listdir(folder)) else "unseen"
        except FileNotFoundError:
            if root is None or path_key(folder) == path_key(root):
                return "unseen"
        except OSError:
            return "unseen"
    return "unseen"
