"""Naming people by three references each: this project's rule beside those of others, on the same drawn people,
boxes and weights.

    python dataset_pipeline_tests/benchmarks/references.py [--casts 0 1 2 3 4] [--tracks] [--curve] [--cost]
        [--anime-screenshot-pipeline CHECKOUT]

Casts of the harder season (`demo/harder.py`), five pictures of every shot, boxes of the detector that lie on a drawn
person. Unless --tracks is given a person on one picture is decided alone; then along each shot, as drawn. neme: the
rule of neme-anima restated (median over five bodies of the least difference to a name's references, the lowest name,
up to 0.20); it sees no heads. anime_screenshot_pipeline: its own `classify_from_directory`, run in a process of its own
on crops of bodies whose vectors are put beside them as it caches them. right, wrong: shares of the crops of the cast;
distinct: right among people without a twin; apart: extras without a name; mirror: images in a mirror named right.
--curve: the same with other settings. --cost: seconds of naming by forty names against five, vectors measured anew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.boxes import iou, place_of
from dataset_pipeline.characters.appearances import Appearances, Tracked, appearances_of
from dataset_pipeline.characters.references import NOBODY, ReferenceSet, name_appearances, reference_set, traits_of
from dataset_pipeline.demo.harder import HarderCast, Still, harder_cast, harder_stills
from dataset_pipeline.demo.scenes import NO_BOX, DrawnPerson
from dataset_pipeline.images.crops import cut, plan_crops
from dataset_pipeline.images.detections import as_found_boxes
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.settings import DEFAULTS, Settings, load_settings
from dataset_pipeline.settings.tag_rules import CHARACTER_KINDS, load_rules
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.scores import scored_tags

PER_SHOT, REFERENCES, SEEDS = 5, 3, 2
NEME_LIMIT, NEME_SAMPLES = 0.20, 5
SAME_BOX = 0.5


def settings_of(**changes: Any) -> Settings:
    """The defaults on the demo pack; people of a drawn picture are smaller."""
    sizes = {"crops__person_min_side_px": 50, "crops__head_min_side_px": 32}
    return load_settings(DEFAULTS, models__pack="demo", models__device="cpu", **sizes | changes)


@dataclass
class Season:
    """Crops of a cast with who is on each, what the models say of them, and the models."""

    cast: HarderCast
    settings: Settings
    models: dict[str, Any]
    crops: list[dict] = field(default_factory=list)
    people: dict[str, DrawnPerson] = field(default_factory=dict)
    shots: dict[str, tuple] = field(default_factory=dict)  # of each crop: one person over one shot
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    tags: pa.Table = field(default_factory=SCHEMAS["tag_scores"].empty)

    def is_extra(self, crop: str) -> bool:
        return self.people[crop].character.name not in self.cast.outfits()


def season_of(number: int, per_shot: int = PER_SHOT, episodes: int = 3) -> Season:
    """Draw a cast's pictures, find people on them, and ask the models."""
    settings = settings_of()
    season = Season(harder_cast(number), settings, model_resources(settings))
    stills = list(harder_stills(number, per_shot=per_shot, episodes=episodes))
    found = season.models["detector"].detect((still.image for still in stills), ("person", "head"))
    for still, boxes in zip(stills, as_found_boxes(found), strict=True):
        _add_crops(season, still, boxes["boxes"])
    ids = [crop["image_id"] for crop in season.crops]
    vectors = season.models["identity"].embed(season.pictures[it] for it in ids)
    season.vectors = dict(zip(ids, vectors, strict=True))
    said = season.models["tagger"].tag(season.pictures[it] for it in ids)
    listed = scored_tags(said.tags, said.categories, said.scores, settings.tag_scores.score_floor)
    same = {"pixel_sha256": "", "model_sha256": "", "algorithm": ""}
    season.tags = SCHEMAS["tag_scores"].table(
        [{"image_id": it, "tags": tags, **same} for it, tags in zip(ids, listed, strict=True)]
    )
    return season


