"""Folders of characters written from a project, and taken back as corrections."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_pipeline.assets.corrections import READERS
from dataset_pipeline.base.errors import PassingError, PermanentError
from dataset_pipeline.base.file_names import is_ignored, is_text, posix_path, sha256_of_file
from dataset_pipeline.base.ids import episode_of, file_name, show_of
from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.base.paths import long_path, write_whole
from dataset_pipeline.characters.appearances import CROP_COLUMNS, KINDS, Crop, people_on
from dataset_pipeline.characters.by_hand import as_said
from dataset_pipeline.corrections.addressing import MATCHED, parts_for
from dataset_pipeline.corrections.answers import KEPT, REJECTED, chosen_by_hand, whos_of
from dataset_pipeline.corrections.events import EVENTS, event_of
from dataset_pipeline.corrections.folder_manifest import NAME, BadManifest, Manifest, Written, manifest_of, to_json
from dataset_pipeline.corrections.folder_places import Lying, unmatched
from dataset_pipeline.corrections.folder_plan import NotTheFolder, Plan, plan, settled
from dataset_pipeline.corrections.folders import Current, Person, folders_for
from dataset_pipeline.corrections.matching import Matcher, matched_rows
from dataset_pipeline.graph.aliases import current_id
from dataset_pipeline.graph.project import correction_log
from dataset_pipeline.images.pictures import PictureError, is_picture, open_picture
from dataset_pipeline.images.resize import pixel_sha256
from dataset_pipeline.orchestration.corrected import what_was_said
from dataset_pipeline.reports.corrections import spoken_of
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.files import StoreError
from dataset_pipeline.store.store import Store

CARD = "READ ME.txt"
CARD_TEXT = f"""Each folder is one character, each picture one person on a still. What you may do here:

  rename a folder                 the character is called so
  move pictures to another one    they show that character
  move all pictures of a folder   the two characters are one
  make a folder, move some there  somebody new, with the name of the folder
  move pictures to _unknown       they do not show that character
  delete pictures                 they stay out of the training set (their still does not)

Then:  dataset-pipeline review import <this folder>

