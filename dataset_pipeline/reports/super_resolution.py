"""What became of pictures and tiles on their way to a super-resolution set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dataset_pipeline.graph.declaration import is_joined
from dataset_pipeline.orchestration.runs import Outcome
from dataset_pipeline.store.store import Store, TableOutdated

# What becomes of stretches of shots.
STRETCHES = ("taken", "held_out", "beside_held_out", "nothing_moves", "other_size", "unreadable")


@dataclass(frozen=True)
class SrReport:
    """Plain values, as `--json` prints them. `pictures`, `tiles`, `sequences`: how many became what. `too_small`: those
    without a tile. `notes`: tables of `sr_selection` as Markdown, by title. `folder`: empty if no set was written.
    `faults`: what speaks against checks. `changed`: what was left alone as a person had changed it."""

    folder: str
    selected: int
    pictures: dict[str, int]
    tiles: dict[str, int]
    sequences: dict[str, int]
    too_small: list[str]
    notes: dict[str, str]
    faults: list[str]
    failures: list[dict[str, str]]
    changed: str
    seconds: float
    model_calls: dict[str, int]
    made_with_demo_models: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sr_report_on(
    store: Store, outcome: Outcome, model_calls: dict[str, int], assets: Collection[str], asked: str = "sr_set"
) -> SrReport:
    """Read the tables of the episodes that were given, and the set, into a report. assets: that were to be made; asked:
    the one that writes the set."""
    failed = {failure.asset for failure in outcome.failures}
    set_pointer = None if failed & {"sr_selection", asked} else store.pointer(asked)
    selection = store.pointer("sr_selection") if "sr_selection" in assets else None
    numbers = set_pointer.provenance.numbers if set_pointer else {}
    return SrReport(
        folder=str(numbers.get("folder", "")),
        selected=int(numbers.get("tiles", numbers.get("sequences", 0))),
        pictures=_reasons(store, "sr_sources", outcome.episodes) if selection else {},
        tiles=dict(Counter(store.read("sr_selection")["reason"].to_pylist())) if selection else {},
        sequences={it: int(numbers.get(it, 0)) for it in STRETCHES} if asked == "sr_sequences" else {},
        too_small=_too_small(store, outcome.episodes) if selection else [],
        notes=_tables(selection.provenance.notes) if selection else {},
        faults=_faults(store, outcome.episodes, sorted(assets)),
        failures=[asdict(failure) for failure in outcome.failures],
        changed="\n".join(set_pointer.provenance.notes.values()) if set_pointer else "",
        seconds=outcome.seconds,
        model_calls=model_calls,
        made_with_demo_models=bool(set_pointer and set_pointer.provenance.demo),
    )


def _tables(notes: Mapping[str, str]) -> dict[str, str]:
    """The notes that a terminal can show."""
    return {title: text for title, text in notes.items() if not text.startswith("![")}


def _reasons(store: Store, asset: str, episodes: Sequence[str]) -> dict[str, int]:
    return dict(Counter(store.read_many(asset, sorted(episodes))["reason"].to_pylist()))


def _too_small(store: Store, episodes: Sequence[str]) -> list[str]:
    pointers = (store.pointer("sr_tiles", episode) for episode in sorted(episodes))
    return [image_id for pointer in pointers if pointer for image_id in pointer.provenance.left_out]


def _faults(store: Store, episodes: Sequence[str], assets: Sequence[str]) -> list[str]:
    """`<episode>: <asset>: <fault>` for every failed check of these assets, without the episode for joined ones; a
    damaged table is one, and so is that no pair could be made of two releases."""
    joined = ((asset, store.pointer(asset)) for asset in assets if is_joined(asset))
    found = [f"{asset}: {it}" for asset, pointer in joined if pointer for it in pointer.provenance.faults.values()]
    for episode in episodes:
        for asset in assets:
            if is_joined(asset):
                continue
            try:
                pointer = store.pointer(asset, episode)
            except TableOutdated as error:
                found.append(f"{episode}: {error}")
                continue
            faults = [*pointer.provenance.faults.values()] if pointer else []
            faults += filter(None, [pointer.provenance.numbers.get("why_none")] if pointer else [])
            found += [f"{episode}: {asset}: {fault}" for fault in faults]
    return found
