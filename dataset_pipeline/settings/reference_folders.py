"""Pictures by which a person says who is who, from folders laid out in any of three ways.

Own: `<name>/…`, `<name>/<outfit>/…`, and `<name>_<mark>.png` beside these folders. anime_screenshot_pipeline's
`--character_ref_dir`: `<name>/<appearance>/<outfit>/<accessories>/<objects>/<extras>`, where `none` leaves a level out.
neme-anima: its project folder, see `neme_project`. Whatever is called `noise`, `noise 2`, `noise_crowd` or, as
anime_screenshot_pipeline writes it, `0_noise` shows nobody, and rejects. Links below the folder are not followed. Of a
loose file the last mark alone is taken off: `Lucy_Heartfilia_1.png` shows `Lucy_Heartfilia`, where
anime_screenshot_pipeline, whose names have no `_`, reads `Lucy`.
Nothing is ever written here.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from dataset_pipeline.base.file_names import is_ignored, is_text, posix_path, sha256_of_file
from dataset_pipeline.base.paths import fault_of_path, long_path
from dataset_pipeline.settings.neme_project import NEME_PROJECT, NotAProject, characters_of, place_of

SIDECARS = frozenset({".txt", ".json", ".tags", ".caption", ".npy", ".csv", ".toml", ".md"})
MAX_PICTURES = 20_000  # of all characters: whoever names the folder of all his pictures shall be told
MAX_NAME_CHARACTERS, MAX_NAME_BYTES = 80, 160  # folders of training sets hold a name, and a count before it
MAX_PART_BYTES = 200  # of a folder's name; Linux allows 255

_NOISE = re.compile(r"(?:-?\d+_)?noise(?![^\W\d_])", re.IGNORECASE)  # not `Noisette`
_ID = re.compile(r"c-[0-9a-f]{8}")
_SEPARATORS = ",|+"  # stand between names in captions, in stored names, in folders of several characters
_NOTHING = ("", "none")
_CAMERA = re.compile(r"(?:img|dsc[fn]?|pxl|image|photo|picture|frame|screenshot|vlcsnap)", re.IGNORECASE)
LINK = "is a link, and links are not followed: put a copy there"
NAMELESS = "begins with no name: rename it"


@dataclass(frozen=True)
class Reference:
    """One picture. file: its path below the folder, posix, composed Unicode. name: as typed; empty rejects. outfit: the
    levels below the name as `CharacterName.stored` writes them, `none|red dress` or `cone hair bun|red dress`; empty if
    there are none. sha256: of the file's content, empty where it cannot be read."""

    file: str
    path: Path
    name: str
    outfit: str = ""
    sha256: str = ""

    @property
    def is_noise(self) -> bool:
        return not self.name


@dataclass(frozen=True)
class References:
    """What a folder gives: pictures sorted by file, and by file or folder why one was passed over."""

    pictures: tuple[Reference, ...]
    passed_over: Mapping[str, str]


def references_in(folder: Path) -> References:
    """The pictures of a folder, none where there is no such folder. What is wrong with one costs that one.

    Files are known by content, which is read again only where size or time of a file have changed.
    """
    passed_over: dict[str, str] = {}
    if not folder.is_dir():
        if folder.exists():
            passed_over["."] = f"{folder} is a file: a folder is wanted"
        return References((), passed_over)
    if (folder / NEME_PROJECT).is_file():
        found = list(_of_neme(folder, passed_over))
    else:
        found = list(_of_folders(folder, passed_over))
    if len(found) > MAX_PICTURES:
        passed_over["."] = f"{folder} holds {len(found)} pictures, more than the {MAX_PICTURES} that references may be"
        return References((), passed_over)
    pictures = [_with_content(it, passed_over) for it in _of_one_spelling(_well_named(found, passed_over), passed_over)]
    there = list(_of_one_owner(sorted((it for it in pictures if it.sha256), key=lambda it: it.file), passed_over))
    return References(tuple(there), dict(sorted(passed_over.items())))


def _of_folders(folder: Path, passed_over: dict[str, str]) -> Iterator[Reference]:
    for place, folders, files in os.walk(long_path(folder, 0), onerror=lambda error: _told(folder, error, passed_over)):
        folders[:] = sorted(name for name in folders if not is_ignored(name))
        below = Path(place).relative_to(long_path(folder, 0))
        there = [name for name in sorted(files) if _may_be_picture(name)]
        relative = posix_path(below)
        if not there and not folders and below.parts:
            passed_over[relative] = "is empty: put pictures into it, or remove it"
        for name in [*folders, *there]:
            if (Path(place) / name).is_symlink():
                passed_over[_shown(below / name)] = LINK
        levels = PurePosixPath(relative).parts
        for name in there:
            file = _shown(below / name)
            if not is_text(str(below / name)):
                passed_over[file] = "has a name that is no text: rename it"
            elif file not in passed_over and (said := _said_by(levels or (file,), file, passed_over)):
                yield Reference(file, Path(place) / name, *said)


def _shown(file: Path) -> str:
    return posix_path(file) if is_text(str(file)) else repr(str(file))


def _said_by(levels: tuple[str, ...], file: str, passed_over: dict[str, str]) -> tuple[str, str] | None:
    """Name and outfit by the folders that a file lies in, or by its own name where it lies in none; else None."""
    loose = levels == (file,)
    first = _before_mark(PurePosixPath(levels[0]).stem) if loose else levels[0]
    if is_noise(first):
        return "", ""
    if loose and _CAMERA.fullmatch(first.strip()):
        fault = "is named by a camera or a player: put it into a folder of the name, or call it <name>_1"
    else:
        fault = "" if first.strip() else NAMELESS
        fault = fault or next(filter(None, (fault_of_part(level.strip()) for level in levels[1:])), "")
    if fault:
        passed_over[file] = fault
        return None
    return first.strip(), _outfit(levels[1:])