Leave {NAME} as it is: it says what was written here.
"""
BY = "review import"
MAX_FILES = 200_000  # below a folder; whoever names the folder of all his files shall be told
MAX_MANIFEST_BYTES = 500_000_000
LOOKED_AT = 5_000  # strange pictures that are opened to see what they show


class FolderError(PermanentError):
    """The folder cannot be written or read as one of characters; the message says why and what to do."""


@dataclass
class Exported:
    """pictures, characters: how many. unread: by image, why its picture could not be written."""

    folder: str
    pictures: int = 0
    characters: int = 0
    unread: dict[str, str] = field(default_factory=dict)


def export_folders(settings: Settings, store: Store, folder: Path) -> Exported:
    """Write a folder for each character, with a picture of each person on each still. Raises FolderError."""
    current = current_of(settings, store)
    people, paths = _people(store, current)
    if not people:
        raise FolderError(f"nobody was found yet in {store.root}: `{settings.run_command}` first")
    _make_room(settings, store, folder)
    places = folders_for(people, current)
    done = Exported(str(folder), characters=sum(bool(it.character) for it in places.values()))

    def write(person: Person) -> Written | None:
        image = person.images[0]
        try:
            content = store.read_picture(paths[image])
        except (StoreError, FileNotFoundError) as error:
            done.unread[image] = str(error)
            return None
        name = f"{file_name(image)}{PurePosixPath(paths[image]).suffix}"
        file = f"{places[person.show, person.character].path}/{name}"
        write_whole(folder / file, content)
        return Written(file, hashlib.sha256(content).hexdigest(), person.images)

    try:
        files = [it for it in map_all(write, people) if it is not None]
        write_whole(folder / CARD, CARD_TEXT.encode())
        _write_manifest(folder, Manifest(list(places.values()), files))
    except PassingError:  # of the store
        raise
    except OSError as error:
        raise FolderError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from error
    done.pictures = len(files)
    return done


def _people(store: Store, current: Current) -> tuple[list[Person], dict[str, str]]:
    """Everybody on the stills, but for those whom a person rejected; and where the picture of each crop lies."""
    people: list[Person] = []
    paths: dict[str, str] = {}
    for crops in _crops_of_each(store, current.who):
        images = tuple(crop["image_id"] for crop in crops)
        if set(images) - current.rejected:
            people.append(Person(images, show_of(images[0]), current.who[images[0]]))
            paths |= {crop["image_id"]: crop["path"] for crop in crops}
    return people, paths


def _crops_of_each(store: Store, known: Container[str]) -> Iterator[Sequence[Crop]]:
    """Of everybody on the stills, the rows of their crops, the largest first. known: the crops that count."""
    for episode in store.episodes("clusters"):
        table = store.find("crops", episode)
        rows = [] if table is None else table.select([*CROP_COLUMNS, "path"]).to_pylist()
        by_still: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row["kept"] and row["path"] and row["kind"] in KINDS and row["image_id"] in known:
                by_still.setdefault(row["still_id"], []).append(row)
        for _, crops in sorted(by_still.items()):
            yield from people_on(crops)


def _make_room(settings: Settings, store: Store, folder: Path) -> None:
    """See that nothing of a person's is in the way; what was written before and lies as it was is taken away."""
    if not folder.exists() or (folder.is_dir() and not any(long_path(folder, 0).iterdir())):
        return
    if not folder.is_dir() or not (folder / NAME).is_file():
        raise FolderError(f"{folder} is there and was not written by `review export`: name a new or an empty folder")
    before, lying, _ = _read(folder)
    try:
        found = plan(before, lying, current_of(settings, store), "")
        done = not found.said and not found.conflicts
    except NotTheFolder:
        done = False
    if not done:
        raise FolderError(
            f"{folder} was changed by hand: `dataset-pipeline review import` it first, or name another folder"
        )
    written = {it.sha256 for it in before.files}
    ours = {it.file for it in lying if it.sha256 in written}
    paths = list(_files(folder, []))  # as they are spelled on the disk
    for file, path in paths:
        if file in ours:
            path.unlink(missing_ok=True)
    for path in sorted({path.parent for _, path in paths}, key=lambda it: -len(it.parts)):
        if path != long_path(folder, 0) and not any(path.iterdir()):
            path.rmdir()


@dataclass
class Imported:
    """said: the events, as plain JSON, ids and all; with a trial run as they would be. The rest as in `Plan`."""

    said: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @property
    def as_dict(self) -> dict[str, Any]:
        return vars(self)


def import_folders(settings: Settings, store: Store, folder: Path, only_tell: bool = False) -> Imported:
    """Say what a person meant by how the folder lies. only_tell: write nothing. Raises FolderError."""
    manifest, lying, passed_over = _read(folder)
    manifest = _of_today(store, manifest)
    current = current_of(settings, store)
    if manifest.files and not any(it.images[0] in current.who for it in manifest.files):
        raise FolderError(f"{folder} is of another project: none of its pictures is in {store.root}")
    lying = _with_images(store, folder, lying, set(unmatched(manifest, lying)))
    when = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    try:
        found = plan(manifest, lying, current, when)
    except NotTheFolder as error:
        raise FolderError(f"{folder}: {error}") from None
    done = Imported(found.said, found.conflicts, [*passed_over, *found.notices], found.foreign)
    _check(found, done)
    if only_tell:
        return done
    try:
        events = [event_of(it) for it in _with_pictures(store, done.said)]
        written = correction_log(settings).append(events, by=BY)
        done.said = [{**it, "id": event.id} for it, event in zip(done.said, written, strict=True)]
        _write_manifest(folder, settled(found, [event.id for event in written]))
    except OSError as error:
        raise FolderError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from error
    return done


