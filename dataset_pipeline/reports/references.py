"""What the references of a project found, and what would be good ones: for a person to look at and to decide.

Looks at the tables as they are and at the pictures in the folder; runs no model but the comparison of vectors.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dataset_pipeline.base.ids import check_image, episode_of, file_name, show_of
from dataset_pipeline.base.paths import write_whole
from dataset_pipeline.characters.appearances import CROP_COLUMNS, Appearances, Tracked, appearances_of, tracked
from dataset_pipeline.characters.proposals import coverage_of, proposed_names
from dataset_pipeline.characters.references import name_people, reference_set, typical_of
from dataset_pipeline.characters.vectors import vectors_by_id
from dataset_pipeline.settings import Settings
from dataset_pipeline.settings.neme_project import NEME_PROJECT
from dataset_pipeline.settings.reference_folders import References, fault_of_name, fault_of_part, is_noise, spelling
from dataset_pipeline.store.store import Store, StoreError
from dataset_pipeline.tags.scores import tag_rows

DOUBTFUL = 3  # crops of each name
TYPICAL = 3  # crops of a character that become its references
MAX_COMPARED = 2000  # people of a character, of whom the typical ones are chosen

Told = tuple[tuple[str, ...], tuple[str, ...]]  # doubtful and proposed crops of a name


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
    found = settings.references.found()
    files: dict[str, list[str]] = defaultdict(list)
    for it in found.pictures:
        files[it.name].append(it.file)
    account = Account(
        str(settings.references.folder), noise=tuple(files.pop("", ())), passed_over=dict(found.passed_over)
    )
    account.measured = _is_measured(found, store, account.passed_over)
    told, bearers = _told_by_name(settings, store, identity), bearers_of(store)
    account.names = [
        OfName(name, tuple(files[name]), bearers[name], *told.get(name, ((), ()))) for name in sorted(files)
    ]
    account.unnamed = list(_unnamed(settings, store))
    return account


def _is_measured(found: References, store: Store, passed_over: dict[str, str]) -> bool:
    """Whether the newest run saw just these files; those which it could not measure are passed over, with its
    reasons."""
    table = store.find("reference_embeddings")
    rows = [] if table is None else table.select(["file", "sha256", "reason"]).to_pylist()
    known = {(row["file"], row["sha256"]) for row in rows}
    there = {(it.file, it.sha256) for it in found.pictures}
    passed_over.update({row["file"]: row["reason"] for row in rows if row["reason"] and _key(row) in there})
    return known == there


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["file"], row["sha256"]


def bearers_of(store: Store) -> Counter[str]:
    """How many crops bear each name, as `clusters` says."""
    gallery = store.find("character_gallery")
    rows = [] if gallery is None else gallery.select(["character", "name"]).to_pylist()
    names = {row["character"]: row["name"] for row in rows}
    return Counter(
        names.get(character, "")
        for episode in store.episodes("clusters")
        for row in store.read("clusters", episode).select(["kind", "characters"]).to_pylist()
        if row["kind"] != "still"
        for character in row["characters"]
    )


def _told_by_name(settings: Settings, store: Store, identity: Any) -> dict[str, Told]:
    """Doubtful and proposed crops of each name, over all shows."""
    table = store.find("reference_embeddings")
    if table is None or not table.num_rows:
        return {}
    sha256 = identity.fingerprint().sha256
    references, limit = reference_set(table, sha256), settings.named_characters.max_difference or identity.threshold
    found: dict[str, Told] = {}
    for people, tags in _appearances(settings, store, sha256):
        if not len(people) or not len(references):
            continue
        for it in coverage_of(
            name_people(people, tags, references, identity, settings.named_characters),
            np.asarray(identity.differences(people.vectors, references.vectors)),
            lambda numbers, people=people: np.asarray(identity.differences(people.vectors[numbers])),
            references,
            limit,
            settings.named_characters.min_margin,
            DOUBTFUL,
        ):
            doubtful, proposed = found.get(it.name, ((), ()))
            found[it.name] = (
                doubtful + tuple(people.ids[i] for i in it.doubtful),
                proposed + tuple(people.ids[i] for i in it.proposed),
            )
    return found


def _appearances(settings: Settings, store: Store, model_sha256: str) -> Iterator[tuple[Appearances, Any]]:
    """The people of each show as the run named them, with the scores of its tags."""
    shows: dict[str, list[str]] = defaultdict(list)
    for episode in sorted(set(store.episodes("crop_embeddings")) & set(store.episodes("tag_scores"))):
        shows[show_of(episode)].append(episode)
    for _, episodes in sorted(shows.items()):
        crops = store.read_many("crops", episodes).select(CROP_COLUMNS).to_pylist()
        vectors = vectors_by_id(store.read_many("crop_embeddings", episodes), model_sha256)
        by_tracks = _tracked(settings, store, crops, episodes, model_sha256)
        yield appearances_of(crops, vectors, by_tracks), store.read_many("tag_scores", episodes)


def _tracked(
    settings: Settings, store: Store, crops: Sequence[dict], episodes: Sequence[str], model_sha256: str
) -> Tracked:
    """What tracks say of crops, nothing where they are off."""
    wanted = episodes if settings.tracks.mode != "off" else ()
    there = (table for table in (store.find("tracks", episode) for episode in wanted) if table is not None)
    return tracked(crops, there, model_sha256)


def naming_of(store: Store) -> dict[str, int]:
    """What references came to: names, crops that bear one, characters without one. Empty without references."""
    table, gallery = store.find("reference_embeddings"), store.find("character_gallery")
    if table is None or gallery is None or not table.num_rows:
        return {}
    names, bearers = set(table["name"].to_pylist()) - {""}, bearers_of(store)
    rows = gallery.select(["character", "name"]).to_pylist()
    return {
        "names": len(names),
        "crops": sum(bearers[name] for name in names),
        "characters_without_a_name": sum(row["character"] == row["name"] for row in rows),
    }


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
    settings: Settings, store: Store, identity: Any, wanted: Sequence[str], name: str = "", outfit: str = ""
) -> list[tuple[str, Path, bool]]:
    """Copy crops into the folder of references; returns each one's id, its file, and whether that is new.

    identity: the resource of that model. wanted: ids of crops, or of characters, whose most typical crops are meant.
    name: whom they show; that which they bear if it is empty. Nothing is written unless all may be. Raises NotAdded.
    """
    folder, name, outfit = settings.references.folder, name.strip(), outfit.strip()
    found = settings.references.found()
    gallery = store.find("character_gallery")
    rows = {row["character"]: row for row in ([] if gallery is None else gallery.to_pylist())}
    try:
        if (folder / NEME_PROJECT).is_file():
            raise NotAdded(f"{folder} is a project of neme-anima, into which nothing is written: use neme-anima for it")
        if name and (fault := _fault_of_place(found, name, outfit)):
            raise NotAdded(fault)
        crops = [
            crop for it in wanted for crop in (_typical(settings, store, identity, rows[it]) if it in rows else [it])
        ]
        planned = []
        for crop in dict.fromkeys(crops):
            content = _bytes_of(store, crop)
            whom = name or _name_of(store, rows, crop)
            if fault := _fault_of_place(found, whom, outfit) or _fault_of_picture(found, crop, content, whom):
                raise NotAdded(fault)
            parts = [part for part in (whom, outfit) if part]
            planned.append((crop, folder.joinpath(*parts, f"{file_name(crop)}.png"), content))
        return [(crop, path, _put(path, content)) for crop, path, content in planned]
    except OSError as error:
        raise NotAdded(f"{error.filename or folder} cannot be written: {error.strerror or error}") from error


def _typical(settings: Settings, store: Store, identity: Any, row: Mapping[str, Any]) -> list[str]:
    """The crops of a character that show it best, spread over episodes and outfits."""
    sha256, outfits = identity.fingerprint().sha256, {}
    crops, vectors = [], {}
    for episode in row["episodes"]:
        shown = store.find("clusters", episode)
        embedded = store.find("crop_embeddings", episode)
        if shown is None or embedded is None:
            continue
        theirs = {it["image_id"]: it["outfit"] for it in shown.to_pylist() if it["characters"] == [row["character"]]}
        outfits |= theirs
        rows = store.read("crops", episode).select(CROP_COLUMNS).to_pylist()
        crops += [crop for crop in rows if crop["image_id"] in theirs]
        vectors |= {it: vector for it, vector in vectors_by_id(embedded, sha256).items() if it in theirs}
    people = appearances_of(crops, vectors)
    some = np.unique(np.linspace(0, len(people) - 1, MAX_COMPARED).astype(int)) if len(people) else []
    people = people.some(list(some))
    if not len(people):
        raise NotAdded(f"no crop of {row['character']} was measured by the weights in use: `run` first")
    looks = [(episode_of(it), outfits[it]) for it in people.ids]
    return [people.ids[i] for i in typical_of(np.asarray(identity.differences(people.vectors)), looks, TYPICAL)]


def _fault_of_place(found: References, whom: str, outfit: str) -> str:
    """Why the next run would not read a picture from there; empty if it would."""
    other = next((it.name for it in found.pictures if it.name and spelling(it.name) == spelling(whom)), whom)
    if other != whom:
        return f"{whom!r} is another spelling of {other!r}, who has references: call both the same"
    return fault_of_name(whom) or (fault_of_part(outfit) if outfit else "")


def _fault_of_picture(found: References, crop: str, content: bytes, whom: str) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    name = "" if is_noise(whom) else whom
    there = next((it.file for it in found.pictures if it.sha256 == sha256 and it.name != name), "")
    return f"{crop} is there already as {there}, for somebody else: remove that first" if there else ""


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
