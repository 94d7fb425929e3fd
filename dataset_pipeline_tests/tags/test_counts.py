from __future__ import annotations

import random

import pytest

from dataset_pipeline.base.tag_words import counted_people, is_people_count, people_number
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.tags.counts import agreeing_counts, decide_counts, sex_of
from dataset_pipeline.tags.filter import Known, decide_tags
from dataset_pipeline.tags.people import Seen, seen_on_images

SETTINGS = load_settings(resources_folder() / "settings.toml")
RULES = load_rules(SETTINGS.tag_rules)


def left(scores: dict[str, float], seen: Seen | None, sexes: tuple[str, ...] = (), mode: str = "boxes") -> set[str]:
    decided = decide_counts(scores, seen, sexes, mode)
    assert decided.dropped.keys() <= scores.keys()
    assert not decided.added.keys() & scores.keys()
    return scores.keys() - decided.dropped.keys() | decided.added.keys()


def of(number: int, most: int | None = None) -> Seen:
    return Seen(number, number if most is None else most)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"1girl": 0.9, "1boy": 0.5, "solo": 0.7}, {"1girl", "solo"}),
        ({"1girl": 0.9, "1boy": 0.8, "solo": 0.7}, {"1girl", "1boy"}),
        ({"2girls": 0.6, "solo": 0.7}, {"solo"}),
        ({"multiple_girls": 0.9, "2girls": 0.8, "solo": 0.7}, {"2girls"}),
        ({"1boy": 0.4, "no_humans": 0.9, "solo": 0.5}, {"1boy", "solo"}),
    ],
)
def test_a_taggers_counts_agree_with_each_other(scores: dict[str, float], expected: set[str]):
    assert scores.keys() - agreeing_counts(scores).keys() == expected
    assert left(scores, None) == left(scores, of(4), mode="tagger") == expected


@pytest.mark.parametrize(
    ("scores", "seen", "sexes", "expected"),
    [
        ({"1girl": 0.9, "1boy": 0.8}, of(2), ("boy", "boy"), {"1girl", "1boy"}),
        ({"1girl": 0.9, "solo": 0.9}, of(2), ("girl", "boy"), {"1girl", "1boy"}),
        ({"1girl": 0.9, "solo": 0.9}, of(2), ("girl", ""), {"multiple_girls"}),
        ({"1girl": 0.9, "1boy": 0.9}, of(3), ("girl", "", "boy"), set()),
        ({"1girl": 0.9, "1boy": 0.9}, of(3), ("girl", "girl", "boy"), {"2girls", "1boy"}),
        ({"1boy": 0.9, "1girl": 0.8, "solo": 0.9}, of(1), (), {"1boy", "solo"}),
        ({"1boy": 0.9, "1girl": 0.8, "2girls": 0.4}, of(1), ("girl",), {"1girl"}),
        ({"2girls": 0.9}, of(1), (), {"1girl"}),
        ({"2girls": 0.9}, of(1, 2), (), {"2girls"}),
        ({"3girls": 0.9}, of(1, 2), (), {"multiple_girls"}),
        ({"multiple_girls": 0.9}, of(4), (), {"multiple_girls"}),
        ({"6+girls": 0.9}, of(9), (), {"6+girls"}),
        ({"1girl": 0.9}, of(7), ("girl",) * 7, {"6+girls"}),
        ({"no_humans": 0.9}, of(1), ("boy",), {"1boy"}),
        ({"no_humans": 0.9}, of(1), ("",), set()),
        ({"no_humans": 0.9}, of(0, 1), (), {"no_humans"}),
        ({"smile": 0.9}, of(2), ("", ""), {"smile"}),
        ({"1girl": 0.9, "solo": 0.9, "smile": 0.9, "no_humans": 0.4}, of(0), (), {"smile", "no_humans"}),
    ],
)
def test_what_is_seen_decides_how_many_and_the_tagger_who(
    scores: dict[str, float], seen: Seen, sexes: tuple[str, ...], expected: set[str]
):
    assert left(scores, seen, sexes) == expected


def test_where_both_have_to_say_it_a_count_stays_only_where_they_agree():
    said = {"1girl": 0.9, "solo": 0.8}
    assert left(said, of(1), ("boy",), "both") == {"1girl", "solo"}
    assert left(said, of(2), ("girl", "girl"), "both") == set()
    assert left(said, of(0), (), "both") == set()
    assert left({"solo": 0.9, "smile": 0.9}, of(1), ("girl",), "both") == {"smile"}
    assert left({"2girls": 0.8, "solo": 0.9}, of(1), ("girl",), "both") == set()


def test_the_reason_says_what_was_seen():
    decided = decide_counts({"1girl": 0.9, "solo": 0.9}, of(2), ("girl", "boy"), "boxes")
    assert decided.dropped == {"solo": "seen: 2 people"}
    assert decided.added == {"1boy": (1.0, "seen: 2 people")}
    assert decide_counts({"1girl": 0.9}, of(0), (), "boxes").dropped == {"1girl": "seen: nobody"}


