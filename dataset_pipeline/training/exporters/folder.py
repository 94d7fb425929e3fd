"""A set's folder: named by its content, written whole or not at all, never overwritten."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dataset_pipeline.base.errors import PermanentError, writing
from dataset_pipeline.base.file_names import sha256_of_file
from dataset_pipeline.base.paths import (
    OutsideError,
    check_relative,
    inside,
    links_out,
    long_path,
    now_s_on_drive,
    patiently,
    replace,
)

CHECKSUMS = "checksums.sha256"
# Files in it hold the absolute path of the folder they lie in, so they are not part of a set's content.
ABSOLUTE = "absolute"
PARTIAL = ".partial"  # the end of a folder's name while it is written
LEAST_GRACE_S = 3600.0
_CHECKSUM_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
# What copy_file_range answers where it cannot copy: other file systems, old kernels, files that are not on a disk.
NOT_COPIED_BY_KERNEL = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}


class ExportError(PermanentError, ValueError):
    """A set that cannot be written; the message names the image or folder and what is wrong."""


@dataclass(frozen=True)
class File:
    """A file of a set. path: relative to the set's folder. content: its bytes, or a function that writes them to an
    open file. sha256: of the content, if it is known beforehand; it is checked. of: id of the image it belongs to."""

    path: str
    content: bytes | Callable[[BinaryIO], object]
    sha256: str = ""
    of: str = ""


def content_hash(facts: Any) -> str:
    """sha256 of anything JSON can hold; equal facts, equal hash."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def write_folder(
    root: Path,
    name: str,
    files: Callable[[Path], Iterable[File]],
    absolute_texts: Callable[[Path], Mapping[str, str]],
    content_changes: Callable[[Path], list[str]],
    resumes: bool = False,
) -> tuple[Path, bool, int, tuple[str, ...]]:
    """Write `files` with their checksums into `<root>/<name>`: (folder, reused, bytes, changed).

    files: given the folder that they are written into before it has its name. resumes: what an export that was
    interrupted has written stays there, for the next one to take; what that does not write again goes.

    absolute_texts: for a folder, texts by name that hold its absolute path; they go into its subfolder `absolute/`.
    A folder of that name whose files are all unchanged is left as it is. If somebody changed it, or `content_changes`
    lists something, the set is written beside it as `<name>-2` and so on. The folder appears under its name only when
    it is complete. Absolute texts are for people to edit and become wrong when the folder is moved: they are no part of
    the checksums, a missing one is written again, and one that differs is left alone and listed in `changed`.
    """
    changed: list[str] = []
    for attempt in range(1, 1000):
        folder = root.absolute() / (name if attempt == 1 else f"{name}-{attempt}")
        texts = absolute_texts(folder)
        if not long_path(folder, 0).exists():
            _write(folder, files, texts, resumes)
            return folder, False, _size_of(folder), tuple(changed)
        found = differences_in(folder) or content_changes(folder)
        if not found:
            changed += [f"{folder.name}: {entry}" for entry in _write_missing(folder, texts)]
            return folder, True, _size_of(folder), tuple(changed)
        changed += [f"{folder.name}: {entry}" for entry in found]
    raise ExportError(f"{root} holds a thousand changed copies of {name}; remove some")


def clean_unfinished(root: Path, grace_s: float) -> tuple[int, int]:
    """Remove folders of sets that were interrupted, of which nothing was written in the last `grace_s` seconds, by the
    clock of the drive that they lie on: (how many, their bytes). One that is being written grows all the time, so an
    hour is the least."""
    partials = sorted(root.glob(f".*{PARTIAL}")) if root.is_dir() else []
    now_s, removed, size_bytes = now_s_on_drive(root) if partials else 0.0, 0, 0
    for partial in partials:
        if partial.is_symlink() or not partial.is_dir():
            continue
        try:
            latest_s = max(it.lstat().st_mtime for it in (partial, *partial.rglob("*")))
            size = _size_of(partial)
        except FileNotFoundError:  # it was finished meanwhile
            continue
        if now_s - latest_s >= max(grace_s, LEAST_GRACE_S):
            patiently(lambda it=partial: shutil.rmtree(it))
            removed, size_bytes = removed + 1, size_bytes + size
    return removed, size_bytes


def differences_in(folder: Path) -> list[str]:
    """What was changed, added or removed in the folder since the export, as `<file> changed`; empty if nothing."""
    try:
        expected = checksums_in(folder)
    except (OSError, UnicodeDecodeError):
        return [f"{CHECKSUMS} missing"]
    except ExportError as error:
        return [str(error)]
    present = files_in(folder)
    present.pop(CHECKSUMS, None)
    found = [f"{path} added" for path in present.keys() - expected.keys() if not path.startswith(f"{ABSOLUTE}/")]
    outside = set(links_out(folder, expected))
    for path, digest in expected.items():
        if path in outside:
            found.append(f"{path} is a link out of the folder")
        elif path not in present:
            found.append(f"{path} removed")
        elif not present[path].is_file() or sha256_of_file(present[path]) != digest:
            found.append(f"{path} changed")
    return sorted(found)


