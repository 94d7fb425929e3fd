"""Finding sources: what lies in a folder and below it, which of that is a source, and why the rest is none."""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from dataset_pipeline.base.file_names import is_ignored, is_unfinished, posix_path
from dataset_pipeline.images.pictures import PICTURE_ENDINGS, is_picture
from dataset_pipeline.sources.keys import OwnerOf, keys_of, source_of
from dataset_pipeline.sources.locations import path_key, root_of
from dataset_pipeline.sources.passed_over import (
    BESIDE_VIDEOS,
    DEAD_LINK,
    EXPECTED_ENDINGS,
    LOOSE,
    UNFINISHED,
    PassedOver,
    is_archive,
    printable,
    unreadable,
    why_left,
)
from dataset_pipeline.sources.source import Found, Rejected, Source, digest_of
from dataset_pipeline.tags.hand_edited import ENDINGS as TAG_ENDINGS
from dataset_pipeline.tags.hand_edited import sidecar_key, sidecars
from dataset_pipeline.video.containers import VIDEO_ENDINGS
from dataset_pipeline.video.probe import has_video

MAX_DEPTH = 100  # folders inside one another


@dataclass(frozen=True)
class Discovery:
    """`rejected`: what could be no source. `passed_over`: single files that lie outside of every source."""

    sources: list[Source]
    rejected: list[Rejected]
    passed_over: list[PassedOver] = field(default_factory=list)

    def left_in(self, folder: Path) -> list[PassedOver]:
        """All that lies at `folder` or below and is not taken in."""
        left = [*self.passed_over, *(PassedOver(item.path, item.reason) for item in self.rejected)]
        return [item for item in left if item.path.is_relative_to(os.path.abspath(folder))]


@dataclass(frozen=True)
class Scan:
    """What a look at one place came upon, in no order."""

    found: list[Found]
    rejected: list[Rejected]
    passed_over: list[PassedOver]


Content = Literal["video", "picture", "other"]
# What a file is whose ending does not say it; None if that is not known yet. May raise OSError.
ContentOf = Callable[[Path, os.stat_result], Content | None]
_File = tuple[Path, os.stat_result, Content | None]  # with what it is, if that is known


def content_of(path: Path, status: os.stat_result | None = None) -> Content:
    """What a file is by its first bytes. Raises OSError."""
    if path.suffix.lower() not in EXPECTED_ENDINGS and has_video(path):
        return "video"
    return "picture" if is_picture(path) else "other"


def find_sources(
    paths: Sequence[Path],
    owner_of: OwnerOf = lambda key: None,
    folders_of_shows: bool = False,
    trees: Sequence[Path] = (),
) -> Discovery:
    """The episodes at `paths`, each a tree `<show>/<file>`, a video file or a folder of pictures, sorted by key.

    Videos are known by content; a file with a video's ending counts even when it is none, so that its damage can be
    named. A folder with pictures and no videos below it is one episode, unless it is itself one of `paths` and these
    are `folders_of_shows`. Keys: see `keys.keys_of`. What lies in one of `trees` is named as if that had been given,
    of which it may be one show or one episode. Raises FileNotFoundError for a missing path.
    """
    scanned = scan(paths, folders_of_shows=folders_of_shows)
    found, rejected = [_in_tree(item, trees) for item in scanned.found], list(scanned.rejected)
    read: list[tuple[Found, str]] = []
    for item in found:
        try:
            read.append((item, item.fingerprint()))
        except OSError as error:
            rejected.append(Rejected(item.path, unreadable(error)))
    keys = keys_of([item for item, _ in read], owner_of)
    sources = [source_of(item, key, fingerprint) for (item, fingerprint), key in zip(read, keys, strict=True)]
    return Discovery(
        sorted(sources, key=lambda source: source.key),
        sorted(rejected, key=lambda item: (str(item.path), item.reason)),
        sorted(scanned.passed_over),
    )


def _in_tree(item: Found, trees: Sequence[Path]) -> Found:
    tree = root_of(item.path, trees)
    return item if tree is None or item.path == tree else replace(item, root=tree)


