"""Finding episodes and naming their partitions. A source is one video file or one folder of pictures.

Keys are `<show>.<episode>`. They come from names alone, so the same files give the same keys under any mount point.
"""

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Literal

from dataset_pipeline.base.file_names import is_ignored, is_unfinished, posix_path, safe_first_part, short_hash, slug
from dataset_pipeline.images.pictures import PICTURE_ENDINGS, is_picture
from dataset_pipeline.sources.names import (
    names_no_show,
    parse_release_name,
    season_of_folder,
    show_of_folder,
    specials_of_folder,
    tells_nothing,
)
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
from dataset_pipeline.tags.hand_edited import ENDINGS as TAG_ENDINGS
from dataset_pipeline.tags.hand_edited import sidecar_key, sidecars
from dataset_pipeline.video.containers import VIDEO_ENDINGS
from dataset_pipeline.video.probe import has_video

MAX_SHOW_LENGTH = 60
MAX_DEPTH = 100  # folders inside one another
MAX_EPISODE_LENGTH = 30  # with the dot and the hash of a key claimed twice a key stays within 100

_ENDS_BYTES = 65_536


@dataclass(frozen=True)
class Source:
    """One episode where it lies. `key` is its partition; `show` and `episode` are the key's two parts.

    `show_title` and `episode_title` keep the original names. `fingerprint` changes with the content: size, time and
    both ends of a video; path, size and time of every picture of a folder and of the tags beside it.
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
    """`rejected`: what could be no source. `passed_over`: single files that lie outside of every source."""

    sources: list[Source]
    rejected: list[Rejected]
    passed_over: list[PassedOver] = field(default_factory=list)

    def left_in(self, place: Path) -> list[PassedOver]:
        """All that lies at `place` or below and is not taken in."""
        left = [*self.passed_over, *(PassedOver(item.path, item.reason) for item in self.rejected)]
        return [item for item in left if item.path.is_relative_to(os.path.abspath(place))]


@dataclass(frozen=True)
class Found:
    """A source as the listing of its folder shows it; nothing of it has been read.

    `mtime_ns`: the newest file's. `stamp` changes with all that a listing shows: size and time of a video; path, size
    and time of every picture of a folder and of the tags beside it. `unfinished`: a download in it is going on, or a
    file in it is unknown yet.
    """

    path: Path
    root: Path  # the tree it was found in; nothing above it counts
    real_path: str  # the same for every way that leads to it
    kind: Literal["video", "folder"]
    size_bytes: int
    mtime_ns: int
    stamp: str
    unfinished: bool = False

    @property
    def relative(self) -> PurePath:
        return PurePath(self.path.name) if self.path == self.root else self.path.relative_to(self.root)

    @property
    def outer_folder(self) -> str:
        """The folder that names the show where nothing inside the tree does."""
        return (self.root.parent if self.path == self.root else self.root).name

    def fingerprint(self) -> str:
        """Changes with the content; reads both ends of a video and nothing of a folder. Raises OSError."""
        if self.kind == "folder":
            return self.stamp
        return _video_fingerprint(self.path, self.size_bytes, self.mtime_ns)

    def source(self, key: str, fingerprint: str) -> Source:
        """The source under the key it goes by."""
        show_title, show, _ = _names(self)
        return Source(
            key=key,
            show=show,
            episode=key.partition(".")[2],
            show_title=show_title,
            episode_title=_own_name(self),
            path=self.path,
            kind=self.kind,
            size_bytes=self.size_bytes,
            mtime_ns=self.mtime_ns,
            fingerprint=fingerprint,
        )


@dataclass(frozen=True)
class Look:
    """What a look at one place came upon, in no order."""

    found: list[Found]
    rejected: list[Rejected]
    passed_over: list[PassedOver]


Content = Literal["video", "picture", "other"]
# What a file is whose ending does not say it; None if that is not known yet. May raise OSError.
ContentOf = Callable[[Path, os.stat_result], Content | None]
# The path of the source that goes by a key and is still there, or None.
OwnerOf = Callable[[str], Path | None]


def content_of(path: Path, status: os.stat_result | None = None) -> Content:
    """What a file is by its first bytes. Raises OSError."""
    if path.suffix.lower() not in EXPECTED_ENDINGS and has_video(path):
        return "video"
    return "picture" if is_picture(path) else "other"


def find_sources(
    paths: Sequence[Path], owner_of: OwnerOf = lambda key: None, folders_of_shows: bool = False
) -> Discovery:
    """The episodes at `paths`, each a tree `<show>/<file>`, a video file or a folder of pictures, sorted by key.

    Videos are known by content; a file with a video's ending counts even when it is none, so that its damage can be
    named. A folder with pictures and no videos below it is one episode, unless it is itself one of `paths` and these
    are `folders_of_shows`. Keys: see `keys_of`. Raises FileNotFoundError for a missing path.
    """
    look = look_at(paths, folders_of_shows=folders_of_shows)
    found, rejected = look.found, list(look.rejected)
    read: list[tuple[Found, str]] = []
    for item in found:
        try:
            read.append((item, item.fingerprint()))
        except OSError as error:
            rejected.append(Rejected(item.path, unreadable(error)))
    keys = keys_of([item for item, _ in read], owner_of)
    sources = [item.source(key, fingerprint) for (item, fingerprint), key in zip(read, keys, strict=True)]
    return Discovery(
        sorted(sources, key=lambda source: source.key),
        sorted(rejected, key=lambda item: (str(item.path), item.reason)),
        sorted(look.passed_over),
    )


def list_sources(
    paths: Sequence[Path], content_at: ContentOf = content_of, folders_of_shows: bool = False
) -> tuple[list[Found], list[Rejected]]:
    """What lies at `paths`, each source once, and what is none or cannot be listed, by name.

    Opens only files whose ending says nothing, by `content_at`. Raises FileNotFoundError for a missing path.
    """
    look = look_at(paths, content_at, folders_of_shows)
    return look.found, look.rejected


def look_at(paths: Sequence[Path], content_at: ContentOf = content_of, folders_of_shows: bool = False) -> Look:
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
    return Look(list(found.values()), list(rejected), list(passed_over))


def _detour(item: Found) -> tuple[bool, int, str]:
    """Of several ways to one source the least by this names it: one without links below its root, then the shortest."""
    unlinked = os.path.join(os.path.realpath(item.root), item.relative)
    direct = item.path == item.root or place(unlinked) == place(item.real_path)
    return not direct, len(item.path.parts), str(item.path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name or a path longer than the system allows
        shown = str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}… ({len(str(path))} characters)"
        raise FileNotFoundError(f"no such source: {shown}: {error.strerror}") from error


def claims_of(found: Sequence[Found]) -> list[tuple[str, str]]:
    """For each source the plain key `<show>.<episode>` that it claims, and that key with a hash of its path."""
    plain = [f"{show}.{episode}" for _, show, episode in map(_names, found)]
    claimants: dict[str, list[Found]] = {}
    for key, item in zip(plain, found, strict=True):
        claimants.setdefault(key, []).append(item)
    hashed = {
        item: f"{key}-{short_hash(path)}"
        for key, items in claimants.items()
        for item, path in zip(items, _telling_paths(items), strict=True)
    }
    return [(key, hashed[item]) for key, item in zip(plain, found, strict=True)]


def may_go_by(path: Path, kind: Literal["video", "folder"], key: str) -> bool:
    """Whether what lies at a path can claim a key, in whichever tree around it is it found."""
    for root in (path, *path.parents):
        _, show, episode = _names(Found(path, root, str(path), kind, 0, 0, ""))
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
    return place(path) == place(item.path) or os.path.realpath(path) == item.real_path


def place(path: Path | str) -> str:
    """A path as text that is the same however it is spelled on this system."""
    return os.path.normcase(path)


def root_of(path: Path | str, roots: Iterable[Path]) -> Path | None:
    """The root that a path lies in, the innermost where roots contain one another."""
    around = [root for root in roots if Path(place(path)).is_relative_to(place(root))]
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
            if root is None or place(folder) == place(root):
                return "unseen"
        except OSError:
            return "unseen"
    return "unseen"


@dataclass(frozen=True)
class _Search:
    """What lies below a folder. `pictures`, and `texts` that may hold tags of them, are gathered where there are no
    videos, with `odd` ones beside them; `passed_over` lie outside of every source; `whole`: all could be listed."""

    items: list[Found | Rejected]
    pictures: list[tuple[Path, os.stat_result]] = field(default_factory=list)
    texts: list[tuple[Path, os.stat_result]] = field(default_factory=list)
    odd: list[PassedOver] = field(default_factory=list)
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
        entries, half_loaded, odd = _entries(folder)
    except OSError as error:
        return _Search([Rejected(folder, unreadable(error))], whole=False)
    items: list[Found | Rejected] = []
    below: list[_Search] = []
    files: list[tuple[Path, os.stat_result, Content | None]] = []
    for entry, status in entries:
        path = folder / entry.name
        if isinstance(status, OSError):
            items.append(Rejected(path, unreadable(status)))
        elif reason := _never_a_source(entry.name, status):
            items.append(Rejected(Path(printable(str(path))), reason))
        elif stat.S_ISDIR(status.st_mode):
            below.append(_search(path, root, _real_path(entry, real), above | {real}, content_at))
        else:
            content = None if path.suffix.lower() in EXPECTED_ENDINGS else _content(path, status, content_at, items)
            files.append((path, status, content))
            if content == "video":
                items.append(_video(path, root, _real_path(entry, real), status, entry.name in half_loaded))
    search = _Search(
        items + [item for search in below for item in search.items],
        holds_files=bool(files or items) or any(search.holds_files for search in below),
        whole=all(search.whole for search in below),
        passed_over=[item for search in below for item in search.passed_over],
    )
    if search.holds_videos:
        return replace(search, passed_over=[*search.passed_over, *odd, *_beside_videos(files)])
    told = [(path, status, content or _content(path, status, content_at, items)) for path, status, content in files]
    search = replace(
        search,
        pictures=[picture for search in below for picture in search.pictures]
        + [(path, status) for path, status, content in told if content == "picture"],
        texts=[text for search in below for text in search.texts]
        + [(path, status) for path, status, _ in files if path.suffix.lower() in TAG_ENDINGS],
        odd=[item for search in below for item in search.odd],
        unfinished=bool(half_loaded)
        or any(content is None for _, _, content in told)
        or any(search.unfinished for search in below),
    )
    unread = {item.path for item in items if isinstance(item, Rejected)}
    others = [path for path, _, content in told if content == "other" and path not in unread]
    left = [(path, why_left(path, bool(search.pictures))) for path in others]
    odd += [PassedOver(path, reason) for path, reason in left if reason]
    search = replace(search, odd=search.odd + odd, passed_over=search.passed_over + odd)
    if folder == root:
        return search
    if not search.whole:
        return replace(search, items=search.rejected)
    if search.pictures:
        return replace(search, items=[_folder(folder, root, real, search)], passed_over=[])
    if not search.holds_files:
        return replace(search, items=[Rejected(folder, "is empty")])
    if folder.parent == root:
        return replace(search, items=[*search.items, Rejected(folder, "holds neither videos nor pictures")])
    return search


def _beside_videos(files: Iterable[tuple[Path, os.stat_result, Content | None]]) -> list[PassedOver]:
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


def _entries(
    folder: Path,
) -> tuple[list[tuple[os.DirEntry[str], os.stat_result | OSError]], set[str], list[PassedOver]]:
    """What a folder holds, sorted by name, the names that downloads in it will have, and what is no file, or not yet.

    Raises OSError.
    """
    odd: list[PassedOver] = []
    entries: list[tuple[os.DirEntry[str], os.stat_result | OSError]] = []
    half_loaded: set[str] = set()
    with os.scandir(folder) as listing:
        for entry in listing:
            if is_ignored(entry.name):
                stem, ending = os.path.splitext(entry.name)
                if is_ignored(f"download{ending}"):
                    half_loaded.add(stem)
                if is_unfinished(entry.name):
                    odd.append(PassedOver(folder / entry.name, UNFINISHED))
                continue
            try:
                entries.append((entry, entry.stat()))
            except FileNotFoundError:
                if entry.is_symlink():  # else it is gone since it was listed
                    odd.append(PassedOver(folder / entry.name, DEAD_LINK))
                continue
            except OSError as error:
                entries.append((entry, error))
    return sorted(entries, key=lambda pair: pair[0].name), half_loaded, sorted(odd)


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
    left = sorted(f"{posix_path(item.path.relative_to(folder))}\0passed over\n" for item in search.odd)
    return Found(
        folder,
        root,
        real,
        "folder",
        size_bytes=sum(status.st_size for _, status in listed),
        mtime_ns=max(status.st_mtime_ns for _, status in counted),
        stamp=_digest(
            [*(f"{relative}\0{status.st_size}\0{status.st_mtime_ns}\n" for relative, status in counted), *left]
        ),
        unfinished=search.unfinished,
    )


def _names(item: Found) -> tuple[str, str, str]:
    """Title of the show, slug of the show, slug of the episode.

    The folder a video lies in names its show; folders that are only a season or hold specials lend that instead, and
    those of discs are passed over.
    """
    name = _own_name(item)
    release = parse_release_name(name)
    title, season, special = "", release.season, None
    for folder in reversed((item.outer_folder, *item.relative.parts[:-1])):
        if names_no_show(folder):
            continue
        if release.episode is None and tells_nothing(name) and not name.isdecimal():
            release = parse_release_name(folder)
            season = release.season
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


def _own_name(item: Found) -> str:
    """The name without its ending; a dot inside a title (`Vol. 2`) begins none."""
    has_ending = item.kind == "video" and re.fullmatch(r"\.[A-Za-z0-9]{1,5}", item.path.suffix)
    return item.path.stem if has_ending else item.path.name


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