def is_noise(name: str) -> bool:
    """Whether pictures of a folder of this name, or files that begin so, show nobody who is looked for."""
    return _NOISE.match(name) is not None


def _may_be_picture(name: str) -> bool:
    return not is_ignored(name) and PurePosixPath(name).suffix.lower() not in SIDECARS


def _before_mark(stem: str) -> str:
    """`Lucy_Heartfilia` of `Lucy_Heartfilia_1`."""
    name, mark, _ = stem.rpartition("_")
    return name if mark and not is_noise(stem) else stem


def _outfit(levels: tuple[str, ...]) -> str:
    """Levels below a name as they are stored: the only one is an outfit unless it begins with `_`, of several the first
    is an appearance and the others outfits, several of them joined by `+`."""
    said = ["" if level.strip().lower() in _NOTHING else level.strip() for level in levels]
    if len(said) == 1 and not said[0].startswith("_"):
        said = ["", *said]
    appearance, outfits = (said[0] if said else ""), "+".join(filter(None, said[1:]))
    return f"{appearance or 'none'}|{outfits}" if outfits else appearance


def _of_neme(folder: Path, passed_over: dict[str, str]) -> Iterator[Reference]:
    """The pictures that a project of neme-anima lists for each character."""
    try:
        characters = characters_of(folder)
    except NotAProject as error:
        passed_over[NEME_PROJECT] = str(error)
        return
    for key, name, listed in characters:
        name = unicodedata.normalize("NFC", name).strip()
        if not name:
            passed_over[f"{NEME_PROJECT}: {key}"] = "has no name: give it one"
            continue
        if not listed:
            passed_over[f"{NEME_PROJECT}: {name}"] = "has no pictures"
        for path in listed:
            file, fault = place_of(folder, path)
            if fault:
                passed_over[path] = fault
            else:
                yield Reference(unicodedata.normalize("NFC", file), folder / file, "" if is_noise(name) else name)


def _well_named(found: Iterable[Reference], passed_over: dict[str, str]) -> Iterator[Reference]:
    for it in found:
        if fault := fault_of_name(it.name):
            passed_over[it.file] = fault
        else:
            yield it


def fault_of_name(name: str) -> str:
    """Why a name can be none in captions and folders; empty if it can, or if it is that of noise."""
    if not name:
        return ""
    if found := [mark for mark in _SEPARATORS if mark in name]:
        return f"the name {name!r} has {' '.join(found)}, which separates names in captions: rename it"
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cn", "Zl", "Zp") for letter in name):
        return f"the name {name!r} has letters that cannot be seen: rename it"
    if name.lower() in _NOTHING or not any(letter.isalnum() for letter in name):
        return f"{name!r} is no name: rename it"
    if _ID.fullmatch(name):
        return f"the name {name!r} looks like the id of a character: rename it"
    if len(name) > MAX_NAME_CHARACTERS or len(name.encode()) > MAX_NAME_BYTES:
        return f"the name {name[:20]!r}… has more than {MAX_NAME_CHARACTERS} letters: shorten it"
    return fault_of_part(name)


def fault_of_part(part: str) -> str:
    """Why no folder of a name or outfit may be called so on every system; empty if it may."""
    if "/" in part:
        return f"{part!r} holds a slash: rename it"
    if len(part.encode(errors="replace")) > MAX_PART_BYTES:
        return f"the name {part[:20]!r}… is too long for a folder: shorten it"
    fault = fault_of_path(part) or ("is what files are called that are ignored" if is_ignored(part) else "")
    return f"{part!r} {fault}: rename it" if fault else ""


def spelling(name: str) -> str:
    """What spellings of one name have in common: case, spaces, underscores and hyphens do not count."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter not in " _-")


def _of_one_spelling(found: Iterable[Reference], passed_over: dict[str, str]) -> Iterator[Reference]:
    """Of several spellings of one name that of most pictures, of these the first."""
    found = list(found)
    counts = Counter(it.name for it in found)
    chosen: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        chosen.setdefault(spelling(name), name)
    for it in found:
        if it.name == (right := chosen[spelling(it.name)]):
            yield it
        else:
            passed_over[it.file] = f"{it.name!r} is another spelling of {right!r}: call both the same"


def _of_one_owner(found: Iterable[Reference], passed_over: dict[str, str]) -> Iterator[Reference]:
    """Without pictures that lie under two names, or under one and noise: they say nothing of either."""
    same: dict[str, list[Reference]] = defaultdict(list)
    for it in found:
        same[it.sha256].append(it)
    for several in same.values():
        for it in several:
            other = next((other for other in several if other.name != it.name), None)
            if other is None:
                yield it
            else:
                passed_over[it.file] = f"is the same picture as {other.file}: remove one of them"


def _with_content(it: Reference, passed_over: dict[str, str]) -> Reference:
    try:
        there = it.path.stat()
        return replace(it, sha256=_sha256(str(it.path), there.st_size, there.st_mtime_ns))
    except OSError as error:
        passed_over[it.file] = f"cannot be read: {error.strerror or error}"
        return it


@lru_cache(maxsize=2 * MAX_PICTURES)
def _sha256(path: str, size_bytes: int, changed_ns: int) -> str:
    return sha256_of_file(Path(path))


def _told(folder: Path, error: OSError, passed_over: dict[str, str]) -> None:
    place = Path(error.filename or folder)
    passed_over[posix_path(place.relative_to(folder)) if place.is_relative_to(folder) else str(place)] = (
        f"cannot be read: {error.strerror or error}"
    )