def list_sources(
    paths: Sequence[Path], content_at: ContentOf = content_of, folders_of_shows: bool = False
) -> tuple[list[Found], list[Rejected]]:
    """What lies at `paths`, each source once, and what is none or cannot be listed, by name.

    Opens only files whose ending says nothing, by `content_at`. Raises FileNotFoundError for a missing path.
    """
    scanned = scan(paths, content_at, folders_of_shows)
    return scanned.found, scanned.rejected


def scan(paths: Sequence[Path], content_at: ContentOf = content_of, folders_of_shows: bool = False) -> Scan:
    """The same, with what lies beside and is passed over."""
    found: dict[str, Found] = {}
    rejected: dict[Rejected, None] = {}
    passed_over: dict[PassedOver, None] = {}
    for given in paths:
        path = Path(os.path.abspath(given))
        if not _exists(path):
            raise FileNotFoundError(f"no such source: {given} (a folder of shows, a video or a folder of pictures)")
        for item in _list_path(path, content_at, folders_of_shows):
            if isinstance(item, Rejected):
                rejected[item] = None
            elif isinstance(item, PassedOver):
                passed_over[item] = None
            else:
                before = found.setdefault(item.real_path, item)
                if before.root == item.root:
                    found[item.real_path] = min(before, item, key=_detour)
    return Scan(list(found.values()), list(rejected), list(passed_over))


def _detour(item: Found) -> tuple[bool, int, str]:
    """Of several ways to one source the least by this names it: one without links below its root, then the shortest."""
    unlinked = os.path.join(os.path.realpath(item.root), item.relative)
    direct = item.path == item.root or path_key(unlinked) == path_key(item.real_path)
    return not direct, len(item.path.parts), str(item.path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name or a path longer than the system allows
        shown = str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}… ({len(str(path))} characters)"
        raise FileNotFoundError(f"no such source: {shown}: {error.strerror}") from error


@dataclass(frozen=True)
class _Search:
    """What lies below a folder. `pictures`, and `texts` that may hold tags of them, are gathered where there are no
    videos, with what lies `beside` them; `passed_over` lie outside of every source; `whole`: all could be listed."""

    items: list[Found | Rejected]
    pictures: list[tuple[Path, os.stat_result]] = field(default_factory=list)
    texts: list[tuple[Path, os.stat_result]] = field(default_factory=list)
    beside: list[PassedOver] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    holds_files: bool = True
    unfinished: bool = False
    whole: bool = True

    @property
    def holds_videos(self) -> bool:
        return any(isinstance(item, Found) and item.kind == "video" for item in self.items)

    @property
    def rejected(self) -> list[Found | Rejected]:
        return [item for item in self.items if isinstance(item, Rejected)]


@dataclass(frozen=True)
class _Listing:
    """What a folder holds: entries sorted by name, the names that downloads in it will have, and what is no file or not
    one yet."""

    entries: list[tuple[os.DirEntry[str], os.stat_result | OSError]]
    half_loaded: set[str]
    beside: list[PassedOver]


def _list_path(path: Path, content_at: ContentOf, is_folder_of_shows: bool) -> list[Found | Rejected | PassedOver]:
    status, real = path.stat(), os.path.realpath(path)
    if reason := _never_a_source(str(path), status):
        return [Rejected(Path(printable(str(path))), reason)]
    if not stat.S_ISDIR(status.st_mode):
        items: list[Found | Rejected] = []
        if _content(path, status, content_at, items) == "video":
            return [_video(path, path.parent, real, status, unfinished=False)]
        return [*items] or [Rejected(path, "is no video; single pictures go in by their folder")]
    search = _search(path, path, real, frozenset(), content_at)
    if search.pictures and not is_folder_of_shows:
        return [_folder(path, path, real, search)] if search.whole else [*search.rejected]
    loose = [PassedOver(picture, LOOSE) for picture, _ in search.pictures if picture.parent == path]
    items = search.items or [Rejected(path, "holds neither videos nor pictures")]
    return [*items, *search.passed_over, *loose]


