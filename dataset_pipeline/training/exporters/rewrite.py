"""An exported folder made again where it lies: other captions or multiplies, the same pictures.

Nothing but the folder is needed. What it shall become is written down first, whole, as `manifest.next.json`; each file
is then replaced in one step, checksums and manifest last, so that a rewrite that was killed is finished by the next.
Nothing that a person wrote is lost: a file that is neither what the checksums say nor what it shall become is left as
it is and told, and the checksums go on to say what it would be.
"""

from __future__ import annotations

import functools
import hashlib
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.base.paths import links_out, long_path, patiently, replace, write_whole
from dataset_pipeline.training.exporters import PROFILES, load_profile
from dataset_pipeline.training.exporters.documents import MANIFEST, Profile, documents_of
from dataset_pipeline.training.exporters.folder import (
    ABSOLUTE,
    CHECKSUMS,
    ExportError,
    File,
    checksum_lines,
    checksums_in,
    files_in,
    sha256_of,
    within,
)
from dataset_pipeline.training.exporters.image_set import (
    CAPTION_FIELDS,
    REGULARIZATION,
    TRAIN,
    ImageSet,
    image_set,
)
from dataset_pipeline.training.exporters.listed import listed_in

NEXT = "manifest.next.json"
PARTIAL = ".partial"
SOMEWHERE = "/dataset-pipeline/somewhere"  # stands for a folder's path, where that is not known
# Trainers' caches of encoded captions: kohya's beside the pictures, ai-toolkit's in folders of their own. Their names
# begin with the picture's, up to an underscore, which our names do not have.
TEXT_CACHE_ENDS, TEXT_CACHE_FOLDER = ("_te.npz", "_te_outputs.npz"), "_t_e_cache"
CAPTION_CACHE = "metadata_cache.json"  # kohya's, of all captions in its folder

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Rewritten:
    """images: of the set. captions, multiplies: the ids of those of which that changed. written: files. left: files
    that a person changed, left as they are. renamed: folders, `<before> -> <after>`. stale: trainers' caches of
    captions that changed. dropped: images whose pictures were gone. finished: a rewrite that was killed had to be
    finished first."""

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
class ExportedSet:
    """A set as a manifest tells of it. rows: as those of `training_set`, with the file in the folder as `path`. masks:
    the file of each mask that lies in the folder by itself or in a shard, by image id."""

    folder: Path
    profile_name: str
    profile: Profile
    about: Mapping[str, Any]
    recipe: Mapping[str, Any]
    rows: Rows
    masks: Mapping[str, str]

    @property
    def places(self) -> dict[str, str]:
        return {row["image_id"]: row["path"] for row in self.rows}

    @functools.cached_property
    def images(self) -> ImageSet:
        return self.image_set(self.rows, self.recipe)

    def image_set(self, rows: Rows, recipe: Mapping[str, Any]) -> ImageSet:
        profile = self.profile
        local_path = (lambda path: None) if profile.inside else (lambda path: long_path(self.folder / path))
        return image_set(rows, self.read, local_path, self.about, profile.title, profile.keeps_mark, recipe)

    def read(self, place: str) -> bytes:
        """The bytes of a picture or mask of the folder. Raises ExportError for what a shard does not hold."""
        path, _, name = place.partition("#")
        target = within(self.folder, path, f"{self.folder / MANIFEST}")
        if not self.profile.inside:
            return target.read_bytes()
        try:
            return self.profile.inside(target, name)
        except (KeyError, ValueError, OSError, tarfile.TarError, pa.ArrowException) as error:
            raise ExportError(f"{target} does not hold {name} ({error!r}): copy the folder again") from None


def read_set(folder: Path, document: str = MANIFEST) -> ExportedSet:
    """The set in an exported folder. Raises ExportError if it is none, or none that can be made again."""
    listed = listed_in(folder, document)
    profile = load_profile(listed["profile"]) if listed["profile"] in PROFILES else None
    if profile is None or listed["format"] != profile.format or "recipe" not in listed:
        raise ExportError(f"{folder} was exported by another version of dataset-pipeline: export the set again")
    found = ExportedSet(
        folder,
        listed["profile"],
        profile,
        listed["about"],
        listed["recipe"],
        [_row(entry) for entry in listed["images"]],
        {entry["image_id"]: entry["mask_file"] for entry in listed["images"] if "mask_file" in entry},
    )
    _check_layout(found, document)
    return found


def _check_layout(found: ExportedSet, document: str) -> None:
    """That all lies where the trainer looks for it, and nothing beyond a link out of the folder. Raises ExportError."""
    where, profile = found.folder / document, found.profile
    places = profile.places(found.images)
    masks = profile.masks(found.images, places) if profile.masks and found.images.has_masks else {}
    for listed, wanted in ((found.places, places), (found.masks, masks)):
        for image_id in sorted(listed.keys() | wanted.keys()):
            there, here = listed.get(image_id, "nowhere"), wanted.get(image_id, "nowhere")
            if there != here:
                raise ExportError(
                    f"{where}: image {image_id} lies at {there!r}, and {profile.title} looks for it at {here!r}: "
                    "copy the folder again"
                )
    _check_links(found.folder, {path.partition("#")[0] for path in (*places.values(), *masks.values())}, where)