def _add_crops(season: Season, still: Still, boxes: Iterable[dict]) -> None:
    height, width = still.image.shape[:2]
    still_id = f"show.e{still.episode}/{still.shot:05d}{still.number:03d}"
    for row in plan_crops(still_id, (width, height), boxes, season.settings.crops):
        person = _drawn(row, still, season.settings)
        if row["kept"] and person is not None:
            image_id = row["image_id"]
            season.crops.append(row)
            season.people[image_id] = person
            season.shots[image_id] = (still.episode, still.shot, person.character.name, person.mirror)
            season.pictures[image_id] = cut(still.image, row)


def _drawn(row: dict, still: Still, settings: Settings) -> DrawnPerson | None:
    """Who was drawn where a crop was cut."""
    height, width = still.image.shape[:2]
    best, who = SAME_BOX, None
    for person in still.people:
        if (drawn := getattr(person, row["kind"])) == NO_BOX:
            continue
        names = ("x0_px", "y0_px", "x1_px", "y1_px")
        box = {"kind": row["kind"], "score": 1.0, **dict(zip(names, drawn, strict=True))}
        for planned in plan_crops("show.e1/00000000", (width, height), [box], settings.crops):
            if (share := iou(place_of(planned), place_of(row))) > best:
                best, who = share, person
    return who


class Shown(NamedTuple):
    """References of a season: the body crop of each, and by the name all crops of the persons that they show."""

    chosen: list[tuple[str, str]]
    theirs: set[str]


def choose(season: Season, seed: int, count: int = REFERENCES) -> Shown:
    """What a person would take: of each name bodies from the front in different shots, of all outfits."""
    rng = random.Random(seed)
    by_place: dict[tuple, list[str]] = defaultdict(list)
    for crop in season.crops:
        by_place[crop["still_id"], id(season.people[crop["image_id"]])].append(crop["image_id"])
    kinds = {crop["image_id"]: crop["kind"] for crop in season.crops}
    chosen, theirs = [], set()
    for name, outfits in sorted(season.cast.outfits().items()):
        good: dict[str, list[str]] = defaultdict(list)
        for crop in sorted(kinds):
            who = season.people[crop]
            clear = not who.behind and not who.mirror and who.visible >= 0.5
            if who.character.name == name and kinds[crop] == "person" and clear:
                good[who.character.outfit].append(crop)
        worn, shots = [outfit for outfit in sorted(outfits) if good[outfit]], set()
        for number in range(count):
            wanted = good[worn[number % len(worn)]] if worn else []
            fresh = [c for c in wanted if season.shots[c][:2] not in shots] or [
                c for it in worn for c in good[it] if season.shots[c][:2] not in shots
            ]
            if fresh:
                crop = rng.choice(fresh)
                shots.add(season.shots[crop][:2])
                chosen.append((name, crop))
    for members in by_place.values():
        if any(crop in members for _, crop in chosen):
            theirs.update(members)
    return Shown(chosen, theirs)


def references_of(season: Season, shown: Shown) -> ReferenceSet:
    """As `reference_embeddings` gives them of these pictures: the body and the head that it finds on each."""
    from dataset_pipeline.characters.reference_views import reference_views
    from dataset_pipeline.characters.tracks import KINDS

    rules = load_rules(season.settings.tag_rules)
    known = sorted(t for t in season.models["tagger"].vocabulary()[0] if rules.kind_of(t) in CHARACTER_KINDS)
    tags = dict(zip(season.tags["image_id"].to_pylist(), season.tags["tags"].to_pylist(), strict=True))
    pictures = [season.pictures[crop] for _, crop in shown.chosen]
    boxes = as_found_boxes(season.models["detector"].detect(iter(pictures), KINDS))
    views = [
        reference_views(picture, found["boxes"], season.settings.crops)
        for picture, found in zip(pictures, boxes, strict=True)
    ]
    vectors = iter(season.models["identity"].embed(pixels for of_one in views for _, pixels in of_one))
    rows = []
    for number, ((name, crop), of_one) in enumerate(zip(shown.chosen, views, strict=True)):
        scores = {it["tag"]: it["score"] for it in tags[crop]}
        rows.append(
            {"file": f"{number:04d}", "name": name, "outfit": "", "sha256": "", "model_sha256": ""}
            | {"views": [{"kind": kind, "embedding": next(vectors)} for kind, _ in of_one]}
            | {"traits": [{"tag": tag, "score": scores.get(tag, 0.0)} for tag in known]}
        )
    return reference_set(SCHEMAS["reference_embeddings"].table(rows), "")


