"""What a run came to: the account of every frame, the damage met, and a sheet that shows each character in a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.base.paths import write_whole
from dataset_pipeline.characters.names import names_by_id
from dataset_pipeline.corrections.addressing import STITCHED
from dataset_pipeline.images.resize import decode
from dataset_pipeline.images.sheets import row_sheet, spread
from dataset_pipeline.reports.notices import NOTICED, in_words
from dataset_pipeline.reports.references import naming_of
from dataset_pipeline.store.left_out import is_of_one
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Pointer, Store, TableOutdated
from dataset_pipeline.training.manifest import funnel, images_over_quota, images_unreadable, missing_from_set, outcomes

if TYPE_CHECKING:
    from dataset_pipeline.orchestration.runs import Outcome

SHEET_COLUMNS = 8


@dataclass
class Report:
    """Plain values, as `--json` prints them. By episode: `damaged` has reasons, `empty` the tables without a row.
    `faults`: what else speaks against checks, by episode or under "" of all together. `rejected`: why a path is no
    source. `passed_over`: sentences. `export_folder`: empty if this run exported no set. `renamed`: in words,
    episodes that go by another key now. `unwritten`: files beside the set that could not be written.
    `naming`: what references came to, empty without any. `notices`: sentences that speak against nothing."""

    episodes: list[str]
    damaged: dict[str, list[str]]
    rejected: dict[str, str]
    failures: list[dict[str, str]]
    empty: dict[str, list[str]]
    funnel: list[tuple[str, str, int]]
    concepts: list[dict[str, Any]]
    export_folder: str
    made_with_demo_models: bool
    seconds: float
    model_calls: dict[str, int] = field(default_factory=dict)
    renamed: list[str] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)
    unwritten: list[str] = field(default_factory=list)
    naming: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Nothing was damaged, rejected, passed over, at fault or failed, and all was written."""
        wrong = self.damaged, self.faults, self.rejected, self.passed_over, self.failures, self.unwritten
        return not any(wrong)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"whole": self.whole}


WATCHED = ("keyframes", "stills", "detections", "crops", "selection", "training_images")


def report_on(
    store: Store,
    outcome: Outcome,
    rejected: dict[str, str],
    model_calls: dict[str, int],
    renamed: Sequence[str] = (),
    passed_over: Sequence[str] = (),
) -> Report:
    """Read the current tables of the run's episodes, and the whole set, into a report."""
    episodes = outcome.episodes
    damaged = {episode: damage for episode in episodes if (damage := damage_of(store, episode))}
    faults = {episode: faults_of(store, episode, damaged.get(episode, [])) for episode in ("", *episodes)}
    empty = {
        episode: [asset for asset in WATCHED if (pointer := store.pointer(asset, episode)) and pointer.rows == 0]
        for episode in episodes
    }
    set_pointer = store.pointer("training_set")
    unmade = {failure.asset for failure in outcome.failures} & {"training_set", "exported_set"}
    exported = None if unmade else store.pointer("exported_set")
    balance = store.find("concept_balance")
    return Report(
        episodes=list(episodes),
        damaged=damaged,
        rejected=rejected,
        failures=[asdict(failure) for failure in outcome.failures],
        empty={episode: assets for episode, assets in empty.items() if assets},
        funnel=account(store, outcome.registered),
        concepts=[] if balance is None else balance.drop_columns(["image_ids", "over_quota"]).to_pylist(),
        export_folder=exported.provenance.numbers.get("folder", "") if exported else "",
        made_with_demo_models=set_pointer is not None and set_pointer.provenance.demo,
        seconds=round(outcome.seconds, 1),
        model_calls=model_calls,
        renamed=list(renamed),
        faults={episode: found for episode, found in faults.items() if found},
        passed_over=list(passed_over),
        naming=naming_of(store),
        notices=notices_of(store, episodes),
    )


def damage_of(store: Store, episode: str) -> list[str]:
    """What probing and decoding an episode's source met, each reason once."""
    checks = (("video_probe", "source_is_undamaged"), ("keyframes", "every_frame_was_decoded"))
    pointers = [(_pointer(store, asset, episode), check) for asset, check in checks]
    faults = [pointer.provenance.faults.get(check, "") for pointer, check in pointers if pointer]
    return list(dict.fromkeys(reason for fault in faults for reason in fault.split("; ") if reason))