def _search(folder: Path, root: Path, real: str, above: frozenset[str], content_at: ContentOf) -> _Search:
    """The sources in a folder and below it; a folder of pictures that is `root` itself is left to the caller."""
    if real in above:
        return _Search([])  # a link back to where the search came from
    if len(above) > MAX_DEPTH:
        return _Search([Rejected(folder, f"lies more than {MAX_DEPTH} folders deep")], whole=False)
    try:
        listing = _listed(folder)
    except OSError as error:
        return _Search([Rejected(folder, unreadable(error))], whole=False)
    return _FolderSearch(folder, root, real, content_at, listing).search(above)


class _FolderSearch:
    """The search of one folder."""

    def __init__(self, folder: Path, root: Path, real: str, content_at: ContentOf, listing: _Listing) -> None:
        self._folder, self._root, self._real = folder, root, real
        self._content_at, self._listing = content_at, listing
        self._items: list[Found | Rejected] = []  # its own, not those of folders in it
        self._files: list[_File] = []
        self._below: list[_Search] = []

    def search(self, above: frozenset[str]) -> _Search:
        """What lies in the folder and below. above: the real paths of the folders around it."""
        for entry, status in self._listing.entries:
            self._take(entry, status, above)
        search = _Search(
            self._items + [item for search in self._below for item in search.items],
            holds_files=bool(self._files or self._items) or any(search.holds_files for search in self._below),
            whole=all(search.whole for search in self._below),
            passed_over=[item for search in self._below for item in search.passed_over],
        )
        if search.holds_videos:
            beside = _beside_videos(self._files)
            return replace(search, passed_over=[*search.passed_over, *self._listing.beside, *beside])
        return self._as_one(self._with_pictures(search))

    def _take(self, entry: os.DirEntry[str], status: os.stat_result | OSError, above: frozenset[str]) -> None:
        path = self._folder / entry.name
        if isinstance(status, OSError):
            self._items.append(Rejected(path, unreadable(status)))
        elif reason := _never_a_source(entry.name, status):
            self._items.append(Rejected(Path(printable(str(path))), reason))
        elif stat.S_ISDIR(status.st_mode):
            real = _real_path(entry, self._real)
            self._below.append(_search(path, self._root, real, above | {self._real}, self._content_at))
        else:
            is_expected = path.suffix.lower() in EXPECTED_ENDINGS
            content = None if is_expected else _content(path, status, self._content_at, self._items)
            self._files.append((path, status, content))
            if content == "video":
                is_half_loaded = entry.name in self._listing.half_loaded
                self._items.append(_video(path, self._root, _real_path(entry, self._real), status, is_half_loaded))

    def _with_pictures(self, search: _Search) -> _Search:
        """The search with the pictures in the folder and below, their texts, and what lies beside them."""
        unread = list(self._items)
        files = [
            (path, status, content or _content(path, status, self._content_at, unread))
            for path, status, content in self._files
        ]
        own = [(path, status) for path, status, content in files if content == "picture"]
        pictures = [picture for search in self._below for picture in search.pictures] + own
        texts = [(path, status) for path, status, _ in files if path.suffix.lower() in TAG_ENDINGS]
        rejected = {item.path for item in unread if isinstance(item, Rejected)}
        others = [path for path, _, content in files if content == "other" and path not in rejected]
        reasons = [(path, why_left(path, among_pictures=bool(pictures))) for path in others]
        beside = self._listing.beside + [PassedOver(path, reason) for path, reason in reasons if reason]
        return replace(
            search,
            pictures=pictures,
            texts=[text for search in self._below for text in search.texts] + texts,
            beside=[item for search in self._below for item in search.beside] + beside,
            passed_over=search.passed_over + beside,
            unfinished=bool(self._listing.half_loaded)
            or any(content is None for _, _, content in files)
            or any(search.unfinished for search in self._below),
        )

    def _as_one(self, search: _Search) -> _Search:
        """A folder without videos as one source, if it holds pictures, or as none, with the reason."""
        if self._folder == self._root:
            return search
        if not search.whole:
            return replace(search, items=search.rejected)
        if search.pictures:
            found = _folder(self._folder, self._root, self._real, search)
            return replace(search, items=[found], passed_over=[])
        if not search.holds_files:
            return replace(search, items=[Rejected(self._folder, "is empty")])
        if self._folder.parent == self._root:
            return replace(search, items=[*search.items, Rejected(self._folder, "holds neither videos nor pictures")])
        return search


