"""Counts of people where they are hard to count: crowds, backs, cut-off figures, mirrors."""

from __future__ import annotations

from statistics import median

import pytest

from dataset_pipeline.base.tag_words import MANY, people_number
from dataset_pipeline.demo.harder import Still, harder_stills
from dataset_pipeline.images.crops import cut, plan_all_crops
from dataset_pipeline.images.detections import as_found_boxes
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.tags.filter import Known, decide_tags
from dataset_pipeline.tags.people import seen_on_images
from dataset_pipeline.tags.scores import scored_tags

IN_SIGHT = 0.03  # share of somebody that is to be seen, from which there is a person
SETTINGS = load_settings(DEFAULTS, models__pack="demo", models__device="cpu", crops__person_min_side_px=80)


def tables(stills: list[Still]) -> tuple[list[dict], list[dict], list[dict]]:
    """Rows of `images`, `detections` and `tag_scores` of the stills and their crops, by the demo pack."""
    models = model_resources(SETTINGS)
    rows = {}
    for number, still in enumerate(stills):
        place = {"x_px": 0, "y_px": 0, "width_px": still.image.shape[1], "height_px": still.image.shape[0]}
        still_id = f"harder.e1/{number:08d}"
        rows[still_id] = {"image_id": still_id, "still_id": still_id, "kind": "frame", "pixel_sha256": "", **place}
    found = as_found_boxes(models["detector"].detect([still.image for still in stills], ["person", "head", "face"]))
    boxes = [{"image_id": it, **box} for it, answer in zip(rows, found, strict=True) for box in answer["boxes"]]
    crops = [row for row in plan_all_crops(rows, boxes, SETTINGS.crops) if row["kept"]]
    pictures = dict(zip(rows, (still.image for still in stills), strict=True))
    images = [*rows.values(), *crops]
    tagged = models["tagger"].tag(cut(pictures[row["still_id"]], row) for row in images)
    tags = scored_tags(tagged.tags, tagged.categories, tagged.scores, SETTINGS.tag_scores.score_floor)
    return images, boxes, [{"image_id": row["image_id"], "tags": it} for row, it in zip(images, tags, strict=True)]


@pytest.mark.thorough
def test_nobody_is_lost_and_more_stills_are_counted_rightly_than_by_the_tagger_alone():
    people, rules, lost, seen_all, shares = (
        SETTINGS.people,
        load_rules(SETTINGS.tag_rules),
        0,
        0,
        {"boxes": [], "tagger": []},
    )
    for number in range(5):
        stills = list(harder_stills(number, per_shot=1, episodes=2))
        images, boxes, scored = tables(stills)
        seen = seen_on_images(images, boxes, (), people.doubt_score, people.seen_score)
        drawn = [sum(person.visible >= IN_SIGHT for person in still.people) for still in stills]
        still_ids = [row["image_id"] for row in images if row["image_id"] == row["still_id"]]
        lost += sum(seen[it].nobody for it, there in zip(still_ids, drawn, strict=True) if there)
        seen_all += sum(map(bool, drawn))
        for mode, right in shares.items():
            given = people.model_copy(update={"counts": mode})
            rows = decide_tags(scored, Known(seen=seen), SETTINGS.tags, given, SETTINGS.tag_thresholds, rules)
            told = {row["image_id"]: people_number(row["tags"]) for row in rows}
            right.append(sum(told[it] == min(MANY, n) for it, n in zip(still_ids, drawn, strict=True)) / len(stills))
    found = {mode: median(right) for mode, right in shares.items()}
    print(f"lost {lost} of {seen_all} stills with people; counted rightly, median of 5 casts: {found}")
    assert lost <= 0.01 * seen_all
    assert found["boxes"] >= 0.70
    assert found["boxes"] >= found["tagger"] + 0.15