def notices_of(store: Store, episodes: Iterable[str]) -> list[str]:
    """What else the tables of these episodes tell of their sources."""
    pointers = ((episode, _pointer(store, asset, episode), name) for episode in episodes for asset, name in NOTICED)
    return in_words((episode, it.provenance.numbers.get(name, "")) for episode, it, name in pointers if it)


def _pointer(store: Store, asset: str, episode: str) -> Pointer | None:
    try:
        return store.pointer(asset, episode)
    except TableOutdated:
        return None  # named among the faults


def faults_of(store: Store, episode: str, reported: Sequence[str] = ()) -> list[str]:
    """`<asset>: <fault>` for every failed check of an episode's assets, or of the joined ones if it is empty.

    Each fault once, in the order of the work. reported: reasons that stand in the report already.
    """
    from dataset_pipeline.orchestration.runs import phases

    found: dict[str, str] = {}
    known = set(reported)
    for asset in (asset for phase in phases() for asset in phase.assets if phase.joined == (not episode)):
        try:
            pointer = store.pointer(asset, episode or None)
        except TableOutdated as error:
            found[str(error)] = asset
            continue
        for fault in pointer.provenance.faults.values() if pointer else ():
            if not known.issuperset(fault.split("; ")):
                found.setdefault(fault, asset)
    return [f"{asset}: {fault}" for fault, asset in found.items()]


def account(store: Store, episodes: Iterable[str]) -> list[tuple[str, str, int]]:
    """(stage, outcome, images): what became of every extracted frame of these episodes."""
    episodes = list(episodes)
    training_set, balance = (
        SCHEMAS[asset].empty() if (table := store.find(asset)) is None else table
        for asset in ("training_set", "concept_balance")
    )
    selection = store.read_many("selection", episodes, ["image_id", "selected", "reason"])
    missing = missing_from_set(selection, training_set)
    pointers = (_pointer(store, "training_images", episode) for episode in episodes)
    left_out = {it: why for pointer in pointers if pointer for it, why in pointer.provenance.left_out.items()}

    def counted(asset: str) -> dict[str, int]:
        return outcomes(store.read_many(asset, episodes, ["reason"]))

    return funnel(
        counted("distinct_frames"),
        counted("crops"),
        outcomes(selection),
        training_set.num_rows,
        images_over_quota(balance, missing),
        len(images_unreadable(left_out, balance, missing)),
        counted("clips"),
        counted("details"),
        [store.read_many(asset, episodes, ["verdict", "reason"]) for asset in STITCHED],
    )


def write_character_sheet(store: Store, path: Path, kind: str = "person") -> list[str]:
    """A JPEG with one row of crops for each recognised character, spread over the episodes. Returns the names shown.
    Pictures that are gone or damaged are passed over."""
    episodes = store.episodes("clusters")
    images = store.read_many("images", episodes)
    paths = dict(zip(images["image_id"].to_pylist(), images["path"].to_pylist(), strict=True))
    gallery = store.find("character_gallery")
    names: dict[str, str] = {} if gallery is None else names_by_id(gallery)
    members: dict[str, list[str]] = {}
    for row in store.read_many("clusters", episodes).to_pylist():
        if row["kind"] == kind and row["characters"] and row["image_id"] in paths:
            character = row["characters"][0]
            members.setdefault(names.get(character) or character, []).append(row["image_id"])
    rows = {
        f"{name} ({len(ids)} crops, {len({episode_of(i) for i in ids})} episodes)": [
            picture
            for image_id in spread(ids, SHEET_COLUMNS)
            if (picture := _readable(store, paths[image_id])) is not None
        ]
        for name, ids in sorted(members.items())
    }
    write_whole(path, row_sheet(rows, columns=SHEET_COLUMNS, max_bytes=1_000_000, thumb_px=160))
    return sorted(members)


def _readable(store: Store, path: str) -> np.ndarray | None:
    """A stored picture; None for one that is gone or damaged, which the assets' checks tell of."""
    try:
        return decode(store.read_picture(path))
    except Exception as error:
        if is_of_one(error):
            return None
        raise
