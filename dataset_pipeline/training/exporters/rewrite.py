"""Rewriting an exported folder in place: other captions or multiplies, the same pictures.

Only the folder is needed. First the new manifest is written as `manifest.next.json`; then each file is replaced in one
step, checksums and manifest last, so that the next call finishes a rewrite that was killed. Nothing that a person wrote
is lost: a file that differs from its checksum and from its new content is left as it is and listed, and the checksums
hold its new content.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_pipeline.base.file_names import sha256_of_file
from dataset_pipeline.base.paths import long_path, patiently, replace, write_whole
from dataset_pipeline.training.exporters.documents import MANIFEST, Profile, documents_of
from dataset_pipeline.training.exporters.exported_folder import (
    ExportedSet,
    Rows,
    check_links,
    missing_pictures,
    read_set,
)
from dataset_pipeline.training.exporters.folder import (
    ABSOLUTE,
    CHECKSUMS,
    ExportError,
    File,
    checksum_lines,
    checksums_in,
    within,
)
from dataset_pipeline.training.exporters.image_set import TRAIN, ImageSet
from dataset_pipeline.training.exporters.trainer_caches import stale_caches

NEXT = "manifest.next.json"
PARTIAL = ".partial"
SOMEWHERE = "/dataset-pipeline/somewhere"  # placeholder for an unknown path of the folder


@dataclass(frozen=True)
class RewriteReport:
    """What a rewrite did.

    images: number in the set. captions, multiplies: ids of the images whose caption or multiply changed. written:
    number of files. left: files that a person changed, left as they are. renamed: folders, `<before> -> <after>`.
    stale: trainers' caches of captions and folders that changed. dropped: ids of images whose pictures are missing.
    finished: whether a rewrite that was killed had to be finished first.
    """

    folder: Path
    images: int
    captions: frozenset[str]
    multiplies: frozenset[str]
    written: int
    left: tuple[str, ...]
    renamed: tuple[str, ...]
    stale: tuple[str, ...]
    dropped: tuple[str, ...]
    finished: bool


@dataclass(frozen=True)
class Moves:
    """What lies elsewhere than before. folders: {before: after}, with all that is in them. pictures: {(folder, stem of
    the file): folder after}, regularization pictures with the files of their stem."""

    folders: Mapping[str, str]
    pictures: Mapping[tuple[str, str], str]

    def of(self, path: str) -> str:
        """Where a file of the set lies after them."""
        parts = PurePosixPath(path)
        folder = str(parts.parent)
        return f"{self.pictures.get((folder, parts.stem)) or self.folders.get(folder, folder)}/{parts.name}"

    @property
    def told(self) -> list[str]:
        """`<folder before> -> <folder after>`, and how many pictures where not all went."""
        counts = Counter((folder, after) for (folder, _), after in self.pictures.items())
        single = [f"{before} -> {after} ({count} pictures)" for (before, after), count in sorted(counts.items())]
        return [f"{before} -> {after}" for before, after in self.folders.items()] + single

    @property
    def touched(self) -> set[str]:
        """The folders that are called otherwise now, or hold other pictures than before."""
        return {*self.folders.values(), *self.pictures.values(), *(folder for folder, _ in self.pictures)}


def rewrite(
    folder: Path,
    change: Callable[[Rows, Mapping[str, Any]], tuple[Rows, Mapping[str, Any]]],
    drop_missing: bool = False,
) -> RewriteReport:
    """Rewrite the folder with the rows and recipe that `change(rows, recipe)` returns; a rewrite that was killed is
    finished first.

    drop_missing: remove images whose pictures are missing. Pictures are read only from shards. Raises ExportError, and
    then the folder is unchanged.
    """
    folder = folder.absolute()
    finished = _finish(folder) if within(folder, NEXT, str(folder)).exists() else None
    found = read_set(folder)
    dropped = missing_pictures(found)
    if dropped and (found.has_shards or not drop_missing):
        what = "copy the folder again" + ("" if found.has_shards else ", or drop these images with --drop-missing")
        raise ExportError(f"{len(dropped)} pictures are not in {folder}, the first is that of {dropped[0]}: {what}")
    _check_untouched(found)
    rows = [row for row in found.rows if row["image_id"] not in set(dropped)]
    if dropped and not any(row["split"] == TRAIN and not row["is_reg"] for row in rows):
        raise ExportError(f"no picture to train on is left in {folder}: copy the folder again")
    images = found.image_set(*change(rows, found.recipe))
    places = found.profile.places(images)
    masks = found.profile.masks(images, places) if found.profile.masks and images.has_masks else {}
    moved = _moves(found, places, masks)
    _check_free(folder, moved)
    _expected(found, images, moved)
    documents = documents_of(found.profile_name, found.profile, images, places)
    _replace(folder, NEXT, documents.texts[MANIFEST].encode())
    done = _finish(folder)
    if finished is None:
        return done
    return RewriteReport(
        folder,
        done.images,
        captions=finished.captions | done.captions,
        multiplies=finished.multiplies | done.multiplies,
        written=finished.written + done.written,
        left=done.left,
        renamed=finished.renamed + done.renamed,
        stale=tuple(sorted({*finished.stale, *done.stale})),
        dropped=finished.dropped + done.dropped,
        finished=True,
    )


def _check_untouched(found: ExportedSet) -> None:
    """Check that the manifest and the shards are as they were written. Raises ExportError."""
    try:
        sums = checksums_in(found.folder)
    except (OSError, UnicodeDecodeError):
        raise ExportError(f"{found.folder / CHECKSUMS} cannot be read: copy the folder again") from None
    shards = {path.partition("#")[0] for path in found.places.values()} if found.has_shards else set()
    for path in (MANIFEST, *sorted(shards)):
        if sums.get(path) != sha256_of_file(within(found.folder, path, str(found.folder))):
            raise ExportError(f"{found.folder / path} was changed since the set was written: copy the folder again")


def _check_free(folder: Path, moved: Moves) -> None:
    for old, new in moved.folders.items():
        if _at(folder, old).exists() and _at(folder, new).exists():
            raise ExportError(f"{old} shall be called {new}, but that is there too: move one of them out of {folder}")
    for old, new in sorted({(old, new) for (old, _), new in moved.pictures.items()}):
        stems = {stem for (there, stem), after in moved.pictures.items() if (there, after) == (old, new)}
        if both := {name for name in _names(folder, old) & _names(folder, new) if _stem(name) in stems}:
            raise ExportError(f"{min(both)} is in {old} and in {new}: move one of them out of {folder}")


def _names(folder: Path, path: str) -> set[str]:
    there = _at(folder, path)
    return {found.name for found in there.iterdir()} if there.is_dir() else set()


def _stem(name: str) -> str:
    """The stem of a picture's file, which has neither dot nor underscore, in the name of one that belongs to it."""
    return re.split(r"[._]", name, maxsplit=1)[0]


