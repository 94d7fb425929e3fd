"""What lies among sources and is not taken in: said once, with its reason and what to do about it.

What the last look at a place passed over is kept beside the store's tables, so that `status` can say it between runs.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_pipeline.base.file_names import is_ignored, is_text, is_unfinished
from dataset_pipeline.images.pictures import UNREAD_ENDINGS, is_picture
from dataset_pipeline.sources.names import parse_release_name

if TYPE_CHECKING:
    from dataset_pipeline.store.store import Store

log = logging.getLogger(__name__)

BESIDE_VIDEOS = "a picture beside videos: to take it in, put it into a folder of its own"
LOOSE = "a picture among the folders of shows: to take it in, put it into a folder of its own"
UNREAD = "a kind of picture that is not read: save it as PNG"
PACKED = "an archive, which is not looked into: unpack it"
DISC_IMAGE = "an image of a disc, which is not looked into: copy out the files that it holds"
PLAYLIST = "a list of a video's pieces, which is not followed: join them into one video"
RAW_STREAM = "a video stream alone, without its times: put it into a container, such as Matroska by mkvmerge"
DEAD_LINK = "a link to nothing: mend or remove it"
UNFINISHED = "a download that is not finished: finish or remove it"
NO_TEXT = "a name that is not valid UTF-8: rename it"
NO_FILE = "a pipe or a device, not a file: remove it"
UNKNOWN = "neither a video nor a picture: remove it if that is right, or give it the ending of what it is"

# What usually lies beside videos and pictures: never opened while looking for them, and no news.
EXPECTED_ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("txt", "tags", "caption", "nfo", "srt", "ass", "ssa", "vtt", "sub", "idx", "sup", "smi", "lrc", "md"),
        *("json", "jsonl", "toml", "yaml", "yml", "csv", "xml", "html", "htm", "log", "sfv", "md5", "sha1", "sha256"),
        *("torrent", "url", "lnk", "cue", "ttf", "otf", "ttc", "zip", "rar", "7z", "pdf", "ico", "ini", "db"),
        *("mp3", "flac", "m4a", "aac", "ac3", "eac3", "dts", "mka", "wav", "opus", "ape", "tak", "tta", "wv"),
        *("ifo", "bup", "bdmv", "mpls", "clpi", "bdjo", "jar", "properties", "crt", "safetensors", "npz", "pt"),
    )
)
_WITH_A_VIDEO = {
    **dict.fromkeys((".iso", ".img", ".mdf", ".nrg"), DISC_IMAGE),
    **dict.fromkeys((".m3u8", ".mpd"), PLAYLIST),
    **dict.fromkeys((".h264", ".264", ".avc", ".h265", ".265", ".hevc"), RAW_STREAM),
}
_ARCHIVES = frozenset({".zip", ".rar", ".7z", ".cbz", ".cbr", ".cb7", ".tar", ".gz", ".tgz", ".pdf"})
# What a video needs beside it. A group's name in front (`[Some-Subs]`) and tags of a video (`Multi-Subs`) say none.
_NEEDED = r"(?:fonts?|subs?|subtitles?|ass|ssa|srt|vtt|sup|字幕|字体|フォント)"
_SAYS_NEEDED = re.compile(rf"(?<![^\W\d_])(?<!multi[ -])(?<!soft[ -])(?<!hard[ -]){_NEEDED}(?![^\W\d_])", re.IGNORECASE)
_GROUP = re.compile(r"^\s*\[[^\]]*\]")

NOTES = "passed_over"
NAMED = 2  # files of one reason; more are counted
KEPT = 1000  # paths of one reason that are looked for again


@dataclass(frozen=True, order=True)
class PassedOver:
    """A file that is not taken in, and why."""

    path: Path
    reason: str


def why_left(path: Path, among_pictures: bool, beside_videos: bool = False) -> str:
    """Why a file that is neither video nor picture is passed over; empty for what usually lies beside these.

    `beside_videos`: there are videos in its own folder.
    """
    ending = path.suffix.lower()
    if ending in UNREAD_ENDINGS:
        return UNREAD
    if is_archive(path):
        return PACKED if among_pictures or _may_hold_episodes(path, beside_videos) else ""
    return "" if ending in EXPECTED_ENDINGS else _WITH_A_VIDEO.get(ending, UNKNOWN)


def is_archive(path: Path) -> bool:
    return path.suffix.lower() in _ARCHIVES


def _may_hold_episodes(path: Path, beside_videos: bool) -> bool:
    """Whether an archive may: not if it says fonts or subtitles, and a usual kind beside videos only if numbered."""
    if _SAYS_NEEDED.search(_GROUP.sub("", path.stem)) or re.fullmatch(_NEEDED, path.parent.name, re.IGNORECASE):
        return False
    usual = beside_videos and path.suffix.lower() in EXPECTED_ENDINGS
    return not usual or parse_release_name(path.stem).episode is not None


def left_in(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[PassedOver]:
    """What a folder of pictures holds, with its subfolders, besides pictures and what usually lies beside them."""
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield PassedOver(folder, unreadable(error))
        return
    for entry in entries:
        path = folder / entry.name
        try:
            if entry.is_dir() and is_text(entry.name) and not is_ignored(entry.name):
                yield from left_in(path, above | {real})
            elif reason := _why_entry_left(entry, path):
                yield PassedOver(path, reason)
        except OSError as error:
            yield PassedOver(path, unreadable(error))


def _why_entry_left(entry: os.DirEntry[str], path: Path) -> str:
    if is_ignored(entry.name):
        return UNFINISHED if is_unfinished(entry.name) else ""
    if not is_text(entry.name):
        return NO_TEXT
    if not entry.is_file():
        return DEAD_LINK if entry.is_symlink() else NO_FILE
    return "" if is_picture(path) else why_left(path, among_pictures=True)


def unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"


def summaries(items: Iterable[PassedOver], root: Path) -> list[str]:
    """A sentence for each reason, with the first names as seen from `root` and the number of the others."""
    return [_summary(paths, len(paths), reason, root) for reason, paths in _grouped(items).items()]


def _grouped(items: Iterable[PassedOver]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for item in sorted(set(items)):
        groups.setdefault(item.reason, []).append(item.path)
    return groups


def _summary(paths: Sequence[Path], count: int, reason: str, root: Path) -> str:
    inside = (path.relative_to(root) if path != root and path.is_relative_to(root) else path for path in paths[:NAMED])
    names = [shown(path) for path in inside]
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return f"{', '.join(names)}{more}: {reason}"


def shown(path: Path) -> str:
    """The path on one line, with a question mark for every byte that is no text."""
    text = printable(path.as_posix())
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def printable(name: str) -> str:
    """The name with a question mark for every byte that is no text."""
    return name.encode(errors="replace").decode()


def remember_passed_over(store: Store, root: Path, items: Iterable[PassedOver]) -> None:
    """Remember what this look at `root` passed over, in place of what earlier ones did there and below."""
    kept = {
        "root": str(root),
        "groups": [
            {"reason": reason, "count": len(paths), "paths": [str(path) for path in paths[:KEPT]]}
            for reason, paths in _grouped(items).items()
        ],
    }
    own = _name_of(root)
    for name, note in _notes(store).items():
        if name != own and Path(note["root"]).is_relative_to(root):
            store.write_note(NOTES, name, None)
    store.write_note(NOTES, own, kept if kept["groups"] else None)


def _notes(store: Store) -> dict[str, Any]:
    """What `remember_passed_over` wrote, by name. What is none of its notes is left alone and named in a warning."""
    notes = store.notes(NOTES)
    foreign = [name for name, note in notes.items() if not _is_note(note)]
    for name in foreign:
        log.warning(f"{store.root}/_{NOTES}/{name}.json says nothing of what was passed over: remove it")
    return {name: note for name, note in notes.items() if name not in foreign}


def _is_note(note: Any) -> bool:
    match note:
        case {"root": str(), "groups": list(groups)}:
            return all(map(_is_group, groups))
    return False


def _is_group(group: Any) -> bool:
    match group:
        case {"reason": str(), "count": int(), "paths": list(paths)}:
            return all(isinstance(path, str) for path in paths)
    return False


def summaries_by_root(items: Iterable[PassedOver], roots: Iterable[Path]) -> list[str]:
    """What a look at `roots` passed over, a sentence for each root and reason."""
    left, said = list(items), []
    for root in roots:
        inside = [item for item in left if item.path.is_relative_to(root)]
        left = [item for item in left if not item.path.is_relative_to(root)]
        said += [f"{shown(root)}: {summary}" for summary in summaries(inside, root)]
    return said


def last_summaries(store: Store) -> list[str]:
    """What the last look at each place passed over and is still there, a sentence for each reason."""
    sentences, said = [], set()
    for note in sorted(_notes(store).values(), key=lambda note: note["root"]):
        root = Path(note["root"])
        for group in note["groups"]:
            reason, paths = group["reason"], [Path(path) for path in group["paths"]]
            there = [path for path in paths if (path, reason) not in said and _is_there(path)]
            said |= {(path, reason) for path in there}
            if there:
                count = group["count"] - len(paths) + len(there)
                sentences.append(f"{shown(root)}: {_summary(there, count, reason, root)}")
    return sentences


def _is_there(path: Path) -> bool:
    """Whether a path that was kept is there; a name that is no text may have been kept with question marks."""
    if os.path.lexists(path):
        return True
    if "?" not in path.name:
        return False
    try:
        names = os.listdir(path.parent)
    except OSError:
        return False
    return any(printable(name) == path.name for name in names if not is_text(name))


def _name_of(root: Path) -> str:
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
