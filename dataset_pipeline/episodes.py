"""Finding episodes and naming their partitions. A source is one video file or one folder of pictures.

Keys are `<show>.<episode>`. They come from names alone, so the same files give the same keys under any mount point.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

from dataset_pipeline.images.pictures import is_picture, list_pictures
from dataset_pipeline.names import (
    is_ignored,
    parse_release_name,
    posix_path,
    safe_first_part,
    season_of_folder,
    short_hash,
    show_of_folder,
    slug,
    specials_of_folder,
)
from dataset_pipeline.video.containers import VIDEO_ENDINGS
from dataset_pipeline.video.probe import has_video

MAX_SHOW_LENGTH = 60
MAX_EPISODE_LENGTH = 30  # with the dot and the hash of a key claimed twice a key stays within 100

_ENDS_BYTES = 65_536
# Never opened while looking for videos: what usually lies beside them.
_NO_VIDEO = frozenset(
    f".{name}"
    for name in (
        *("txt", "nfo", "srt", "ass", "ssa", "vtt", "sub", "idx", "sup", "md", "json", "toml", "csv", "xml", "html"),
        *("log", "sfv", "md5", "torrent", "url", "cue", "ttf", "otf", "zip", "rar", "7z", "pdf", "gif"),
        *("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "avif"),
    )
)


@dataclass(frozen=True)
class Source:
    """One episode where it lies. `key` is its partition; `show` and `episode` are the key's two parts.

    `show_title` and `episode_title` keep the original names. `fingerprint` changes with the content: size, time and
    both ends of a video; path, size and time of every picture of a folder.
    """

    key: str
    show: str
    episode: str
    show_title: str
    episode_title: str
    path: Path
    kind: Literal["video", "folder"]
    size_bytes: int
    mtime_ns: int
    fingerprint: str


@dataclass(frozen=True)
class Rejected:
    """A path that was given or found and is no source, with a sentence saying why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Discovery:
    sources: list[Source]
    rejected: list[Rejected]


@dataclass(frozen=True)
class _Found:
    path: Path
    root: Path  # the tree it was found in; nothing above it counts
    kind: Literal["video", "folder"]

    @property
    def relative(self) -> PurePath:
        return PurePath(self.path.name) if self.path == self.root else self.path.relative_to(self.root)

    @property
    def outer_folder(self) -> str:
        """The folder that names the show where nothing inside the tree does."""
        return (self.root.parent if self.path == self.root else self.root).name


def find_sources(paths: Sequence[Path]) -> Discovery:
    """The episodes at `paths`, each a tree `<show>/<file>`, a video file or a folder of pictures, sorted by key.

    Videos are known by content; a file with a video's ending counts even when it is none, so that its damage can be
    named. A folder with pictures and no videos below it is one episode. Raises FileNotFoundError for a missing path.
    """
    found: dict[str, _Found] = {}
    rejected: dict[Rejected, None] = {}
    for given in paths:
        path = Path(os.path.abspath(given))
        if not path.exists():
            raise FileNotFoundError(f"no such source: {given} (a folder of shows, a video or a folder of pictures)")
        if path.is_dir():
            items = _search(path, path, frozenset()).items or [Rejected(path, "holds neither videos nor pictures")]
        elif _is_video(path):
            items = [_Found(path, path.parent, "video")]
        else:
            items = [Rejected(path, "is no video; single pictures go in by their folder")]
        for item in items:
            if isinstance(item, Rejected):
                rejected[item] = None
            else:
                found.setdefault(os.path.realpath(item.path), item)
    sources = []
    for item in found.values():
        try:
            sources.append((_source(item), item))
        except OSError as error:
            rejected[Rejected(item.path, f"cannot be read: {error.strerror or error}")] = None
    return Discovery(
        sorted(_with_keys(sources), key=lambda source: source.key),
        sorted(rejected, key=lambda item: (str(item.path), item.reason)),
    )


@dataclass(frozen=True)
class _Search:
    """What lies below a folder."""

    items: list[_Found | Rejected]
    holds_files: bool

    def holds(self, kind: str) -> bool:
        return any(isinstance(item, _Found) and item.kind == kind for item in self.items)


