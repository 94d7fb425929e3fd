"""Where sources lie on this machine: in the folders of `[episodes] roots`, which each machine may have elsewhere.

A pointer of `video` names the root as the settings write it, and the way from there with forward slashes, so that
machines can share a store. What lies in no root is told by its full path, which one machine alone finds; so is
everything in stores of earlier versions, of which what lies in a root that is written with its full path is found too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.host import host_name
from dataset_pipeline.settings import Settings, project_folder
from dataset_pipeline.sources.locations import root_of
from dataset_pipeline.store.store import Pointer

ROOTS_VARIABLE = "DATASET_PIPELINE_ROOTS"  # <root>=<folder>;<root>=<folder>, of the roots that lie elsewhere
ITSELF = "."  # a root that is an episode


def roots_of(settings: Settings) -> list[Path]:
    """The folders of `[episodes] roots` on this machine. Raises PermanentError."""
    return [_folder(root, _elsewhere()) for root in settings.episodes.roots]


def told(settings: Settings, path: Path) -> tuple[str, str]:
    """Where a source lies, as its pointer says it: the root, empty if it lies in none, and the path."""
    elsewhere = _elsewhere()
    folders = {_folder(root, elsewhere): root for root in settings.episodes.roots}
    folder = root_of(path, folders)
    if folder is None:
        return "", str(path)
    inside = Path(*path.parts[len(folder.parts) :])
    return folders[folder], inside.as_posix() if inside.parts else ITSELF


def path_of(settings: Settings, video: Pointer | None) -> str:
    """The full path on this machine of the source that a pointer of `video` tells of; empty if it tells of none.
    Raises PermanentError."""
    root, path = (video.provenance.root, video.provenance.path) if video else ("", "")
    elsewhere = _elsewhere()
    if root and path:
        return str(_folder(root, elsewhere) / path)
    for written, folder in elsewhere.items() if path else ():
        inside = _below(path, written) if written in settings.episodes.roots else None
        if inside is not None:
            return str(Path(folder) / inside)
    return path


def absence(episode: str, root: str, path: str) -> str:
    """What to say of a source that is not there. path: as `path_of` gives it."""
    if not root:
        return (
            f"{path}, the source of {episode}, is not there: bring it back, or `run` it at its new place. It was given "
            f"by its full path; other machines than its own find what lies in a folder of [episodes] roots"
        )
    remedy = root_fault(root) or "bring it back, or `run` it at its new place"
    return f"{path}, the source of {episode}, is not there: {remedy}"


def root_fault(root: str, may_be_empty: bool = False) -> str:
    """Why a root of `[episodes] roots` is not to be had on this machine, and what to do; empty if it is."""
    folder = _folder(root, _elsewhere())
    try:
        with os.scandir(folder) as entries:
            fault = "" if may_be_empty or next(entries, None) else "is empty"
    except OSError as error:
        fault = f"cannot be read ({error.strerror or error})"
    if not fault:
        return ""
    return (
        f"{folder} {fault} on {host_name()}, and {root!r} of [episodes] roots shall lie there: mount it, or say where "
        f"it lies with {ROOTS_VARIABLE}={root}=<folder>"
    )


def _folder(root: str, elsewhere: Mapping[str, str]) -> Path:
    """Where a root lies on this machine; relative ones lie in the project folder."""
    return Path(os.path.abspath(project_folder() / Path(elsewhere.get(root, root)).expanduser()))


def _elsewhere() -> dict[str, str]:
    """By root the folder that it is on this machine, as ROOTS_VARIABLE says it. Raises PermanentError."""
    found = {}
    for entry in filter(str.strip, os.environ.get(ROOTS_VARIABLE, "").split(";")):
        root, _, folder = (part.strip() for part in entry.partition("="))
        if not root or not folder:
            raise PermanentError(
                f"{ROOTS_VARIABLE}: {entry!r} is not <root>=<folder>, as in episodes=/mnt/nas/episodes"
            )
        found[root] = folder
    return found


def _below(path: str, folder: str) -> str | None:
    """The way from a folder to a path, both as some system writes them; None if it does not lie there."""
    way, outer = (text.replace("\\", "/") if PureWindowsPath(text).drive else text for text in (path, folder))
    outer = outer.rstrip("/")
    return way[len(outer) + 1 :] if way.startswith(f"{outer}/") and len(way) > len(outer) + 1 else None
