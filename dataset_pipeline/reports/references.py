"""What the references of a project found, and what would be good ones: for a person to look at and to decide.

Looks at the tables as they are and at the pictures in the folder; runs no model but the comparison of vectors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dataset_pipeline.base.ids import check_image, episode_of, file_name, show_of
from dataset_pipeline.base.paths import fault_of_path, write_whole
from dataset_pipeline.characters.appearances import CROP_COLUMNS, Appearances, appearances_of
from dataset_pipeline.characters.proposals import coverage_of, proposed_names
from dataset_pipeline.characters.references import name_appearances, reference_set, traits_of
from dataset_pipeline.characters.vectors import vectors_by_id
from dataset_pipeline.settings import Settings
from dataset_pipeline.settings.reference_folders import NEME_PROJECT, References, fault_of_name, references_in
from dataset_pipeline.store.store import Store, StoreError
from dataset_pipeline.tags.scores import tag_rows

DOUBTFUL = 3  # crops of each name


@dataclass(frozen=True)
class OfName:
    """A name and its references. crops: how many bear it. doubtful, proposed: ids of crops."""

    name: str
    files: tuple[str, ...]
    crops: int = 0
    doubtful: tuple[str, ...] = ()
    proposed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unnamed:
    """A character without a name. proposed_name: what the tagger calls it on `share` of its crops; empty if nothing."""

    character: str
    show: str
    crops: int
    proposed_name: str = ""
    share: float = 0.0


@dataclass
class Account:
    """What there is of references. measured: whether the newest run knew all of them."""

    folder: str
    names: list[OfName] = field(default_factory=list)
    noise: tuple[str, ...] = ()
    passed_over: dict[str, str] = field(default_factory=dict)
    unnamed: list[Unnamed] = field(default_factory=list)
    measured: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def account_of(settings: Settings, store: Store, identity: Any) -> Account:
    """Look at the folder and the store. identity: the resource of that model."""
    found = references_in(settings.references.folder)
    files: dict[str, list[str]] = defaultdict(list)
    for it in found.pictures:
        files[it.name].append(it.file)
    account = Account(
        str(settings.references.folder), noise=tuple(files.pop("", ())), passed_over=dict(found.passed_over)
    )
    account.measured = _is_measured(found, store, account.passed_over)
    told = _told_by_name(settings, store, identity)
    account.names = [OfName(name, tuple(files[name]), *told.get(name, (0, (), ()))) for name in sorted(files)]
    account.unnamed = list(_unnamed(settings, store))
    return account


def _is_measured(found: References, store: Store, passed_over: dict[str, str]) -> bool:
    table = store.find("reference_embeddings")
    known = set() if table is None else set(zip(table["file"].to_pylist(), table["sha256"].to_pylist(), strict=True))
    pointer = store.pointer("reference_embeddings")
    told = " ".join(pointer.provenance.faults.values()) if pointer else ""
    new = {it.file for it in found.pictures if (it.file, it.sha256) not in known}
    failed = {file for file in new if f"{file}: " in told}
    passed_over.update(dict.fromkeys(failed, "could not be read or measured by the last run"))
    return not new - failed and len(known) == len(found.pictures) - len(failed)


def _told_by_name(
    settings: Settings, store: Store, identity: Any
) -> dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]]:
    """Crops, doubtful and proposed ones of each name, over all shows."""
    table = store.find("reference_embeddings")
    if table is None or not table.num_rows:
        return {}
    sha256 = identity.fingerprint().sha256
    references, limit = reference_set(table, sha256), settings.named_characters.max_difference or identity.threshold
    found: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {}
    for people, tags in _appearances(store, sha256):
        named = name_appearances(
            people.vectors,
            traits_of(people, tags, references.tags),
            people.rivals,
            references,
            identity.differences,
            identity.threshold,
            settings.named_characters,
        )
        if not len(people):
            continue
        for it in coverage_of(
            named,
            np.asarray(identity.differences(people.vectors, references.vectors)),
            lambda numbers, people=people: np.asarray(identity.differences(people.vectors[numbers])),
            references,
            limit,
            settings.named_characters.min_margin,
            DOUBTFUL,
        ):
            crops, doubtful, proposed = found.get(it.name, (0, (), ()))
            found[it.name] = (
                crops + sum(len(people.crops[i]) for i in it.appearances),
                doubtful + tuple(people.ids[i] for i in it.doubtful),
                proposed + tuple(people.ids[i] for i in it.proposed),
            )
    return found


def _appearances(store: Store, model_sha256: str) -> Iterator[tuple[Appearances, Any]]:
    """The people of each show, with the scores of its tags."""
    shows: dict[str, list[str]] = defaultdict(list)
    for episode in sorted(set(store.episodes("crop_embeddings")) & set(store.episodes("tag_scores"))):
        shows[show_of(episode)].append(episode)
    for _, episodes in sorted(shows.items()):
        crops = store.read_many("crops", episodes).select(CROP_COLUMNS).to_pylist()
        vectors = vectors_by_id(store.read_many("crop_embeddings", episodes), model_sha256)
        yield appearances_of(crops, vectors), store.read_many("tag_scores", episodes)


def _unnamed(settings: Settings, store: Store) -> Iterator[Unnamed]:
    gallery = store.find("character_gallery")
    rows = [] if gallery is None else gallery.select(["character", "show", "name", "crops"]).to_pylist()
    without = {row["character"] for row in rows if row["name"] == row["character"]}
    tags = {
        row["image_id"]: row["tags"]
        for episode in store.episodes("tag_scores")
        for row in tag_rows(store.read("tag_scores", episode))
        if "#" in row["image_id"]
    }
    shown = [
        (row["characters"][0], tags[row["image_id"]])
        for episode in store.episodes("clusters")
        for row in store.read("clusters", episode).to_pylist()
        if row["image_id"] in tags and len(row["characters"]) == 1 and row["characters"][0] in without
    ]
    proposed = proposed_names(shown, settings.tag_thresholds.character)
    for row in sorted(rows, key=lambda row: (-row["crops"], row["character"])):
        if row["character"] in without:
            name, share = proposed.get(row["character"], ("", 0.0))
            yield Unnamed(row["character"], row["show"], row["crops"], name, share)


class NotAdded(ValueError):
    """A crop that cannot become a reference; the message says why."""


def add_references(
    settings: Settings, store: Store, wanted: Sequence[str], name: str = "", outfit: str = ""
) -> list[tuple[str, Path, bool]]:
    """Copy crops into the folder of references; returns each one's id, its file, and whether that is new.

    wanted: ids of crops, or of characters, whose most typical crops are meant. name: whom they show; that which they
    bear if it is empty. Nothing is written unless all can be. Raises NotAdded.
    """
    folder = settings.references.folder
    if (folder / NEME_PROJECT).is_file():
        raise NotAdded(f"{folder} is a project of neme-anima, into which nothing is written: use neme-anima for it")
    gallery = store.find("character_gallery")
    rows = {row["character"]: row for row in ([] if gallery is None else gallery.to_pylist())}
    crops = [crop for it in wanted for crop in (rows[it]["exemplar_ids"][:DOUBTFUL] if it in rows else [it])]
    planned = []
    for crop in crops:
        content = _bytes_of(store, crop)
        whom = name or _name_of(store, rows, crop)
        parts = [part for part in (whom, outfit) if part]
        if fault := fault_of_name(whom) or next(filter(None, map(_fault_of_folder, parts)), ""):
            raise NotAdded(fault)
        planned.append((crop, folder.joinpath(*parts, f"{file_name(crop)}.png"), content))
    return [(crop, path, _put(path, content)) for crop, path, content in planned]


def _name_of(store: Store, rows: dict[str, dict], crop: str) -> str:
    table = store.find("clusters", _episode_of(crop))
    found = [] if table is None else [row for row in table.to_pylist() if row["image_id"] == crop]
    for row in found:
        for character in row["characters"]:
            if character in rows and rows[character]["name"] != character:
                return rows[character]["name"]
    raise NotAdded(f"{crop} bears no name: say whom it shows by --as")


def _episode_of(crop: str) -> str:
    try:
        return episode_of(check_image(crop))
    except ValueError:
        raise NotAdded(f"{crop!r} is neither the id of a crop nor of a character") from None


def _fault_of_folder(part: str) -> str:
    fault = "holds a slash" if "/" in part else fault_of_path(part)
    return f"{part!r} {fault}: give another name" if fault else ""


def _bytes_of(store: Store, crop: str) -> bytes:
    table = store.find("crops", _episode_of(crop))
    rows = [] if table is None else table.select(["image_id", "path", "kept"]).to_pylist()
    path = next((row["path"] for row in rows if row["image_id"] == crop and row["kept"]), "")
    if not path:
        raise NotAdded(f"there is no crop {crop}")
    try:
        return store.read_picture(path)
    except StoreError as error:
        raise NotAdded(str(error)) from error


def _put(path: Path, content: bytes) -> bool:
    if path.exists():
        return False
    write_whole(path, content)
    return True