def _finish(folder: Path) -> RewriteReport:
    """Bring the folder to the state of `manifest.next.json`. A killed rewrite may have done any of the steps."""
    before, after = read_set(folder), read_set(folder, NEXT)
    _check_same_images(before, after)
    profile, images, places = after.profile, after.images, after.places
    moved = _moves(before, places, after.masks)
    expected = _expected(after, images, moved)
    renamed = _move(folder, moved)
    documents = documents_of(after.profile_name, profile, images, places)
    texts = {**profile.configs(images, ""), **documents.texts}
    sums: dict[str, str] = dict(after.recipe.get("beside", {}))
    left: list[str] = []
    written = 0
    for file in (*profile.files(images, places), *(File(path, text.encode()) for path, text in texts.items())):
        if file.of:
            sums[file.path] = file.sha256 or expected[file.path]
        elif file.path == MANIFEST:
            sums[MANIFEST] = sha256_of_file(_at(folder, NEXT))
        else:
            sums[file.path], is_new, is_left = _write_file(folder, file, expected.get(file.path, ""))
            written += is_new
            left += [file.path] if is_left else []
    left += _remove(folder, {path: expected[path] for path in expected.keys() - sums.keys()})
    more, edited = _write_absolute(folder, profile, before, images)
    written, left = written + more, sorted(left + edited)
    captions, multiplies = (_changed(before.rows, after.rows, column) for column in ("caption", "multiply"))
    pictures = [PurePosixPath(places[image_id]) for image_id in captions]
    captioned = [path for path in pictures if str(path.with_suffix(".txt")) not in left]
    stale = stale_caches(folder, captioned, moved.touched, {_parent(path) for path in places.values()})
    if checksums_in(folder) != sums:
        _replace(folder, CHECKSUMS, checksum_lines(sums))
    replace(folder / NEXT, folder / MANIFEST)
    patiently(lambda: (folder / PARTIAL).unlink(missing_ok=True))
    return RewriteReport(
        folder,
        len(images.pictures),
        captions,
        multiplies,
        written,
        tuple(left),
        tuple(renamed),
        tuple(stale),
        tuple(sorted(before.places.keys() - places.keys())),
        finished=False,
    )


