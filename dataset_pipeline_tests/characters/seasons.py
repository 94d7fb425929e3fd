"""Drawn seasons without video: the crops of an easy or a harder cast, with who they show, and how well ways to tell
people apart do on them. The boxes are the drawn ones; they become crops by the pipeline's own rule."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dataset_pipeline.base.ids import episode_of, pts_ms_of
from dataset_pipeline.characters.appearances import Appearances, appearances_of
from dataset_pipeline.characters.building import build_gallery
from dataset_pipeline.characters.cut_off import completed_crop
from dataset_pipeline.characters.gallery import decide_clusters
from dataset_pipeline.demo.characters import TEST_CAST, Character, random_character
from dataset_pipeline.demo.episodes import TEST_SHOW, ShowPlan, draw_episode
from dataset_pipeline.demo.harder import HarderCast, harder_cast, harder_show
from dataset_pipeline.demo.scenes import NO_BOX, DrawnPerson
from dataset_pipeline.images.crops import cut, plan_crops
from dataset_pipeline.models import Identity
from dataset_pipeline.settings import ClusteringMethod, load_settings, resources_folder

CASTS = range(5)
PER_SHOT = 3
LEAST_SIDE_PX = 24
SETTINGS = load_settings(
    resources_folder() / "settings.toml",
    models__pack="demo",
    crops__person_min_side_px=LEAST_SIDE_PX,
    crops__head_min_side_px=LEAST_SIDE_PX,
)


@dataclass(frozen=True)
class Season:
    """Crops of a cast: rows of `crops`, their vectors, and who each shows. people: the members of the cast."""

    crops: list[dict]
    vectors: dict[str, np.ndarray]
    shown: dict[str, DrawnPerson]
    people: tuple[str, ...]
    harder: HarderCast | None = None

    @property
    def stills(self) -> list[str]:
        return sorted({crop["still_id"] for crop in self.crops})

    @property
    def shots(self) -> list[dict]:
        """Rows of `shots`, as far as `clusters` reads them: each shot has a second of its own, see `_stills`."""
        found = sorted({(episode_of(still), (pts_ms_of(still) or 0) // 1000) for still in self.stills})
        return [{"episode": episode, "start_s": float(second)} for episode, second in found]


def easy_season(number: int, identity: Identity) -> Season:
    """Five people who differ in hair, eyes and clothes; cast 0 is that of the tests."""
    rng = random.Random(7_000 + number)
    cast: list[Character] = list(TEST_CAST) if number == 0 else []
    while len(cast) < len(TEST_CAST):
        one = random_character(rng, TEST_CAST[len(cast)].name)
        if all(one.hair_color != other.hair_color and one.outfit != other.outfit for other in cast):
            cast.append(one)
    show = replace(TEST_SHOW, cast=tuple(cast), seed=TEST_SHOW.seed + number)
    return _season(show, tuple(one.name for one in cast), identity)


def harder_season(number: int, identity: Identity) -> Season:
    cast = harder_cast(number)
    people = tuple(dict.fromkeys(look.name for look in cast.looks))
    return replace(_season(harder_show(number), people, identity), harder=cast)


def _season(show: ShowPlan, people: tuple[str, ...], identity: Identity) -> Season:
    crops, shown, pictures = [], {}, []
    for still, image, drawn in _stills(show):
        size = (image.shape[1], image.shape[0])
        boxes = [
            {"kind": kind, "score": 0.9, "person": person}
            | dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), getattr(person, kind), strict=True))
            for person in drawn
            for kind in ("person", "head")
            if getattr(person, kind) != NO_BOX
        ]
        whose = {
            crop["image_id"]: box["person"]
            for box in reversed(boxes)
            for crop in plan_crops(still, size, [box], SETTINGS.crops)
        }
        for crop in plan_crops(still, size, boxes, SETTINGS.crops):
            if crop["kept"]:
                crops.append(crop)
                shown[crop["image_id"]] = whose[crop["image_id"]]
                pictures.append(completed_crop(crop["image_id"], cut(image, crop)))
    vectors = identity.embed(pictures)
    return Season(crops, dict(zip(shown, vectors, strict=True)), shown, people)


def _stills(show: ShowPlan) -> Iterator[tuple[str, np.ndarray, tuple[DrawnPerson, ...]]]:
    for episode in range(1, len(show.scripts) + 1):
        for number, (_, _, cels) in enumerate(draw_episode(show, episode)):
            frames = [cel for cel, held in cels for _ in range(held)]
            for k in range(PER_SHOT):
                cel = frames[int(len(frames) * (k + 0.5) / PER_SHOT)]
                yield f"season.e{episode}/{1000 * number + 100 * k:08d}", cel.image, cel.people


def clusters_of(season: Season, identity: Identity, method: ClusteringMethod = "average") -> list[dict]:
    """Rows of `clusters`, by the gallery of the whole season."""
    return _clusters(season, appearances_of(season.crops, season.vectors), identity, method)


def by_bodies_alone(season: Season, identity: Identity) -> list[dict]:
    """The same of the bodies alone and without votes, the rule that appearances took the place of."""
    bodies = replace(season, crops=[crop for crop in season.crops if crop["kind"] == "person"])
    appearances = replace(appearances_of(bodies.crops, bodies.vectors), rivals=np.zeros((0, 2), np.int64))
    return _clusters(bodies, appearances, identity, "average")


def _clusters(season: Season, appearances: Appearances, identity: Identity, method: ClusteringMethod) -> list[dict]:
    settings = SETTINGS.character_gallery.model_copy(update={"method": method})
    gallery = build_gallery("season", appearances, identity.differences, identity.threshold, settings)
    return decide_clusters(
        season.stills,
        season.crops,
        season.vectors,
        gallery,
        identity.differences,
        identity.threshold,
        shots=season.shots,
    )


def characters_of(rows: Sequence[dict]) -> dict[str, str]:
    """The character of each body, empty for nobody."""
    return {row["image_id"]: (row["characters"] or [""])[0] for row in rows if row["kind"] == "person"}


def rand_index(season: Season, given: Mapping[str, str], names: Sequence[str]) -> float:
    """Adjusted Rand index over the crops of these people; nobody known counts as one more character."""
    from sklearn.metrics import adjusted_rand_score

    ids = [image_id for image_id in given if season.shown[image_id].character.name in names]
    return adjusted_rand_score(
        [season.shown[image_id].character.name for image_id in ids], [given[image_id] for image_id in ids]
    )


def one_id_over_episodes(season: Season, given: Mapping[str, str], names: Sequence[str]) -> float:
    """The share of these people whose usual character is the same in all episodes."""
    usual: dict[str, dict[str, Counter]] = defaultdict(lambda: defaultdict(Counter))
    for image_id, character in given.items():
        usual[season.shown[image_id].character.name][image_id.partition("/")[0]][character] += 1
    same = [len({counts.most_common(1)[0][0] for counts in usual[name].values()}) == 1 for name in names]
    return sum(same) / len(same)


def outfits_apart(season: Season, rows: Sequence[dict]) -> float:
    """Adjusted Rand index of outfits within the people who have two, the mean of people, over bodies with an outfit."""
    from sklearn.metrics import adjusted_rand_score

    assert season.harder is not None
    scores = []
    for name, worn in season.harder.outfits().items():
        mine = [
            (season.shown[row["image_id"]].character.outfit, f"{row['characters']} {row['outfit']}")
            for row in rows
            if row["kind"] == "person" and season.shown[row["image_id"]].character.name == name
        ]
        if len(worn) > 1 and mine:
            true, found = zip(*mine, strict=True)
            scores.append(adjusted_rand_score(true, found))
    return float(np.mean(scores))
