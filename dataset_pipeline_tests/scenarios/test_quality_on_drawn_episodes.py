"""What the whole chain achieves on drawn episodes whose cast, places and seeds no model was trained on."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from dataset_pipeline.base.tag_words import counted_people, is_people_count, people_number
from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.demo.training.vocabulary import FRAMINGS
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.settings.tag_rules import load_rules

NEAR = 0.5  # IoU from which a box is a hit
IN_SIGHT = 0.03  # share of somebody that is to be seen, from which there is a person


def iou(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def corners(row) -> tuple[float, float, float, float]:
    return row["x0_px"], row["y0_px"], row["x1_px"], row["y1_px"]


def held(one, other) -> bool:
    """Whether two drawings are one held pose: nobody moves but mouths and eyes, and neither does the camera."""
    camera = ("pan_x_px", "pan_y_px", "zoom", "darkness", "blur_sigma_px", "motion_blur_px")
    if any(getattr(one, name) != getattr(other, name) for name in camera) or len(one.people) != len(other.people):
        return False
    parts = ("person", "head", "hands")
    return all(
        np.allclose(np.ravel(getattr(a, part)), np.ravel(getattr(b, part)), atol=1.0)
        for a, b in zip(one.people, other.people, strict=True)
        for part in parts
        if np.size(getattr(a, part)) == np.size(getattr(b, part))
    )


def test_near_duplicates_of_held_frames_are_found_and_every_shot_keeps_a_frame(finished, drawn_show):
    frames = finished.rows("distinct_frames")
    by_shot: dict[tuple[str, int], list[dict]] = defaultdict(list)
    for row in frames:
        truth = drawn_show.truth_of(row["image_id"])
        by_shot[row["episode"], truth.shot_at(truth.frame_at(row["pts_s"])).index].append(row)
    found = []
    for (episode, shot), rows in by_shot.items():
        if drawn_show.truths[episode].shots[shot].kind == "ending":
            continue  # credits roll over it
        for i, row in enumerate(rows):
            twins = [other for other in rows[:i] if held(drawn_show.drawing_of(row), drawn_show.drawing_of(other))]
            if twins and drawn_show.drawing_of(row).people:
                found.append(any(row["group"] == twin["group"] for twin in twins))
    assert len(found) >= 20
    assert np.mean(found) >= 0.95, f"{np.sum(found)} of {len(found)} held frames were found"
    shots = {(key, shot.index) for key, truth in drawn_show.truths.items() for shot in truth.shots}
    assert {shot for shot in shots if not any(row["kept"] for row in by_shot[shot])} == set()


@pytest.mark.parametrize("kind", ["person", "head"])
def test_people_are_found_where_they_were_drawn(finished, drawn_show, kind):
    settings = finished.settings().crops
    stills = {row["image_id"]: row for row in finished.rows("distinct_frames") if row["kept"]}
    boxes: dict[str, list[dict]] = defaultdict(list)
    for row in finished.rows("detections"):
        if row["kind"] == kind and row["score"] >= settings.min_score(kind):
            boxes[row["image_id"]].append(row)
    hits = predicted = drawn = 0
    for image_id, still in stills.items():
        truths = [getattr(person, kind) for person in drawn_show.drawing_of(still).people]
        free = set(range(len(truths)))
        for row in sorted(boxes[image_id], key=lambda row: -row["score"]):
            best = max(free, key=lambda i: iou(corners(row), truths[i]), default=None)
            if best is not None and iou(corners(row), truths[best]) >= NEAR:
                free.discard(best)
                hits += 1
        predicted += len(boxes[image_id])
        drawn += len(truths)
    assert drawn >= 30
    assert hits / drawn >= 0.85, f"recall of {kind}: {hits}/{drawn}"
    assert hits / predicted >= 0.85, f"precision of {kind}: {hits}/{predicted}"


def named_crops(finished, drawn_show) -> list[tuple[str, str]]:
    """(true name, given name or empty) of each person crop that shows somebody of the cast."""
    stills = {row["image_id"]: row for row in finished.rows("distinct_frames")}
    given = {row["image_id"]: row["characters"] for row in finished.rows("clusters")}
    pairs = []
    for crop in finished.rows("crops"):
        if crop["kind"] != "person" or not crop["kept"] or crop["still_id"] not in stills:  # of a panorama
            continue
        box = (crop["x_px"], crop["y_px"], crop["x_px"] + crop["width_px"], crop["y_px"] + crop["height_px"])
        people = drawn_show.drawing_of(stills[crop["still_id"]]).people
        nearest = max(people, key=lambda person: iou(box, person.person), default=None)
        if nearest is None or iou(box, nearest.person) < NEAR:
            continue
        cast = {character.name for character in drawn_show.truth_of(crop["still_id"]).cast}
        if nearest.character.name in cast:
            pairs.append((nearest.character.name, (given[crop["image_id"]] or [""])[0]))
    return pairs


def test_one_character_is_one_cluster_over_all_episodes(finished, drawn_show):
    pairs = named_crops(finished, drawn_show)
    true, found = zip(*pairs, strict=True)
    assert len(pairs) >= 30
    assert adjusted_rand_score(true, found) >= 0.85
    usual = {name: Counter(given for drawn, given in pairs if drawn == name).most_common(1)[0][0] for name in set(true)}
    assert "" not in usual.values()
    assert len(set(usual.values())) == len(usual)


def test_hair_colours_are_tagged_rightly(finished, drawn_show):
    stills = {row["image_id"]: row for row in finished.rows("distinct_frames")}
    scores = {row["image_id"]: row["tags"] for row in finished.rows("tag_scores")}
    right = []
    for crop in finished.rows("crops"):
        if not crop["kept"] or crop["still_id"] not in stills:  # of a panorama
            continue
        box = (crop["x_px"], crop["y_px"], crop["x_px"] + crop["width_px"], crop["y_px"] + crop["height_px"])
        people = drawn_show.drawing_of(stills[crop["still_id"]]).people
        inside = [p for p in people if iou(box, getattr(p, crop["kind"])) >= 0.3]
        if len(inside) != 1:
            continue
        hair = [
            entry for entry in scores[crop["image_id"]] if entry["tag"].endswith("_hair") and is_colour(entry["tag"])
        ]
        best = max(hair, key=lambda entry: entry["score"], default=None)
        right.append(best is not None and best["tag"] == inside[0].character.hair_color)
    assert len(right) >= 60
    assert np.mean(right) >= 0.85


def people_drawn(finished, drawn_show) -> dict[str, int]:
    """How many people are to be seen on each still."""
    stills = (row for row in finished.rows("distinct_frames") if row["kept"])
    return {
        row["image_id"]: sum(person.visible >= IN_SIGHT for person in drawn_show.drawing_of(row).people)
        for row in stills
    }


def test_drawn_scenery_bears_no_tag_of_a_person_and_people_lose_none(finished, drawn_show):
    rules = load_rules(finished.settings().tag_rules)
    drawn = people_drawn(finished, drawn_show)
    stills = {row["image_id"]: row["still_id"] for row in finished.rows("images")}
    scenery = 0
    for row in finished.rows("tags"):
        if stills[row["image_id"]] not in drawn:  # of a panorama
            continue
        people = drawn[stills[row["image_id"]]]
        if people == 0 and row["image_id"] in drawn:
            scenery += 1
            assert [tag for tag in row["tags"] if is_people_count(tag) or rules.speaks_of_person(tag)] == []
            assert "solo" not in row["tags"]
        elif people:
            gone = [it["tag"] for it in row["dropped"] if it["reason"].startswith("seen")]
            lost = [tag for tag in gone if not is_people_count(tag) and tag not in ("solo", "no_humans", *FRAMINGS)]
            assert lost == [], row["image_id"]
            counted = any(is_people_count(tag) for tag in gone)
            assert not counted or any(map(is_people_count, row["tags"])), row["image_id"]
    assert scenery >= 5


def test_counts_of_people_agree_with_each_other_in_every_caption_and_mostly_with_the_drawing(finished, drawn_show):
    drawn = people_drawn(finished, drawn_show)
    right = []
    for row in finished.rows("captions"):
        said = row["caption"].split(", ")
        counted = [counted_people(tag)[0] for tag in said if is_people_count(tag)]
        assert len(counted) == len(set(counted)), row["caption"]
        assert "solo" not in said or people_number(said) <= 1, row["caption"]
        assert "no humans" not in said or not {"solo", *filter(is_people_count, said)} & set(said), row["caption"]
        assert len({tag.replace("_", " ") for tag in FRAMINGS} & set(said)) <= 1, row["caption"]
        if row["image_id"] in drawn:
            right.append(people_number(said) == drawn[row["image_id"]])
    assert len(right) >= 30
    assert np.mean(right) >= 0.85, f"{np.sum(right)} of {len(right)} stills are counted rightly"


def test_a_characters_core_tags_name_its_hair_and_its_images_do_not_repeat_them(finished, drawn_show):
    core = {row["character"]: set(row["tags"]) for row in finished.rows("core_tags")}
    drawn: dict[str, Counter] = {}
    for true, found in named_crops(finished, drawn_show):
        drawn.setdefault(found, Counter())[true] += 1
    hair = {character.name: character.hair_color for truth in drawn_show.truths.values() for character in truth.cast}
    told = {name: hair[counts.most_common(1)[0][0]] in core[name] for name, counts in drawn.items() if core.get(name)}
    assert len(told) >= 3
    assert sum(told.values()) / len(told) >= 0.8
    tags = {row["image_id"]: set(row["tags"]) for row in finished.rows("tags")}
    for row in finished.rows("clusters"):
        assert not any(core[name] & tags[row["image_id"]] for name in row["characters"])


def is_colour(tag: str) -> bool:
    from dataset_pipeline.demo.characters import HAIR_COLORS

    return tag in HAIR_COLORS


def test_a_blurred_frame_scores_lower_than_its_sharp_twin(finished):
    import cv2

    metric = model_resources(finished.settings())["quality"]
    sharp = [draw_scene(seed, (640, 360)).image for seed in range(91_000, 91_024)]
    blurred = [cv2.GaussianBlur(picture, (0, 0), 1.0 + 0.5 * (i % 4)) for i, picture in enumerate(sharp)]
    assert np.mean(metric.score(sharp) > metric.score(blurred)) >= 0.9
