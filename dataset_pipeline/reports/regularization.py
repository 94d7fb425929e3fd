"""What became of the pictures of each class of a regularization set."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.graph.declaration import DECLARATIONS, is_by_class
from dataset_pipeline.orchestration.runs import Outcome
from dataset_pipeline.settings import RegularizationClass, Settings
from dataset_pipeline.store.store import Store


@dataclass(frozen=True)
class ClassReport:
    """asked: pictures it may have. pictures: how many became what, none where a step of it failed.
    faults: what speaks against its checks. hint: what to do where `keep` wants more; else empty."""

    name: str
    source: str
    asked: int
    kept: int
    pictures: dict[str, int]
    faults: list[str]
    hint: str = ""


@dataclass(frozen=True)
class RegularizationReport:
    """Plain values, as `--json` prints them. faults: what speaks against the set of all classes."""

    classes: list[ClassReport]
    faults: list[str]
    failures: list[dict[str, str]]
    seconds: float
    model_calls: dict[str, int]
    made_with_demo_models: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def regularization_report_on(
    settings: Settings, store: Store, outcome: Outcome, model_calls: dict[str, int]
) -> RegularizationReport:
    """Read the tables of all classes into a report. A class of which a step failed tells of no pictures."""
    failed = {failure.episode for failure in outcome.failures}
    classes = [_class(store, it, it.name in failed) for it in settings.regularization.classes]
    the_set = store.pointer("regularization_set")
    return RegularizationReport(
        classes,
        [*the_set.provenance.faults.values()] if the_set else [],
        [asdict(failure) for failure in outcome.failures],
        outcome.seconds,
        model_calls,
        bool(the_set and the_set.provenance.demo),
    )


def unmade_classes(store: Store, settings: Settings) -> list[str]:
    """The names of regularization classes of which no pictures were ever chosen."""
    names = (it.name for it in settings.regularization.classes)
    return [name for name in names if store.pointer("regularization_selection", name) is None]


def class_lines(store: Store, image_id: str) -> list[str]:
    """Where a picture of a class comes from and why it stays or not, a line each; none for what is no such picture."""
    name = episode_of(image_id)
    tables = ("requests", "pictures", "selection")
    found = [store.find(f"regularization_{table}", name) for table in tables]
    requests, pictures, selection = (
        {row["image_id"]: row for row in table.to_pylist()} if table is not None else {} for table in found
    )
    if (asked := requests.get(image_id)) is None:
        return []
    chosen, picture = selection.get(image_id), pictures.get(image_id)
    stays = "not judged yet" if chosen is None else chosen["reason"]
    place = f", place {chosen['place'] + 1}" if chosen and chosen["selected"] else ""
    score = f", quality {chosen['score']:.3f}" if chosen and chosen["score"] is not None else ""
    size = f", {asked['width_px']}x{asked['height_px']} px" if asked["width_px"] else ""
    of = {
        "prompts": f"asked for: {asked['prompt']} (seed {asked['seed']}{size})",
        "captions": f"mirrors {asked['mirrors']}: {asked['prompt']} (seed {asked['seed']}{size})",
        "folder": f"from {asked['file']}",
        "stills": f"the still {asked['mirrors']}",
    }
    lines = [f"{image_id}: {stays}{place}{score}", of[asked["source"]], f"a trainer is told: {asked['caption']}"]
    return [*lines, f"picture: {store.uri(picture['path'])}"] if picture else lines


def _class(store: Store, a_class: RegularizationClass, failed: bool) -> ClassReport:
    name = a_class.name
    pointers = {asset: store.pointer(asset, name) for asset in sorted(filter(is_by_class, DECLARATIONS))}
    faults = [fault for pointer in pointers.values() if pointer for fault in pointer.provenance.faults.values()]
    asked, selection = (pointers[f"regularization_{it}"] for it in ("requests", "selection"))
    told = store.read("regularization_selection", name)["reason"].to_pylist() if selection else []
    reasons = Counter(reason.partition(":")[0] for reason in told)
    made = asked.rows if asked else 0
    kept = 0 if failed else reasons["selected"]
    hint = "" if failed else hint_on(a_class, made, kept)
    return ClassReport(name, a_class.source, made, kept, {} if failed else dict(reasons), faults, hint)


def hint_on(a_class: RegularizationClass, made: int, kept: int) -> str:
    """What to do where a generator made too few for as many to stay as `keep` wants. A class of one mirror for each
    training image has all that it asked for."""
    has_all = not a_class.generated or (a_class.source == "captions" and not a_class.generate)
    if has_all or kept >= a_class.keep:
        return ""
    return f"{kept} of {made} pictures stay, and keep = {a_class.keep}: raise `generate` of the class for more"