def people_of(season: Season, tracks: bool) -> Appearances:
    """Everybody on the stills, on each alone or along the shots as drawn."""
    track_of = {crop: repr(shot) for crop, shot in season.shots.items()} if tracks else None
    return appearances_of(season.crops, season.vectors, Tracked(track_of or {}))


def by_ours(season: Season, people: Appearances, references: ReferenceSet, **changes: float) -> dict[str, str]:
    """The name of each crop that bears one."""
    settings = season.settings.named_characters.model_copy(update=changes)
    named = name_appearances(
        people.vectors,
        traits_of(people, season.tags, references.tags),
        people.rivals,
        references,
        season.models["identity"].differences,
        season.models["identity"].threshold,
        settings,
    )
    return {
        crop: references.names[number]
        for crops, number in zip(people.crops, named.numbers.tolist(), strict=True)
        if number != NOBODY
        for crop in crops
    }


def by_neme(season: Season, people: Appearances, shown: Shown) -> dict[str, str]:
    names = sorted({name for name, _ in shown.chosen})
    owners = np.array([names.index(name) for name, _ in shown.chosen])
    theirs = np.stack([season.vectors[crop] for _, crop in shown.chosen])
    kinds = {crop["image_id"]: crop["kind"] for crop in season.crops}
    found = {}
    for crops in people.crops:
        bodies = sorted(crop for crop in crops if kinds[crop] == "person")
        if not bodies:
            continue
        places = np.linspace(0, len(bodies) - 1, min(NEME_SAMPLES, len(bodies))).astype(int)
        samples = np.stack([season.vectors[bodies[place]] for place in places])
        table = np.asarray(season.models["identity"].differences(samples, theirs))
        medians = [np.median(table[:, owners == number].min(axis=1)) for number in range(len(names))]
        if min(medians) <= NEME_LIMIT:
            found |= dict.fromkeys(crops, names[int(np.argmin(medians))])
    return found


CLASSIFY = """
import sys, types, random
import numpy as np
package = types.ModuleType("anime2sd")  # its own __init__ loads what sorting needs nothing of
package.__path__ = [sys.argv[1] + "/anime2sd"]
sys.modules["anime2sd"] = package
from anime2sd.classif.classify_characters import classify_from_directory
random.seed(0); np.random.seed(0)
classify_from_directory(*sys.argv[2:5])
"""


def by_anime_screenshot_pipeline(season: Season, people: Appearances, shown: Shown, checkout: Path) -> dict[str, str]:
    """The checkout's own sorting of the bodies; what lies in no folder of a reference's name has none."""
    from PIL import Image

    def put(path: Path, crop: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(season.pictures[crop]).save(path)
        np.save(path.with_name(f".{path.stem}_ccip.npy"), season.vectors[crop])

    kinds = {crop["image_id"]: crop["kind"] for crop in season.crops}
    bodies = sorted(crop for crop in kinds if kinds[crop] == "person")
    pack = season.models["identity"].open_pack()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, crop in enumerate(bodies):
            put(folder / "crops" / f"{number:05d}.png", crop)
        for number, (whom, crop) in enumerate(shown.chosen):
            put(folder / "references" / whom / f"{number:05d}.png", crop)
        places = [str(folder / it) for it in ("crops", "sorted", "references")]
        environment = os.environ | {"HF_HOME": str(pack.root), "HF_HUB_OFFLINE": "1", "ONNX_MODE": "cpu"}
        subprocess.run(
            [sys.executable, "-c", CLASSIFY, str(checkout), *places],
            check=True, capture_output=True, env=environment,
        )  # fmt: skip
        names = {whom for whom, _ in shown.chosen}
        sorted_into = {int(p.stem): p.parent.name for p in (folder / "sorted").glob("*/*.png")}
    return {bodies[number]: whom for number, whom in sorted_into.items() if whom in names}


def score(season: Season, people: Appearances, found: dict[str, str], shown: Shown) -> dict[str, float]:
    """Shares of crops of the cast that are no references; of appearances for extras and images in mirrors."""
    counts: Counter[str] = Counter()
    distinct = set(season.cast.distinct)
    for crops in people.crops:
        given = {found.get(crop) for crop in crops} - {None}
        if all(season.is_extra(crop) for crop in crops):
            counts.update(extras=1, apart=not given)
            continue
        if all(season.people[crop].mirror for crop in crops):
            counts.update(mirrors=1, mirror=given == {season.people[crops[0]].character.name})
        for crop in crops:
            if crop in shown.theirs or season.is_extra(crop):
                continue
            name, told = season.people[crop].character.name, found.get(crop)
            counts.update(all=1, right=told == name, wrong=told not in (None, name))
            if name in distinct:
                counts.update(alone=1, distinct=told == name)
    shares = {"right": "all", "wrong": "all", "distinct": "alone", "apart": "extras", "mirror": "mirrors"}
    return {name: counts[name] / max(counts[of], 1) for name, of in shares.items()}


def medians(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.median([it[name] for it in scores])) for name in scores[0]}