def _expected(found: ExportedSet, images: ImageSet, moved: Moves) -> dict[str, str]:
    """The checksums by file, once the folders are `moved`; every picture and mask of the set has one, and nothing that
    is read or written for `images` is beyond a link out of the folder. Raises ExportError."""
    folder, where = found.folder, found.folder / CHECKSUMS
    written = checksums_in(folder)
    located = [f"{ABSOLUTE}/{name}" for name in found.profile.configs(images, "")]
    check_links(folder, [*written, *moved.folders, *moved.touched, *located, MANIFEST, NEXT], where)
    expected = {moved.of(path) if "/" in path else path: digest for path, digest in written.items()}
    for place in (*found.places.values(), *found.masks.values()):
        if moved.of(path := place.partition("#")[0]) not in expected:
            raise ExportError(f"{where}: {path} is not in it: copy the folder again")
    return expected


def _check_same_images(before: ExportedSet, after: ExportedSet) -> None:
    """Check that the killed rewrite was of this set: same pictures and concepts. Raises ExportError."""
    facts = ("concept", "split", "is_reg", "place", "file_sha256", "kind", "width_px", "height_px", "mask_path")
    known = {row["image_id"]: row for row in before.rows}
    same = (before.profile_name, before.recipe.get("beside")) == (after.profile_name, after.recipe.get("beside"))
    for row in after.rows:
        there = known.get(row["image_id"], {})
        # A folder that is called by its repeats may be another; the mask in it is the same.
        same &= all(there.get(name, "") == row[name] for name in facts if name != "mask_path")
        same &= bool(there.get("mask_path")) == bool(row["mask_path"])
    if not same:
        raise ExportError(f"{after.folder / NEXT} is of another set than {MANIFEST} beside it: remove it")


def _changed(before: Rows, after: Rows, column: str) -> frozenset[str]:
    values = {row["image_id"]: row[column] for row in before}
    return frozenset(row["image_id"] for row in after if values.get(row["image_id"]) != row[column])


def _moves(before: ExportedSet, places: Mapping[str, str], masks: Mapping[str, str]) -> Moves:
    """What changes its folder when the images lie at `places`."""
    if before.has_shards:
        return Moves({}, {})
    classes = {row["image_id"] for row in before.rows if row["is_reg"]}
    folders: set[tuple[str, str]] = set()
    pictures: dict[tuple[str, str], str] = {}
    for there, here in ((before.places, places), (before.masks, masks)):
        for image_id, path in here.items():
            old, new = PurePosixPath(there[image_id]), _parent(path)
            if image_id not in classes:
                folders.add((str(old.parent), new))
            elif str(old.parent) != new:
                pictures[str(old.parent), old.stem] = new
    return Moves(dict(sorted((old, new) for old, new in folders if old != new)), dict(sorted(pictures.items())))