def test_a_sex_is_that_of_the_mean_over_a_persons_crops():
    assert sex_of([{"1girl": 0.9, "1boy": 0.2}, {"1girl": 0.3, "1boy": 0.8}], 0.35) == "girl"
    assert sex_of([{"1girl": 0.5, "1boy": 0.5}], 0.35) == ""
    assert sex_of([{"1girl": 0.3}], 0.35) == ""
    assert sex_of([], 0.35) == ""


COUNTS = [f"{number}{kind}" for kind in ("girl", "boy", "other") for number in (1,)]
COUNTS += [f"{n}{kind}s" for kind in ("girl", "boy", "other") for n in ("2", "3", "4", "5", "6+", "multiple_")]
OTHERS = ["solo", "no_humans", "long_hair", "blue_eyes", "dress", "smile", "upper_body", "portrait", "outdoors", "tree"]


def contradictions(tags: list[str]) -> list[str]:
    counts = [tag for tag in tags if is_people_count(tag)]
    found = [
        f"two counts of {kind}s"
        for kind in ("girl", "boy", "other")
        if sum(counted_people(tag)[0] == kind for tag in counts) > 1
    ]
    found += ["solo with others"] * ("solo" in tags and people_number(tags) > 1)
    framed = {"portrait", "upper_body"} & set(tags)
    found += ["no humans with a composition"] * ("no_humans" in tags and bool(framed))
    found += ["no humans with people"] * ("no_humans" in tags and (bool(counts) or "solo" in tags))
    return found


def made_up(seed: int) -> tuple[list[dict], list[dict], list[dict]]:
    """A still and some crops of it: rows of `images`, boxes and scores that have nothing to do with each other."""
    random_ = random.Random(seed)
    still = f"show.e1/{seed:08d}"
    images = [
        {"image_id": still, "still_id": still, "kind": "frame", "x_px": 0, "y_px": 0, "width_px": 640, "height_px": 360}
    ]
    boxes = []
    for _ in range(random_.choice((0, 0, 1, 2, 3, 8))):
        x0, y0 = random_.uniform(0, 500), random_.uniform(0, 300)
        x1, y1 = min(640.0, x0 + random_.uniform(20, 300)), min(360.0, y0 + random_.uniform(20, 300))
        corners = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), (x0, y0, x1, y1), strict=True))
        kind = random_.choice(("person", "head", "face", "hand"))
        boxes.append({"image_id": still, "kind": kind, "score": random_.random(), **corners})
        place = {"x_px": int(x0), "y_px": int(y0), "width_px": int(x1 - x0), "height_px": int(y1 - y0)}
        images.append({"image_id": f"{still}#{kind}-{len(boxes)}-0-0-0", "still_id": still, "kind": kind, **place})
    scored = [
        {
            "image_id": row["image_id"],
            "tags": [
                {"tag": tag, "category": "general", "score": random_.random()}
                for tag in random_.sample(COUNTS, random_.randint(0, 6)) + random_.sample(OTHERS, 6)
            ],
        }
        for row in images
    ]
    return images, boxes, scored


@pytest.mark.parametrize("mode", ["boxes", "tagger", "both"])
def test_no_image_contradicts_itself_or_loses_a_person_whatever_tagger_and_boxes_say(mode: str):
    people = SETTINGS.people.model_copy(update={"counts": mode})
    nobody = changed = 0
    for seed in range(400):
        images, boxes, scored = made_up(seed)
        seen = seen_on_images(images, boxes, (), people.doubt_score, people.seen_score)
        decided = decide_tags(scored, Known(seen=seen), SETTINGS.tags, people, SETTINGS.tag_thresholds, RULES)
        for row, given in zip(decided, sorted(scored, key=lambda it: it["image_id"]), strict=True):
            told, tags = seen[row["image_id"]], row["tags"]
            assert contradictions(tags) == [], (row["image_id"], tags)
            assert mode != "both" or "solo" not in tags or any(map(is_people_count, tags))
            assert sum(tag in ("portrait", "upper_body") for tag in tags) <= 1
            reached = {it["tag"] for it in given["tags"] if it["score"] >= 0.35}
            assert reached - {it["tag"] for it in row["dropped"]} | {it["tag"] for it in row["added"]} == set(tags)
            of_person = {"long_hair", "blue_eyes", "dress", "smile"} & reached
            changed += any(it["reason"].startswith("seen") for it in row["dropped"])
            if mode == "tagger":
                assert of_person <= set(tags)
                continue
            if told.nobody:
                nobody += 1
                assert not of_person & set(tags)
                assert people_number(tags) == 0
                assert "solo" not in tags
            else:
                assert of_person <= set(tags)
                assert people_number(tags) <= min(6, told.at_most) or any("multiple" in tag for tag in tags)
                assert not (told.at_least > 1 and "solo" in tags)
    assert mode == "tagger" or (nobody >= 50 and changed >= 300)