def _check_links(folder: Path, paths: Iterable[str], where: Path) -> None:
    for path in links_out(folder, paths):
        raise ExportError(f"{where}: {path!r} is a link out of {folder}: put what it leads to in its place")


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    image_id = entry["image_id"]
    copied = {name: entry[name] for name in ("kind", "width_px", "height_px", "quality", "concept", "multiply")}
    is_reg = entry["part"] == REGULARIZATION
    return {
        "image_id": image_id,
        "episode": episode_of(image_id),
        "show": show_of(image_id),
        **copied,
        "caption": entry["caption"],
        "path": entry["file"],
        "file_sha256": entry["sha256"],
        "split": TRAIN if is_reg else entry["part"],
        "is_reg": is_reg,
        "mask_path": entry.get("mask_file", MANIFEST) if entry.get("masked") else "",
        **CAPTION_FIELDS,
        **entry["said"],
    }


def rewrite(
    folder: Path,
    change: Callable[[Rows, Mapping[str, Any]], tuple[Rows, Mapping[str, Any]]],
    drop_missing: bool = False,
) -> Rewritten:
    """Make the folder what `change(rows, recipe)` makes of its set; a rewrite that was killed is finished first.

    drop_missing: images whose pictures are gone leave the set. Pictures are not read, but for those in shards. Raises
    ExportError, and then the folder is as it was.
    """
    folder = folder.absolute()
    finished = _finish(folder) if within(folder, NEXT, str(folder)).exists() else None
    found = read_set(folder)
    dropped = _missing(found)
    if dropped and (found.profile.inside or not drop_missing):
        what = "copy the folder again" + ("" if found.profile.inside else ", or drop these images with --drop-missing")
        raise ExportError(f"{len(dropped)} pictures are not in {folder}, the first is that of {dropped[0]}: {what}")
    _check_untouched(found)
    rows = [row for row in found.rows if row["image_id"] not in set(dropped)]
    if dropped and not any(row["split"] == TRAIN and not row["is_reg"] for row in rows):
        raise ExportError(f"no picture to train on is left in {folder}: copy the folder again")
    images = found.image_set(*change(rows, found.recipe))
    places = found.profile.places(images)
    masks = found.profile.masks(images, places) if found.profile.masks and images.has_masks else {}
    moved = _moved_folders(found, places, masks)
    _check_free(folder, moved)
    _expected(found, images, moved)
    documents = documents_of(found.profile_name, found.profile, images, places)
    _replace(folder, NEXT, documents.texts[MANIFEST].encode())
    done = _finish(folder)
    if finished is None:
        return done
    return Rewritten(
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
    """That what the set is made again from is as it was written. Raises ExportError."""
    try:
        sums = checksums_in(found.folder)
    except (OSError, UnicodeDecodeError):
        raise ExportError(f"{found.folder / CHECKSUMS} cannot be read: copy the folder again") from None
    shards = {path.partition("#")[0] for path in found.places.values()} if found.profile.inside else set()
    for path in (MANIFEST, *sorted(shards)):
        if sums.get(path) != sha256_of(within(found.folder, path, str(found.folder))):
            raise ExportError(f"{found.folder / path} was changed since the set was written: copy the folder again")


def _check_free(folder: Path, moved: Mapping[str, str]) -> None:
    for old, new in moved.items():
        if _at(folder, old).exists() and _at(folder, new).exists():
            raise ExportError(f"{old} shall be called {new}, but that is there too: move one of them out of {folder}")


def _missing(found: ExportedSet) -> list[str]:
    there: dict[str, bool] = {}
    missing = []
    for image_id, place in found.places.items():
        path = place.partition("#")[0] if found.profile.inside else place
        if path not in there:
            there[path] = long_path(found.folder / path).is_file()
        if not there[path]:
            missing.append(image_id)
    return missing


def _finish(folder: Path) -> Rewritten:
    """Bring the folder to what `manifest.next.json` says. Every step may have been done before."""
    before, after = read_set(folder), read_set(folder, NEXT)
    _check_same_images(before, after)
    profile, images, places = after.profile, after.images, after.places
    moved = _moved_folders(before, places, after.masks)
    expected = _expected(after, images, moved)
    renamed = _rename(folder, moved)
    documents = documents_of(after.profile_name, profile, images, places)
    texts = {**profile.configs(images, ""), **documents.texts}
    sums: dict[str, str] = dict(after.recipe.get("beside", {}))
    left: list[str] = []
    written = 0
    for file in (*profile.files(images, places), *(File(path, text.encode()) for path, text in texts.items())):
        if file.of:
            sums[file.path] = file.sha256 or expected[file.path]
        elif file.path == MANIFEST:
            sums[MANIFEST] = sha256_of(_at(folder, NEXT))
        else:
            sums[file.path], is_new, is_left = _renew(folder, file, expected.get(file.path, ""))
            written += is_new
            left += [file.path] if is_left else []
    left += _remove(folder, {path: expected[path] for path in expected.keys() - sums.keys()})
    more, edited = _renew_located(folder, profile, before, images)
    written, left = written + more, sorted(left + edited)
    captions, multiplies = (_changed(before.rows, after.rows, column) for column in ("caption", "multiply"))
    beside = {image_id: PurePosixPath(places[image_id]).with_suffix(".txt") for image_id in captions}
    stale = _stale_caches(folder, {path.stem for path in beside.values() if str(path) not in left})
    if checksums_in(folder) != sums:
        _replace(folder, CHECKSUMS, checksum_lines(sums))
    replace(folder / NEXT, folder / MANIFEST)
    patiently(lambda: (folder / PARTIAL).unlink(missing_ok=True))
    return Rewritten(
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


def _expected(found: ExportedSet, images: ImageSet, moved: Mapping[str, str]) -> dict[str, str]:
    """The checksums by file, once the folders are `moved`; every picture and mask of the set has one, and nothing that
    is read or written for `images` is beyond a link out of the folder. Raises ExportError."""
    folder, where = found.folder, found.folder / CHECKSUMS
    written = checksums_in(folder)
    located = [f"{ABSOLUTE}/{name}" for name in found.profile.configs(images, "")]
    _check_links(folder, [*written, *moved, *moved.values(), *located, MANIFEST, NEXT], where)
    expected = {_moved(path, moved): digest for path, digest in written.items()}
    for place in (*found.places.values(), *found.masks.values()):
        if _moved(path := place.partition("#")[0], moved) not in expected:
            raise ExportError(f"{where}: {path} is not in it: copy the folder again")
    return expected


def _check_same_images(before: ExportedSet, after: ExportedSet) -> None:
    """That a rewrite that was killed was one of this set: pictures and concepts are the same. Raises ExportError."""
    facts = ("concept", "split", "is_reg", "file_sha256", "kind", "width_px", "height_px", "mask_path")
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


def _moved_folders(before: ExportedSet, places: Mapping[str, str], masks: Mapping[str, str]) -> dict[str, str]:
    """Folders that are called otherwise when the images lie at `places`: {before: after}."""
    if before.profile.inside:
        return {}
    pairs = set()
    for there, here in ((before.places, places), (before.masks, masks)):
        pairs |= {(_parent(there[image_id]), _parent(path)) for image_id, path in here.items()}
    return dict(sorted((old, new) for old, new in pairs if old != new))


def _rename(folder: Path, moved: Mapping[str, str]) -> list[str]:
    _check_free(folder, moved)
    for old, new in moved.items():
        if _at(folder, old).exists():
            replace(_at(folder, old), _at(folder, new))
    return [f"{old} -> {new}" for old, new in moved.items()]


def _moved(path: str, moved: Mapping[str, str]) -> str:
    return f"{moved[_parent(path)]}/{PurePosixPath(path).name}" if _parent(path) in moved else path


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _renew(folder: Path, file: File, expected: str) -> tuple[str, bool, bool]:
    """Give a file its new content, unless a person changed it: (sha256 it should have, written, left)."""
    target = _at(folder, file.path)
    if isinstance(file.content, bytes):
        digest = hashlib.sha256(file.content).hexdigest()
    else:
        partial = long_path(folder / PARTIAL)
        partial.unlink(missing_ok=True)
        with open(partial, "xb") as out:  # a link there would be followed
            file.content(out)
        digest = sha256_of(partial)
    present = sha256_of(target) if target.exists() else expected
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
    """Where a file of the set lies. Raises ExportError where a link leads out of the folder."""
    return within(folder, path, str(folder))


def _replace(folder: Path, path: str, content: bytes) -> None:
    write_whole(_at(folder, path), content, long_path(folder / PARTIAL))


def _remove(folder: Path, obsolete: Mapping[str, str]) -> list[str]:
    """Remove files that are part of the set no more, but for those that a person changed, which are returned."""
    left = []
    for path, digest in sorted(obsolete.items()):
        target = _at(folder, path)
        if not target.exists():
            continue
        if sha256_of(target) != digest:
            left.append(path)
            continue
        patiently(target.unlink)
        if not any(target.parent.iterdir()):
            target.parent.rmdir()
    return left


def _renew_located(folder: Path, profile: Profile, before: ExportedSet, images: ImageSet) -> tuple[int, list[str]]:
    """Files with the folder's absolute path, which may be that of the place it was copied from: (written, left)."""
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


def _stale_caches(folder: Path, stems: set[str]) -> Iterable[str]:
    found = []
    for name, path in files_in(folder).items():
        is_text = path.name.endswith(TEXT_CACHE_ENDS) or path.parent.name == TEXT_CACHE_FOLDER
        if (is_text and path.name.partition("_")[0] in stems) or (stems and path.name == CAPTION_CACHE):
            found.append(name)
    return found