def _move(folder: Path, moved: Moves) -> list[str]:
    """Move what is not moved yet, pictures with all that trainers wrote of them beside."""
    _check_free(folder, moved)
    for old, new in moved.folders.items():
        if _at(folder, old).exists():
            replace(_at(folder, old), _at(folder, new))
    for old in sorted({old for old, _ in moved.pictures}):
        names = _names(folder, old)
        for name in sorted(names):
            if new := moved.pictures.get((old, _stem(name))):
                target = _at(folder, f"{new}/{name}")
                target.parent.mkdir(parents=True, exist_ok=True)
                replace(_at(folder, f"{old}/{name}"), target)
        if names and not _names(folder, old):
            _at(folder, old).rmdir()
    return moved.told


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _write_file(folder: Path, file: File, expected: str) -> tuple[str, bool, bool]:
    """Write a file's new content, unless a person changed it: (sha256 of the new content, written, left)."""
    target = _at(folder, file.path)
    if isinstance(file.content, bytes):
        digest = hashlib.sha256(file.content).hexdigest()
    else:
        partial = long_path(folder / PARTIAL)
        partial.unlink(missing_ok=True)
        with open(partial, "xb") as out:  # a link there would be followed
            file.content(out)
        digest = sha256_of_file(partial)
    present = sha256_of_file(target) if target.exists() else expected
    if present == digest and target.exists():
        return digest, False, False
    if present != expected:
        return digest, False, True
    if isinstance(file.content, bytes):
        _replace(folder, file.path, file.content)
    else:
        replace(folder / PARTIAL, target)
    return digest, True, False


def _at(folder: Path, path: str) -> Path:
    """The path of a file of the set. Raises ExportError if a link leads out of the folder."""
    return within(folder, path, str(folder))


def _replace(folder: Path, path: str, content: bytes) -> None:
    write_whole(_at(folder, path), content, long_path(folder / PARTIAL))


def _remove(folder: Path, obsolete: Mapping[str, str]) -> list[str]:
    """Remove files that no longer belong to the set; those that a person changed stay and are returned."""
    left = []
    for path, digest in sorted(obsolete.items()):
        target = _at(folder, path)
        if not target.exists():
            continue
        if sha256_of_file(target) != digest:
            left.append(path)
            continue
        patiently(target.unlink)
        if not any(target.parent.iterdir()):
            target.parent.rmdir()
    return left


def _write_absolute(folder: Path, profile: Profile, before: ExportedSet, images: ImageSet) -> tuple[int, list[str]]:
    """Write the files that hold the folder's absolute path, maybe still that of another machine: (written, left)."""
    written, left = 0, []
    templates = [profile.configs(known, SOMEWHERE) for known in (before.images, images)]
    for name, text in profile.configs(images, folder.as_posix()).items():
        target = _at(folder, f"{ABSOLUTE}/{name}")
        present = target.read_text(encoding="utf-8", errors="replace") if target.exists() else None
        if present == text:
            continue
        if present is None or any(_is_of_some_folder(present, known.get(name, "")) for known in templates):
            _replace(folder, f"{ABSOLUTE}/{name}", text.encode())
            written += 1
        else:
            left.append(f"{ABSOLUTE}/{name}")
    return written, left


def _is_of_some_folder(text: str, template: str) -> bool:
    first, *rest = map(re.escape, template.split(SOMEWHERE))
    pattern = first + "".join((r"(.+?)" if number == 0 else r"\1") + piece for number, piece in enumerate(rest))
    return re.fullmatch(pattern, text) is not None
