"""What a source is: one video file or one folder of pictures, as it was listed and under the key it goes by."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

_ENDS_BYTES = 65_536  # of a video, on both sides of it


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

    @property
    def name(self) -> str:
        """The name without its ending; a dot inside a title (`Vol. 2`) begins none."""
        has_ending = self.kind == "video" and re.fullmatch(r"\.[A-Za-z0-9]{1,5}", self.path.suffix)
        return self.path.stem if has_ending else self.path.name


def _video_fingerprint(path: Path, size_bytes: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        head = file.read(_ENDS_BYTES)
        file.seek(max(0, size_bytes - _ENDS_BYTES))
        tail = file.read(_ENDS_BYTES)
    return digest_of([f"{size_bytes}\0{mtime_ns}\0", head, tail])


def digest_of(parts: Iterable[str | bytes]) -> str:
    """32 hex digits of the SHA-256 of texts and bytes in a row."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part)
    return digest.hexdigest()[:32]