def measured(
    seasons: Sequence[Season],
    tracks: bool,
    checkout: Path | None = None,
    curve: Sequence[dict] = (),
    seeds: int = SEEDS,
) -> dict[str, dict[str, float]]:
    """The figures of each rule, in the middle over casts and choices of references."""
    scores: dict[str, list[dict[str, float]]] = defaultdict(list)
    for season in seasons:
        people = people_of(season, tracks)
        for seed in range(seeds):
            shown = choose(season, 100 * seed + season.cast.number)
            references = references_of(season, shown)
            found = {"ours": by_ours(season, people, references), "neme": by_neme(season, people, shown)}
            if checkout is not None and seed == 0:
                found["anime_screenshot_pipeline"] = by_anime_screenshot_pipeline(season, people, shown, checkout)
            for changes in curve:
                found[json.dumps(changes)] = by_ours(season, people, references, **changes)
            for rule, names in found.items():
                scores[rule].append(score(season, people, names, shown))
    return {rule: medians(of_rule) for rule, of_rule in scores.items()}


def cost(season: Season, names: int) -> tuple[float, int]:
    """Seconds of measuring and naming the people of a season by so many names, and pictures that the net sees."""
    shown = choose(season, 0)
    references = references_of(season, shown)
    many = [references.owners == number % len(references.names) for number in range(names)]
    rows = np.concatenate([np.flatnonzero(of_one) for of_one in many])
    owners = np.concatenate([np.full(of_one.sum(), number) for number, of_one in enumerate(many)])
    copies = ReferenceSet(
        tuple(f"{number:04d}" for number in range(names)), owners, ("",) * len(rows), ("",) * len(rows),
        references.vectors[rows], references.traits[rows], references.tags,
    )  # fmt: skip
    start_s = time.perf_counter()
    ids = [crop["image_id"] for crop in season.crops]
    season.vectors = dict(zip(ids, season.models["identity"].embed(season.pictures[it] for it in ids), strict=True))
    by_ours(season, people_of(season, tracks=False), copies)
    return time.perf_counter() - start_s, len(ids)


CURVE = [
    {"max_difference": limit, "min_margin": margin, "trait_weight": weight}
    for weight in (0.1, 0.2, 0.4)
    for limit in (0.14, 0.16, 0.18, 0.2, 0.25)
    for margin in (0.0, 0.01)
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--casts", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--anime-screenshot-pipeline", type=Path)
    for option in ("--tracks", "--curve", "--cost"):
        parser.add_argument(option, action="store_true")
    given = parser.parse_args()
    seasons = [season_of(number) for number in given.casts]
    if given.cost:
        (few_s, seen), (many_s, _) = cost(seasons[0], 5), cost(seasons[0], 40)
        print(f"5 names {few_s:.2f} s, 40 names {many_s:.2f} s: {many_s / few_s:.3f} times; {seen} pictures each")
    curve = CURVE if given.curve else []
    for rule, figures in measured(seasons, given.tracks, given.anime_screenshot_pipeline, curve).items():
        print(f"{rule:<70}", *(f"{name} {share:.3f}" for name, share in figures.items()), flush=True)


if __name__ == "__main__":
    main()