def _check(found: Plan, done: Imported) -> None:
    """Stop before anything is said if something of it cannot be, as a name that no character may have."""
    for it in found.said:
        try:
            event_of(it)
        except ValueError as error:
            what = it.get("name") or it.get("character") or it["do"]
            raise FolderError(
                f"{what!r} cannot be said ({error}): rename that folder, nothing was taken over"
            ) from None


def _with_pictures(store: Store, said: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """With all that is known of the pictures, so that they are found again."""
    images = {image for it in said for name in EVENTS[it["do"]].PICTURES for image in it.get(name, ())}
    known = {it.image: it.model_dump(exclude_defaults=True) for it in spoken_of(store, sorted(images))}
    return [
        {**it, **{name: [known[image] for image in it[name]] for name in EVENTS[it["do"]].PICTURES if name in it}}
        for it in said
    ]


def current_of(settings: Settings, store: Store) -> Current:
    """Who is who by the newest run and all that was said since. Raises StoreError."""
    said = what_was_said(settings, store)
    current = Current(in_force={event.id for event in said.in_force})
    gallery = store.find("character_gallery")
    heads: dict[str, str] = {}
    for row in [] if gallery is None else gallery.select(["character", "show", "name", "merged"]).to_pylist():
        name = "" if row["name"] == row["character"] else row["name"]
        current.names[row["character"]] = name or current.names.get(row["character"], "")
        current.shows[row["character"]] = row["show"]
        heads |= dict.fromkeys(row["merged"] or (), row["character"])
    rows = []
    for episode in store.episodes("clusters"):
        rows += list(_said_rows(store, episode, said.addressed.rows.get(episode, ()), current.in_force))
        for row in store.read("clusters", episode).select(["image_id", "characters"]).to_pylist():
            if "#" in row["image_id"]:
                current.who[row["image_id"]] = next(iter(row["characters"]), "")
    whos = whos_of(row for row in rows if row["reader"] == "character_gallery")
    chosen = chosen_by_hand(row for row in rows if row["reader"] == "selection")
    whos.merged = {**heads, **whos.merged}
    # What is said of one crop of somebody holds for all of theirs on the still.
    people = [[crop["image_id"] for crop in crops] for crops in _crops_of_each(store, current.who)] if rows else []
    people += [[crop] for crop in sorted(current.who.keys() - {crop for crops in people for crop in crops})]
    number = {crop: i for i, crops in enumerate(people) for crop in crops}
    told = as_said([current.who[crops[0]] or None for crops in people], whos, number)
    current.heads = told.heads
    there = {*current.names, *whos.given.values()}
    current.names |= {it: whos.names.get(it, "") for it in whos.given.values() if it not in current.names}
    found_again = {told.heads[it]: name for it, name in whos.names.items() if it not in there and it in told.heads}
    current.names |= {it: name for it, name in (found_again | whos.names).items() if it in there}
    current.shows |= {it: show_of(image) for image, it in whos.given.items() if it not in current.shows}
    current.banned = {image: {current.head(it) for it in them} | them for image, them in whos.banned.items()}
    current.who = {crop: told.owners[i] or "" for crop, i in number.items()}
    current.rejected = {image for image, what in chosen.items() if what == REJECTED}
    current.kept = {image for image, what in chosen.items() if what == KEPT}
    return current


def _said_rows(store: Store, episode: str, rows: Sequence[Mapping[str, Any]], in_force: Set[str]) -> Iterator[dict]:
    """What was said of an episode's pictures: as the newest run found them, and what was said since by id and box."""
    table = store.find("matched_corrections", episode)
    found = [row for row in ([] if table is None else table.to_pylist()) if row["event"] in in_force]
    yield from found
    known = {row["event"] for row in found}
    parts = [part for part in parts_for(MATCHED, rows) if part.event not in known]
    images = store.find("images", episode) if parts else None
    if images is not None:
        pixels = dict(zip(*(images[it].to_pylist() for it in ("image_id", "pixel_sha256")), strict=True))
        pointer = store.pointer("video", episode)
        matcher = Matcher(pixels, pointer.provenance.fingerprint if pointer else "", lambda _: {})
        yield from matched_rows(parts, matcher, READERS)


def _of_today(store: Store, manifest: Manifest) -> Manifest:
    """The manifest with today's ids of images whose episode was renamed since."""
    today = {episode: current_id(store, episode) for episode in {episode_of(it.images[0]) for it in manifest.files}}
    files = [
        Written(
            it.file,
            it.sha256,
            tuple(f"{today[episode_of(image)]}{image[len(episode_of(image)) :]}" for image in it.images),
            it.rejected,
        )
        for it in manifest.files
    ]
    return Manifest(manifest.folders, files)


def _read(folder: Path) -> tuple[Manifest, list[Lying], list[str]]:
    """The manifest, the files that lie there, and what of the folder was passed over, and why. Raises FolderError."""
    place = long_path(folder / NAME)
    try:
        if place.is_symlink() or place.stat().st_size > MAX_MANIFEST_BYTES:
            raise FolderError(f"{place} is a link, or larger than any that was written: export again")
        manifest = manifest_of(place.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise FolderError(f"{folder} has no {NAME}: name a folder that `review export` wrote") from None
    except (BadManifest, UnicodeDecodeError) as error:
        raise FolderError(f"{place} is none that was written: {error}. Export again into another folder") from None
    except OSError as error:
        raise FolderError(f"{place} cannot be read: {error.strerror or error}") from error
    passed_over: list[str] = []
    lying = [it for it in map_all(lambda it: _content(*it, passed_over), list(_files(folder, passed_over))) if it]
    return manifest, lying, sorted(passed_over)


def _files(folder: Path, passed_over: list[str]) -> Iterator[tuple[str, Path]]:
    root, count = long_path(folder, 0), 0

    def told(error: OSError) -> None:
        passed_over.append(f"{error.filename}: cannot be read: {error.strerror or error}")

    for place, folders, names in os.walk(root, onerror=told):
        below = Path(place).relative_to(root)
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        passed_over += [f"{(below / name).as_posix()!r}: is a link, and links are not followed" for name in links]
        folders[:] = sorted(name for name in folders if name not in links and not is_ignored(name))
        for name in sorted(names):
            path = Path(place) / name
            if is_ignored(name) or (not below.parts and name in (NAME, CARD)):
                continue
            if not is_text(str(below / name)):
                passed_over.append(f"{str(below / name)!r}: has a name that is no text: rename it")
            elif path.is_symlink() or not path.is_file():
                passed_over.append(f"{posix_path(below / name)}: is a link or no file, and is not read")
            else:
                yield posix_path(below / name), path
                count += 1
        if count > MAX_FILES:
            raise FolderError(f"{folder} holds more than {MAX_FILES} files: name the folder of `review export` alone")


def _content(file: str, path: Path, passed_over: list[str]) -> Lying | None:
    try:
        return Lying(file, sha256_of_file(path))
    except OSError as error:
        passed_over.append(f"{file}: cannot be read: {error.strerror or error}")
        return None


def _with_images(store: Store, folder: Path, lying: Iterable[Lying], strange: set[str]) -> list[Lying]:
    """What strange files show, by their pixels or by their names."""
    looked_at = set(sorted(strange)[:LOOKED_AT])
    pixels: dict[str, str] = {}
    for episode in store.episodes("images") if strange else ():
        table = store.read("images", episode)
        pixels |= dict(zip(*(table[it].to_pylist() for it in ("pixel_sha256", "image_id")), strict=True))
    real = dict(_files(folder, [])) if strange else {}

    def seen(it: Lying) -> Lying:
        path = real.get(it.file)
        if it.file not in looked_at or path is None or not is_picture(path):
            return it
        try:
            return Lying(it.file, it.sha256, pixels.get(pixel_sha256(open_picture(path)), ""))
        except (PictureError, OSError):
            return it

    return map_all(seen, list(lying))


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    write_whole(folder / NAME, to_json(manifest).encode(), durable=True)
