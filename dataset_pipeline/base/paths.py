"""What a path may be on every system: names that Windows keeps for itself, long paths, files in use, and paths that
come from a file somebody else may have written."""

from __future__ import annotations

import ntpath
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from dataset_pipeline.base.errors import PermanentError, writing

# Names that Windows keeps for devices; of the ports it also takes the raised digits of Latin-1.
_DEVICE = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])"
_IS_DEVICE = re.compile(rf"{_DEVICE}\ *(?:\.|\Z)")
_FORBIDDEN = frozenset('<>:"\\|?*')
_UNWRITABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
# Finds whatever may be wrong with a path, in one pass; nearly all paths have nothing of it.
_DOUBTFUL = re.compile(
    rf"""[\x00-\x1f\x7f\ud800-\udfff<>:"\\|?*] | ^/ | // | [./\ ](?:/|$) | (?:^|/){_DEVICE}\ *(?:[./]|$)""",
    re.IGNORECASE | re.VERBOSE,
)
# Windows refuses to replace or open a file while another process has it open; readers hold ours for milliseconds.
RETRIES = 12
FIRST_RETRY_S, LONGEST_RETRY_S = 0.005, 0.15
WINDOWS_LONG_PATH = 240
IS_WINDOWS = os.name == "nt"

T = TypeVar("T")


class OutsideError(PermanentError, ValueError):
    """A path that a file names and that must not be followed; the message names the file, the place in it and the
    path."""


def is_device(name: str) -> bool:
    """Whether Windows takes a file's or folder's name for a device: `con`, `NUL.txt`, `com¹`, `aux .tar.gz`."""
    return _IS_DEVICE.match(name.lower()) is not None


def fault_of_path(path: object) -> str:
    """Why a path is none that may lie below a folder on every system; empty if it may. With forward slashes."""
    if not isinstance(path, str) or not path:
        return "is no path"
    if not _DOUBTFUL.search(path):
        return ""
    if _UNWRITABLE.search(path):
        return "has characters that no name has"
    if path.startswith("/"):
        return "does not begin in the folder"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "is not the plain way from the folder"
    if forbidden := sorted(_FORBIDDEN & set(path)):
        return f"has {' '.join(forbidden)}, which Windows does not take for part of a name"
    if unfit := [part for part in parts if part.endswith((".", " ")) or is_device(part)]:
        return f"has {unfit[0]!r}, which Windows takes for another name"
    return ""


def check_relative(path: object, where: str) -> str:
    """Return `path` if it is one that lies below a folder on every system: relative, without `..`, drive or backslash.

    where: the file that names it and the place in that, for the message. Raises OutsideError.
    """
    if fault := fault_of_path(path):
        raise OutsideError(f"{where}: {path!r} {fault}: nothing there is read or written")
    assert isinstance(path, str)
    return path


def leads_out(path: str) -> bool:
    """Whether a path that this system once listed below a folder does not lead there: a name may be any it takes."""
    parts = path.replace("\\", "/").split("/") if IS_WINDOWS else path.split("/")
    return not path or "\0" in path or os.path.isabs(path) or bool(os.path.splitdrive(path)[0]) or ".." in parts


def inside(folder: Path, path: object, where: str) -> Path:
    """`path`, as a file somebody else may have written names it, below `folder`, ready to be opened.

    As `check_relative`; nor may a link on the way, or at its end, lead out of the folder. Raises OutsideError.
    """
    known = check_relative(path, where)
    for _ in links_out(folder, [known]):
        raise OutsideError(f"{where}: {path!r} is a link out of {folder}: nothing there is read or written")
    return long_path(folder / known)


def links_out(folder: Path, paths: Iterable[str]) -> Iterator[str]:
    """Of relative paths below `folder` those that a link, on the way or at the end, leads out of it."""
    root = _real(folder)
    below = os.path.join(root, "")
    within: dict[str, bool] = {}

    def is_within(path: str) -> bool:
        real = _real(folder / path)
        return real == root or real.startswith(below)

    for path in paths:
        parent = path.rpartition("/")[0]
        if parent not in within:
            within[parent] = is_within(parent)
        # On Windows not only what is_symlink tells of leads elsewhere.
        may_lead = IS_WINDOWS or os.path.islink(os.path.join(folder, path))
        if not within[parent] or (may_lead and not is_within(path)):
            yield path


def _real(path: Path) -> str:
    return os.path.normcase(os.path.realpath(long_path(path, 0)))


def long_path(path: Path, limit: int = WINDOWS_LONG_PATH) -> Path:
    """The path as Windows takes it beyond 260 characters, if it has more than `limit`; elsewhere as it is.

    limit: 0 for a folder below which names are found by listing.
    """
    return Path(long_name(str(path.absolute()), limit)) if IS_WINDOWS else path


def long_name(path: str, limit: int = WINDOWS_LONG_PATH) -> str:
    r"""An absolute Windows path as `\\?\C:\...`, one of a share as `\\?\UNC\server\share\...`, beyond `limit`."""
    if len(path) <= limit or path.startswith(("\\\\?\\", "\\\\.\\")):
        return path
    plain = ntpath.normpath(path)  # nothing behind the prefix is normalised by Windows
    return f"\\\\?\\UNC\\{plain[2:]}" if plain.startswith("\\\\") else f"\\\\?\\{plain}"


def waits(is_windows: bool = IS_WINDOWS) -> Iterator[float]:
    """Seconds between attempts, up to about one in all, and only where an open file can be in the way."""
    if is_windows:
        yield from (min(FIRST_RETRY_S * 2**i, LONGEST_RETRY_S) for i in range(RETRIES))


def patiently(do: Callable[[], T], between: Iterable[float] | None = None) -> T:
    """`do`, tried again while Windows refuses it because somebody has the file open. Raises PermissionError then."""
    for wait_s in waits() if between is None else between:
        try:
            return do()
        except PermissionError:
            time.sleep(wait_s)
    return do()


def now_s_on_drive(folder: Path) -> float:
    """The time by the clock of the drive that holds a folder, which may not be this machine's. Raises OSError where
    nothing can be written."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".tmp") as file:
        return os.stat(file.name).st_mtime


def replace(source: Path, target: Path) -> None:
    """Put a file or folder in the place of another, in one step."""
    patiently(lambda: os.replace(long_path(source), long_path(target)))


def write_whole(path: Path, content: bytes, temporary: Path | None = None, durable: bool = False) -> None:
    """Put a whole file in place of any other; a link there is replaced, not followed. temporary: where it is written
    first, on the same disk; beside it, under a name of its own, if None. durable: on the disk before this returns."""
    path = long_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{uuid.uuid4().hex[:12]}.tmp") if temporary is None else temporary
    try:
        if temporary is not None:
            beside.unlink(missing_ok=True)
        with writing(path):
            with open(beside, "xb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