def _beside_videos(files: Iterable[_File]) -> list[PassedOver]:
    """What lies in one folder with videos, or above folders of videos, and is none."""
    files = list(files)
    beside = any(content == "video" for _, _, content in files)
    reasons = [
        (path, BESIDE_VIDEOS if content == "picture" else why_left(path, among_pictures=False, beside_videos=beside))
        for path, _, content in files
        if content in ("picture", "other") or (content is None and is_archive(path))
    ]
    return [PassedOver(path, reason) for path, reason in reasons if reason]


def _never_a_source(name: str, status: os.stat_result) -> str | None:
    """Why what is listed can be no source and no folder of sources, or None."""
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return "is a pipe or a device, not a file"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "has a name that is not valid UTF-8: rename it"
    return None


def _listed(folder: Path) -> _Listing:
    """Raises OSError."""
    listing = _Listing([], set(), [])
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_ignored(entry.name):
                stem, ending = os.path.splitext(entry.name)
                if is_ignored(f"download{ending}"):
                    listing.half_loaded.add(stem)
                if is_unfinished(entry.name):
                    listing.beside.append(PassedOver(folder / entry.name, UNFINISHED))
                continue
            try:
                listing.entries.append((entry, entry.stat()))
            except FileNotFoundError:
                if entry.is_symlink():  # else it is gone since it was listed
                    listing.beside.append(PassedOver(folder / entry.name, DEAD_LINK))
            except OSError as error:
                listing.entries.append((entry, error))
    listing.entries.sort(key=lambda pair: pair[0].name)
    listing.beside.sort()
    return listing


def _real_path(entry: os.DirEntry[str], folder: str) -> str:
    """The real path of an entry, `folder` being that of where it lies; asks the disk only where it may be a link."""
    if os.name == "posix" and not entry.is_symlink():
        return os.path.join(folder, entry.name)
    return os.path.realpath(entry.path)


def _content(
    path: Path, status: os.stat_result, content_at: ContentOf, items: list[Found | Rejected]
) -> Content | None:
    """What a file is, by its ending or else by `content_at`; one that cannot be opened is listed among `items`."""
    ending = path.suffix.lower()
    if ending in VIDEO_ENDINGS:
        return "video"
    if ending in PICTURE_ENDINGS:
        return "picture"
    try:
        return content_at(path, status)
    except OSError as error:
        items.append(Rejected(path, unreadable(error)))
        return "other"


def _video(path: Path, root: Path, real: str, status: os.stat_result, unfinished: bool) -> Found:
    stamp = f"{status.st_size}-{status.st_mtime_ns}"
    return Found(path, root, real, "video", status.st_size, status.st_mtime_ns, stamp, unfinished)


def _folder(folder: Path, root: Path, real: str, search: _Search) -> Found:
    listed = sorted((posix_path(path.relative_to(folder)), status) for path, status in search.pictures)
    claimed = (sidecar_key(name) for relative, _ in listed for name in sidecars(relative))
    of_pictures = set(claimed) if search.texts else set()
    texts = sorted((posix_path(path.relative_to(folder)), status) for path, status in search.texts)
    counted = listed + [(relative, status) for relative, status in texts if sidecar_key(relative) in of_pictures]
    # What is passed over in it is said by its probe, which is made again when there is more or less of it.
    left = sorted(f"{posix_path(item.path.relative_to(folder))}\0passed over\n" for item in search.beside)
    return Found(
        folder,
        root,
        real,
        "folder",
        size_bytes=sum(status.st_size for _, status in listed),
        mtime_ns=max(status.st_mtime_ns for _, status in counted),
        stamp=digest_of(
            [*(f"{relative}\0{status.st_size}\0{status.st_mtime_ns}\n" for relative, status in counted), *left]
        ),
        unfinished=search.unfinished,
    )
