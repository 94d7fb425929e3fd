"""Where in a store what lies: paths relative to its root, with forward slashes."""

from __future__ import annotations

import re

from dataset_pipeline.base.ids import check_episode, check_image, file_name
from dataset_pipeline.base.paths import OutsideError, fault_of_path, is_device

ALL_EPISODES = "_all"
MEASURED_SUFFIX = "__measured"
TEMPORARY_SUFFIX = ".tmp"

ASSET = re.compile(r"[a-z][a-z0-9_]*")
TABLE = re.compile(r"[0-9a-f]{12}\.parquet")
LINEAGE = re.compile(r"[0-9a-f]{12}\.json")
PICTURE = re.compile(r"[^.]+@[^.]+-[0-9a-f]{12}\.[a-z0-9]+")
_AGREED = re.compile(r"[a-z][a-z0-9.]*")


def check_asset(asset: str) -> None:
    if not ASSET.fullmatch(asset):
        raise ValueError(f"{asset!r} is no asset name: a-z, 0-9 and _, beginning with a letter")


def check_path(path: str) -> str:
    """Return a path of a file of the store. Raises OutsideError."""
    # Links are followed: whoever keeps pictures on another disk made them, and no table can.
    if fault := fault_of_path(path):
        raise OutsideError(f"{path!r} is no path inside the store: it {fault}. Materialize again what names it")
    return path


def folder_of(asset: str, episode: str | None) -> str:
    """Where an asset's tables and pictures of an episode lie; of all episodes if None."""
    check_asset(asset)
    return f"{asset}/{episode_name(episode)}"


def episode_name(episode: str | None) -> str:
    """An episode's key as a name of files and folders, or what stands for all episodes."""
    if episode is None:
        return ALL_EPISODES
    if check_episode(episode) == ALL_EPISODES:
        raise ValueError(f"{ALL_EPISODES!r} cannot be the key of an episode")
    return file_name(episode) if is_device(episode) else episode


def episode_named(name: str) -> str | None:
    """What `episode_name` was given."""
    return None if name == ALL_EPISODES else name.replace("~", ".")


def picture_path(asset: str, episode: str, image_id: str, digest: str, suffix: str) -> str:
    suffix = suffix.removeprefix(".")
    if not re.fullmatch(r"[a-z0-9]{1,8}", suffix):
        raise ValueError(f"{suffix!r} is no suffix for the picture {image_id}")
    return f"{folder_of(asset, episode)}/{file_name(check_image(image_id))}-{digest[:12]}.{suffix}"


def agreed_path(name: str) -> str:
    """Where that lies which all agree on under this name."""
    if not _AGREED.fullmatch(name):
        raise ValueError(f"{name!r} is no name for what is agreed on: a-z, 0-9 and dots, beginning with a letter")
    return f"_{name}.json"


def kind_of(path: str) -> str | None:
    """temporary, tables, lineages or pictures; None for what is not of the store."""
    name = path.rpartition("/")[2]
    if name.startswith(".") and name.endswith(TEMPORARY_SUFFIX):
        return "temporary"
    if TABLE.fullmatch(name):
        return "tables"
    if LINEAGE.fullmatch(name):
        return "lineages"
    return "pictures" if PICTURE.fullmatch(name) else None


def label_of(asset: str, episode: str | None) -> str:
    """For messages."""
    return asset if episode is None else f"{asset} for episode {episode}"
