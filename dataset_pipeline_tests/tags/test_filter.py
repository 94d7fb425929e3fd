from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.settings import TagsSettings, load_settings, resources_folder
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.filter import decide_tags, implied_tags, is_people_count, sort_tags

DEFAULTS = load_settings(resources_folder() / "settings.toml").tags


def settings(**changes: object) -> TagsSettings:
    return TagsSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def scores(image_id: str = "show.e1/00000001", **categories: dict[str, float]) -> dict:
    entries = [
        {"tag": tag, "category": category, "score": float(np.float32(score))}
        for category, tags in categories.items()
        for tag, score in tags.items()
    ]
    return {"image_id": image_id, "tags": entries}


def decide(row: dict, characters: list[str] | None = None, **changes: object) -> dict:
    clusters = [] if characters is None else [{"image_id": row["image_id"], "characters": characters}]
    (decided,) = decide_tags([row], clusters, settings(**changes))
    SCHEMAS["tags"].table([decided])
    return decided


def reasons(decided: dict) -> dict[str, str]:
    return {entry["tag"]: entry["reason"] for entry in decided["dropped"]}


@pytest.mark.parametrize(
    ("tags", "left"),
    [
        (["hair", "long hair", "very long hair", "1girl", "girl"], ["very long hair", "1girl"]),
        (["dress", "red dress", "solo"], ["red dress", "solo"]),
        (
            ["1girl", "solo", "long_hair", "very_long_hair", "red_hair", "breasts", "medium_breasts"],
            ["1girl", "solo", "very_long_hair", "red_hair", "medium_breasts"],
        ),
        (["1girl", "multiple girls", "2girls", "solo focus"], ["1girl", "multiple girls", "2girls", "solo focus"]),
        (["cat", "cat ears", "ears"], ["cat", "cat ears"]),
        (["hat", "no hat"], ["hat", "no hat"]),
        (["hat", "that", "hatsune"], ["hat", "that", "hatsune"]),
        (["sword", "holding_sword"], ["holding_sword"]),
    ],
)
def test_a_tag_that_another_says_more_exactly_is_implied(tags: list[str], left: list[str]):
    implied = implied_tags(tags)
    assert [tag for tag in tags if tag not in implied] == left


def test_tags_are_sorted_solo_first_then_counts_of_people_then_by_probability():
    found = {"smile": 0.5, "1girl": 0.9, "hat": 0.8, "solo": 0.7, "2boys": 0.4}
    assert sort_tags(found) == ["solo", "1girl", "2boys", "hat", "smile"]
    assert sort_tags({"b": 0.5, "a": 0.5, "multiple girls": 0.1}) == ["multiple girls", "a", "b"]
    assert sort_tags(dict(reversed(found.items()))) == sort_tags(found)


@pytest.mark.parametrize("tag", ["1girl", "2girls", "6+boys", "1other", "multiple_girls", "multiple boys"])
def test_counts_of_people_are_known(tag: str):
    assert is_people_count(tag)


@pytest.mark.parametrize("tag", ["solo", "girl", "multiple views", "1girl_mask", "4koma", "old boys"])
def test_other_tags_are_no_counts_of_people(tag: str):
    assert not is_people_count(tag)


def test_a_tag_stays_from_its_categorys_probability_on():
    row = scores(
        general={"smile": 0.35, "hat": 0.3499}, character={"fern": 0.85, "stark": 0.84}, rating={"general": 0.9}
    )
    decided = decide(row)
    assert decided["tags"] == ["fern", "smile"]
    assert reasons(decided) == {"hat": "low_score", "stark": "low_score"}


def test_the_rating_is_the_most_probable_one_and_no_tag():
    decided = decide(scores(rating={"general": 0.3, "sensitive": 0.6, "explicit": 0.1}, general={"smile": 0.9}))
    assert (decided["rating"], decided["tags"]) == ("sensitive", ["smile"])
    assert decide(scores(general={"smile": 0.9}))["rating"] == ""


def test_the_blacklist_takes_spaces_and_underscores_and_case_for_the_same():
    decided = decide(
        scores(general={"solo_focus": 0.9, "smile": 0.8, "Highres": 0.9}), blacklist=["Solo Focus", "highres"]
    )
    assert decided["tags"] == ["smile"]
    assert reasons(decided) == {"solo_focus": "blacklist", "Highres": "blacklist"}


def test_a_blacklisted_tag_implies_nothing():
    assert decide(scores(general={"dress": 0.9, "red dress": 0.8}), blacklist=["red dress"])["tags"] == ["dress"]


def test_a_tag_below_its_probability_implies_nothing():
    assert decide(scores(general={"dress": 0.9, "red dress": 0.2}))["tags"] == ["dress"]


def test_an_implied_tag_names_the_one_that_implies_it():
    assert reasons(decide(scores(general={"dress": 0.9, "red_dress": 0.8}))) == {"dress": "implied by red_dress"}


def test_a_taggers_name_for_somebody_already_known_is_not_said_again():
    row = scores(character={"frieren_(sousou)": 0.99, "fern": 0.95}, general={"smile": 0.9})
    decided = decide(row, characters=["Fern"])
    assert decided["tags"] == ["frieren_(sousou)", "smile"]
    assert reasons(decided) == {"fern": "known_character"}


def test_the_most_probable_tags_stay_and_counts_of_people_before_them():
    found = {f"tag{i:02d}": 0.4 + i / 100 for i in range(40)} | {"1girl": 0.36, "solo": 0.37}
    decided = decide(scores(general=found), max_tags=5)
    assert decided["tags"] == ["solo", "1girl", "tag39", "tag38", "tag37"]
    assert len(decided["dropped"]) == 37
    assert set(reasons(decided).values()) == {"max_tags"}


def test_categories_that_say_nothing_about_the_picture_are_dropped_by_name():
    decided = decide(scores(general={"smile": 0.9}, artist={"somebody": 0.99}, meta={"scan": 0.99}))
    assert decided["tags"] == ["smile"]
    assert reasons(decided) == {"somebody": "artist", "scan": "meta"}


def test_every_image_has_a_row_even_without_tags_and_the_order_of_input_is_nothing():
    rows = [scores(f"show.e1/{i:08d}", general={"smile": 0.9, "hat": 0.9, "1girl": 0.8}) for i in range(3)]
    rows.append({"image_id": "show.e1/00000009", "tags": []})
    shuffled = [{**row, "tags": row["tags"][::-1]} for row in rows[::-1]]
    assert decide_tags(rows, [], DEFAULTS) == decide_tags(shuffled, [], DEFAULTS)
    assert decide_tags(rows, [], DEFAULTS)[-1]["tags"] == []
    assert decide_tags([], [], DEFAULTS) == []
