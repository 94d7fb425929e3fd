"""A set's folder copied to where others read it, such as a bucket: whole for a reader once its checksums are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.base.paths import long_path
from dataset_pipeline.store.protocol import Files
from dataset_pipeline.training.exporters.folder import CHECKSUMS, ExportError, checksums_in

MOST_COPIES = 1000


def publish(folder: Path, files: Files) -> str:
    """Copy the folder of a set, as its checksums list it, below the root of `files`: the URI of the copy.

    The checksums are written last. A copy with the same ones stays as it is; one without any was interrupted, and is
    written anew; one of other content keeps its name, and the set is written beside it as `<name>-2` and so on. Texts
    that hold the folder's absolute path stay behind. Raises ExportError, OSError.
    """
    sums = checksums_in(folder)
    listed = long_path(folder / CHECKSUMS, 0).read_bytes()
    for attempt in range(1, MOST_COPIES):
        name = folder.name if attempt == 1 else f"{folder.name}-{attempt}"
        there = _read(files, f"{name}/{CHECKSUMS}")
        if there is None:
            _copy(folder, sorted(sums), files, name)
            files.write(f"{name}/{CHECKSUMS}", listed)
        if there in (None, listed):
            return files.uri(name)
    raise ExportError(f"{files.uri('')} holds a thousand copies of {folder.name} with other content; remove some")


def _copy(folder: Path, paths: Sequence[str], files: Files, name: str) -> None:
    map_all(lambda path: files.write(f"{name}/{path}", long_path(folder / path).read_bytes()), paths)
    for path in set(_below(files, name)).difference(f"{name}/{path}" for path in paths):
        files.remove(path)  # of an earlier one that was interrupted


def _read(files: Files, path: str) -> bytes | None:
    try:
        return files.read(path)
    except FileNotFoundError:
        return None


def _below(files: Files, folder: str) -> list[str]:
    inside = [path for name in files.folders(folder) for path in _below(files, f"{folder}/{name}")]
    return [*(f"{folder}/{name}" for name in files.names(folder)), *inside]
