"""The partition keys of sources, `<show>.<episode>`.

They come from names alone, so the same files give the same keys under any mount point.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Literal, NamedTuple

from dataset_pipeline.base.file_names import posix_path, safe_first_part, short_hash, slug
from dataset_pipeline.sources.locations import path_key
from dataset_pipeline.sources.names import (
    ReleaseName,
    names_no_show,
    parse_release_name,
    season_of_folder,
    show_of_folder,
    specials_of_folder,
    tells_nothing,
)
from dataset_pipeline.sources.source import Found, Source

MAX_SHOW_SLUG = 60
MAX_EPISODE_SLUG = 30  # with the dot and the hash of a key claimed twice a key stays within 100

# The path of the source that goes by a key and is still there, or None.
OwnerOf = Callable[[str], Path | None]


def claims_of(found: Sequence[Found]) -> list[tuple[str, str]]:
    """For each source the plain key `<show>.<episode>` that it claims, and that key with a hash of its path."""
    plain = [f"{show}.{episode}" for _, show, episode in map(_show_and_episode, found)]
    claimants: dict[str, list[Found]] = {}
    for key, item in zip(plain, found, strict=True):
        claimants.setdefault(key, []).append(item)
    hashed = {
        item: f"{key}-{short_hash(path)}"
        for key, items in claimants.items()
        for item, path in zip(items, _telling_paths(items), strict=True)
    }
    return [(key, hashed[item]) for key, item in zip(plain, found, strict=True)]


def without_hash(key: str) -> str:
    """The plain key that a source claims by its name, without the hash that it bears where others claim it too."""
    return re.sub(r"-[0-9a-f]{8}$", "", key)


def may_go_by(path: Path, kind: Literal["video", "folder"], key: str) -> bool:
    """Whether what lies at a path can claim a key, in whichever tree around it is it found."""
    for root in (path, *path.parents):
        _, show, episode = _show_and_episode(Found(path, root, str(path), kind, 0, 0, ""))
        if re.fullmatch(rf"{re.escape(f'{show}.{episode}')}(?:-[0-9a-f]{{8}})?", key):
            return True
    return False


def keys_of(found: Sequence[Found], owner_of: OwnerOf) -> list[str]:
    """The partition key of each source.

    It is made of names alone, and where several sources claim one key, each gets a hash of its path in the tree. But a
    source that `owner_of` knows keeps its key while it is there, and whoever claims that too gets the hash alone.
    """
    claims = claims_of(found)
    claimants = Counter(plain for plain, _ in claims)

    def key_of(item: Found, plain: str, hashed: str) -> str:
        owner = owner_of(plain)
        if owner is not None and _is_at(item, owner):
            return plain
        if owner is None and claimants[plain] == 1:
            known = owner_of(hashed)
            return hashed if known is not None and _is_at(item, known) else plain
        return hashed

    return [key_of(item, *claim) for item, claim in zip(found, claims, strict=True)]


def _is_at(item: Found, path: Path) -> bool:
    return path_key(path) == path_key(item.path) or os.path.realpath(path) == item.real_path


def source_of(found: Found, key: str, fingerprint: str) -> Source:
    """A source under the key it goes by."""
    show_title, show, _ = _show_and_episode(found)
    return Source(
        key=key,
        show=show,
        episode=key.partition(".")[2],
        show_title=show_title,
        episode_title=found.name,
        path=found.path,
        kind=found.kind,
        size_bytes=found.size_bytes,
        mtime_ns=found.mtime_ns,
        fingerprint=fingerprint,
    )


def _show_and_episode(item: Found) -> tuple[str, str, str]:
    """Title of the show, slug of the show, slug of the episode."""
    named = _named_by_folders(item)
    title = named.title or named.release.title or item.name
    return title, safe_first_part(slug(title, MAX_SHOW_SLUG)), _episode_slug(item.name, named)


class _Named(NamedTuple):
    """What a name and the folders around it say. special: the kind of special that a folder holds."""

    release: ReleaseName
    title: str
    season: int | None
    special: str | None


def _named_by_folders(item: Found) -> _Named:
    """The folder a video lies in names its show; folders that are only a season or hold specials lend that instead, and
    those of discs are passed over."""
    release = parse_release_name(item.name)
    season, special = release.season, None
    for folder in reversed((item.outer_folder, *item.relative.parts[:-1])):
        if names_no_show(folder):
            continue
        if release.episode is None and tells_nothing(item.name) and not item.name.isdecimal():
            release = parse_release_name(folder)
            season = release.season
        folder_season, folder_special = season_of_folder(folder), specials_of_folder(folder)
        if folder_season is not None or folder_special:
            season = folder_season if season is None else season
            special = special or folder_special
            continue
        if folder == item.outer_folder and release.title:
            break
        title, title_season = show_of_folder(folder)
        return _Named(release, title, title_season if season is None else season, special)
    return _Named(release, "", season, special)


def _episode_slug(name: str, named: _Named) -> str:
    episode, is_special = named.release.episode, named.release.is_special
    if episode is None:
        return slug(name, MAX_EPISODE_SLUG)
    if named.special and not is_special:
        return named.special + episode.removeprefix("e").lstrip("0")
    if named.season is None:
        return episode
    return f"s{named.season:02d}-{episode}" if is_special else f"s{named.season:02d}{episode}"


def _telling_paths(claimants: list[Found]) -> list[str]:
    """Paths relative to the tree, with as much of the tree's own path as it takes to tell them apart."""
    deepest = max(len(item.root.parts) for item in claimants)
    paths: list[str] = []
    for extra in range(deepest + 1):
        paths = [
            posix_path(PurePath(*item.root.parts[len(item.root.parts) - extra :], item.relative)) for item in claimants
        ]
        if len(set(paths)) == len(paths):
            break
    return paths