def checksums_in(folder: Path) -> dict[str, str]:
    """sha256 by file from the folder's checksum file; all files lie below the folder. Raises ExportError for a line
    that is no checksum, OSError or UnicodeDecodeError if the file cannot be read."""
    sums = {}
    lines = within(folder, CHECKSUMS, str(folder)).read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        where = f"{folder / CHECKSUMS}, line {number}"
        if match := _CHECKSUM_LINE.fullmatch(line.removesuffix("\r")):
            sums[relative(match[2], where)] = match[1]
        elif line:
            raise ExportError(f"{where}: {line[:200]!r} is no sha256 with a file: copy the folder again")
    return sums


def relative(path: object, where: str) -> str:
    """`paths.check_relative` for a path that a document of a set names. Raises ExportError."""
    try:
        return check_relative(path, where)
    except OutsideError as error:
        raise ExportError(str(error)) from None


def within(folder: Path, path: str, where: str) -> Path:
    """`paths.inside` for a path that a document of a set names. Raises ExportError."""
    try:
        return inside(folder, path, where)
    except OutsideError as error:
        raise ExportError(str(error)) from None


def checksum_lines(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items())).encode()


def copy_file(source: Path, target: BinaryIO) -> None:
    """The bytes of a local file, copied by the kernel where it can: file systems with reflinks then share the blocks,
    and either file may change later without the other."""
    with open(source, "rb") as file:
        if hasattr(os, "copy_file_range"):
            try:
                while os.copy_file_range(file.fileno(), target.fileno(), 1 << 30):
                    pass
                return
            except OSError as error:
                if error.errno not in NOT_COPIED_BY_KERNEL:
                    raise
                file.seek(0)
                target.seek(0)
        shutil.copyfileobj(file, target)


def _write(
    folder: Path, files: Callable[[Path], Iterable[File]], absolute_texts: Mapping[str, str], resumes: bool
) -> None:
    partial = long_path(folder.parent / f".{folder.name}{PARTIAL}", 0)
    if partial.exists() and not resumes:
        patiently(lambda: shutil.rmtree(partial))  # of an export that was killed
    partial.mkdir(parents=True, exist_ok=resumes)
    try:
        sums: dict[str, str] = {}
        names: dict[str, str] = {}
        for file in files(partial):
            # Windows and macOS take two spellings of a name for one file.
            if other := names.get(file.path.casefold()):
                raise ExportError(f"{file.path} and {other} would be one file")
            names[file.path.casefold()] = file.path
            sums[file.path] = _put(partial, file, resumes)
        for path, left in files_in(partial).items():
            if path not in sums:
                left.unlink()
        _put(partial, File(CHECKSUMS, checksum_lines(sums)))
        for name, text in absolute_texts.items():
            _put(partial, File(f"{ABSOLUTE}/{name}", text.encode()))
        replace(partial, folder)
    except BaseException:
        if not resumes:
            shutil.rmtree(partial, ignore_errors=True)
        raise


def _put(folder: Path, file: File, anew: bool = False) -> str:
    target = long_path(folder / file.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if anew:
        target.unlink(missing_ok=True)
    with writing(target), open(target, "xb") as out:
        if isinstance(file.content, bytes):
            out.write(file.content)
        else:
            file.content(out)
    digest = sha256_of_file(target)
    if file.sha256 not in ("", digest):
        raise ExportError(f"picture of image {file.of} is not the one the set lists: {file.path}")
    return digest


def _write_missing(folder: Path, absolute_texts: Mapping[str, str]) -> list[str]:
    """Write the absolute texts that are missing; notes about those that cannot be kept up to date."""
    notes = []
    for name, text in absolute_texts.items():
        path = f"{ABSOLUTE}/{name}"
        target = long_path(folder / path)
        if any(links_out(folder, [path])):
            notes.append(f"{path} is a link out of the folder")
        elif not target.exists():
            _put(folder, File(path, text.encode()))
        elif target.read_bytes() != text.encode():
            notes.append(f"{path} was edited, or the folder was moved; delete it to have it written again")
    return notes


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in files_in(folder).values())


def files_in(folder: Path) -> dict[str, Path]:
    """Every file below the folder, links among them, by its path from there, sorted."""
    root = long_path(folder, 0)
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if not path.is_dir()}