def _search(folder: Path, root: Path, above: frozenset[str]) -> _Search:
    real = os.path.realpath(folder)
    if real in above:
        return _Search([], holds_files=True)  # a link back to where the search came from
    try:
        entries = sorted((entry for entry in folder.iterdir() if not is_ignored(entry.name)), key=lambda e: e.name)
        files = [entry for entry in entries if entry.is_file()]
        videos: list[_Found | Rejected] = [_Found(file, root, "video") for file in files if _is_video(file)]
    except OSError as error:
        return _Search([Rejected(folder, f"cannot be read: {error.strerror or error}")], holds_files=True)
    below = [_search(entry, root, above | {real}) for entry in entries if entry.is_dir()]
    holds_files = bool(files) or any(search.holds_files for search in below)
    if videos or any(search.holds("video") for search in below):
        return _Search(videos + [item for search in below for item in search.items], holds_files)
    if any(search.holds("folder") for search in below) or any(is_picture(file) for file in files):
        return _Search([_Found(folder, root, "folder")], holds_files)
    if folder != root and not holds_files:
        return _Search([Rejected(folder, "is empty")], holds_files)
    if folder != root and folder.parent == root:
        return _Search([Rejected(folder, "holds neither videos nor pictures")], holds_files)
    return _Search([item for search in below for item in search.items], holds_files)


def _is_video(path: Path) -> bool:
    ending = path.suffix.lower()
    return ending in VIDEO_ENDINGS or (ending not in _NO_VIDEO and has_video(path))


def _source(item: _Found) -> Source:
    show_title, show, episode = _names(item)
    if item.kind == "video":
        stat = item.path.stat()
        size_bytes, mtime_ns = stat.st_size, stat.st_mtime_ns
        fingerprint = _video_fingerprint(item.path, size_bytes, mtime_ns)
    else:
        pictures = [(picture, picture.path.stat()) for picture in list_pictures(item.path)]
        size_bytes = sum(stat.st_size for _, stat in pictures)
        mtime_ns = max(stat.st_mtime_ns for _, stat in pictures)
        fingerprint = _digest(f"{picture.relative}\0{stat.st_size}\0{stat.st_mtime_ns}\n" for picture, stat in pictures)
    return Source(
        key=f"{show}.{episode}",
        show=show,
        episode=episode,
        show_title=show_title,
        episode_title=_own_name(item),
        path=item.path,
        kind=item.kind,
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
        fingerprint=fingerprint,
    )


def _names(item: _Found) -> tuple[str, str, str]:
    """Title of the show, slug of the show, slug of the episode.

    The folder a video lies in names its show; folders that are only a season or hold specials lend that instead.
    """
    name = _own_name(item)
    release = parse_release_name(name)
    title, season, special = "", release.season, None
    for folder in reversed((item.outer_folder, *item.relative.parts[:-1])):
        folder_season, folder_special = season_of_folder(folder), specials_of_folder(folder)
        if folder_season is not None or folder_special:
            season = folder_season if season is None else season
            special = special or folder_special
        elif folder != item.outer_folder or not release.title:
            title, title_season = show_of_folder(folder)
            season = title_season if season is None else season
            break
        else:
            break
    title = title or release.title or name
    episode = release.episode
    if episode is None:
        episode = slug(name, MAX_EPISODE_LENGTH)
    elif special and not release.is_special:
        episode = special + episode.removeprefix("e").lstrip("0")
    elif season is not None:
        episode = f"s{season:02d}-{episode}" if release.is_special else f"s{season:02d}{episode}"
    return title, safe_first_part(slug(title, MAX_SHOW_LENGTH)), episode


def _own_name(item: _Found) -> str:
    """The name without its ending; a dot inside a title (`Vol. 2`) begins none."""
    has_ending = item.kind == "video" and re.fullmatch(r"\.[A-Za-z0-9]{1,5}", item.path.suffix)
    return item.path.stem if has_ending else item.path.name


def _with_keys(sources: list[tuple[Source, _Found]]) -> Iterator[Source]:
    """Where two sources claim one key, each of them gets a hash of its path in the tree."""
    claims: dict[str, list[tuple[Source, _Found]]] = {}
    for source, item in sources:
        claims.setdefault(source.key, []).append((source, item))
    for key, claimants in claims.items():
        if len(claimants) == 1:
            yield claimants[0][0]
            continue
        for source, path in zip((source for source, _ in claimants), _telling_paths(claimants), strict=True):
            hashed = f"-{short_hash(path)}"
            yield replace(source, key=key + hashed, episode=source.episode + hashed)


def _telling_paths(claimants: list[tuple[Source, _Found]]) -> list[str]:
    """Paths relative to the tree, with as much of the tree's own path as it takes to tell them apart."""
    deepest = max(len(item.root.parts) for _, item in claimants)
    paths: list[str] = []
    for extra in range(deepest + 1):
        paths = [
            posix_path(PurePath(*item.root.parts[len(item.root.parts) - extra :], item.relative))
            for _, item in claimants
        ]
        if len(set(paths)) == len(paths):
            break
    return paths


def _video_fingerprint(path: Path, size_bytes: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        head = file.read(_ENDS_BYTES)
        file.seek(max(0, size_bytes - _ENDS_BYTES))
        tail = file.read(_ENDS_BYTES)
    return _digest([f"{size_bytes}\0{mtime_ns}\0", head, tail])


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part)
    return digest.hexdigest()[:32]
