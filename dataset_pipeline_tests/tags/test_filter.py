from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.base.tag_words import is_people_count, people_number
from dataset_pipeline.settings import TagsSettings, TagThresholdsSettings, load_settings, resources_folder
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.filter import Known, decide_tags, people_numbers, sort_tags
from dataset_pipeline.tags.people import Seen

SETTINGS = load_settings(resources_folder() / "settings.toml")
DEFAULTS, THRESHOLDS = SETTINGS.tags, SETTINGS.tag_thresholds
RULES = load_rules(SETTINGS.tag_rules)
IMAGE = "show.e1/00000001"


def settings(**changes: object) -> TagsSettings:
    return TagsSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def thresholds(**changes: float) -> TagThresholdsSettings:
    return TagThresholdsSettings.model_validate({**THRESHOLDS.model_dump(), **changes})


def scores(image_id: str = IMAGE, **categories: dict[str, float]) -> dict:
    entries = [
        {"tag": tag, "category": category, "score": float(np.float32(score))}
        for category, tags in categories.items()
        for tag, score in tags.items()
    ]
    return {"image_id": image_id, "tags": entries}


def decide(row: dict, known: Known | None = None, limits: dict[str, float] | None = None, **changes: object) -> dict:
    people = SETTINGS.people.model_copy(update={"counts": changes.pop("counts", SETTINGS.people.counts)})
    given = known or Known(), settings(**changes), people, thresholds(**limits or {}), RULES
    (decided,) = decide_tags([row], *given)
    SCHEMAS["tags"].table([decided])
    assert people_numbers([row], given[0], people, given[3]) == {row["image_id"]: decided["n_people"]}
    return decided


def of(*characters: str, **core: list[str]) -> Known:
    return Known({IMAGE: list(characters)}, core)


def reasons(decided: dict) -> dict[str, str]:
    return {entry["tag"]: entry["reason"] for entry in decided["dropped"]}


def test_tags_are_sorted_solo_first_then_counts_of_people_then_by_probability():
    found = {"smile": 0.5, "1girl": 0.9, "hat": 0.8, "solo": 0.7, "2boys": 0.4}
    assert sort_tags(found) == ["solo", "1girl", "2boys", "hat", "smile"]
    assert sort_tags({"b": 0.5, "a": 0.5, "multiple girls": 0.1}) == ["multiple girls", "a", "b"]
    assert sort_tags(dict(reversed(found.items()))) == sort_tags(found)


def test_the_original_order_and_that_of_names_keep_solo_and_counts_of_people_in_front():
    given = dict.fromkeys(["a", "multiple girls", "b", "solo"], 0.5)
    assert sort_tags(given, "original") == ["solo", "multiple girls", "a", "b"]
    assert sort_tags({"b": 0.9, "c": 0.5, "a": 0.1, "1girl": 0.2}, "name") == ["1girl", "a", "b", "c"]


def test_a_shuffled_order_is_the_seeds_and_the_images_alone():
    given = {f"tag{number}": number / 10 for number in range(9)} | {"solo": 0.1}
    one = sort_tags(given, "shuffle", "0 image 1")
    assert one == sort_tags(dict(reversed(given.items())), "shuffle", "0 image 1")
    assert one[0] == "solo"
    assert sorted(one) == sorted(given)
    assert len({tuple(sort_tags(given, "shuffle", f"0 image {number}")) for number in range(5)}) == 5


@pytest.mark.parametrize("tag", ["1girl", "2girls", "6+boys", "1other", "multiple_girls", "multiple boys"])
def test_counts_of_people_are_known(tag: str):
    assert is_people_count(tag)


@pytest.mark.parametrize("tag", ["solo", "girl", "multiple views", "1girl_mask", "4koma", "old boys"])
def test_other_tags_are_no_counts_of_people(tag: str):
    assert not is_people_count(tag)


@pytest.mark.parametrize(
    ("tags", "people"),
    [
        (["1girl", "1boy"], 2),
        (["2girls", "multiple_girls"], 2),
        (["6+girls"], 6),
        (["3girls", "3boys"], 6),
        (["4girls", "5boys"], 6),
        (["solo"], 0),
        (["5girls"], 5),
        (["1girl", "2girls"], 2),
        (["multiple boys"], 2),
        ([], 0),
    ],
)
def test_people_are_the_most_girls_and_the_most_boys_that_any_tag_counts_and_six_are_many(tags: list[str], people: int):
    assert people_number(tags) == people


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
        scores(general={"long_hair": 0.9, "smile": 0.8, "Highres": 0.9}), blacklist=["Long Hair"], overlaps="none"
    )
    assert decided["tags"] == ["smile"]
    assert reasons(decided) == {"long_hair": "blacklist", "Highres": "blacklist"}


def test_a_blacklisted_tag_implies_nothing():
    assert decide(scores(general={"dress": 0.9, "red dress": 0.8}), blacklist=["red dress"])["tags"] == ["dress"]


def test_a_tag_below_its_probability_implies_nothing():
    assert decide(scores(general={"dress": 0.9, "red dress": 0.2}))["tags"] == ["dress"]


def test_an_implied_tag_names_the_one_that_implies_it():
    assert reasons(decide(scores(general={"dress": 0.9, "red_dress": 0.8}))) == {"dress": "implied by red_dress"}
    assert reasons(decide(scores(general={"animal_ears": 0.9, "cat_ears": 0.8}))) == {
        "animal_ears": "implied by cat_ears"
    }


def test_a_taggers_name_for_somebody_already_known_is_not_said_again():
    row = scores(character={"frieren_(sousou)": 0.99, "fern": 0.95}, general={"smile": 0.9})
    decided = decide(row, of("Fern"))
    assert decided["tags"] == ["frieren_(sousou)", "smile"]
    assert reasons(decided) == {"fern": "known_character"}
    assert reasons(decide(row, of("Fern|black robe"))) == {"fern": "known_character"}


def test_the_most_probable_tags_stay_and_counts_of_people_before_them():
    found = {f"tag{i:02d}": 0.4 + i / 100 for i in range(40)} | {"1girl": 0.36, "solo": 0.37}
    decided = decide(scores(general=found), max_tags=5)
    assert decided["tags"] == ["solo", "1girl", "tag39", "tag38", "tag37"]
    assert len(decided["dropped"]) == 37
    assert set(reasons(decided).values()) == {"max_tags"}
    assert decide(scores(general=found), max_tags=5, sort="name")["tags"] == [
        "solo",
        "1girl",
        "tag37",
        "tag38",
        "tag39",
    ]


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ({"multiple girls": 0.95, "2girls": 0.9, "3girls": 0.4}, ["2girls"]),
        ({"2girls": 0.4, "3girls": 0.9, "6+girls": 0.5}, ["3girls"]),
        ({"multiple_girls": 0.9, "1boy": 0.5}, ["multiple_girls", "1boy"]),
        ({"1girl": 0.9, "2boys": 0.8, "1boy": 0.5, "1other": 0.4}, ["1girl", "2boys", "1other"]),
        ({"1girl": 0.5, "no humans": 0.9}, ["1girl"]),
        ({"multiple boys": 0.5, "no_humans": 0.9}, ["multiple boys"]),
        ({"no humans": 0.9, "solo": 0.5}, ["no humans"]),
        ({"no humans": 0.5, "solo": 0.9}, ["solo"]),
        ({"1girl": 0.5, "2girls": 0.5}, ["1girl"]),
    ],
)
def test_people_are_counted_once_by_the_most_probable_number(found: dict[str, float], left: list[str]):
    decided = decide(scores(general=found))
    assert decided["tags"] == left
    assert reasons(decided) == dict.fromkeys(found.keys() - set(left), "other_count")


def test_counts_that_a_person_wrote_or_that_nothing_prunes_stay():
    written = ["multiple girls", "2girls", "3girls", "no humans"]
    row = scores(general=dict.fromkeys(written, 0.9))
    assert decide(row, Known(hand_edited={IMAGE: written}))["tags"] == written
    assert set(decide(row, prune="none")["tags"]) == set(written)


@pytest.mark.parametrize(
    ("found", "seen", "changes", "people"),
    [
        ({"2girls": 0.9, "1boy": 0.9}, None, {}, 3),
        ({"2girls": 0.9, "3girls": 0.5, "solo": 0.4}, None, {"prune": "none"}, 2),
        ({"1girl": 0.9}, None, {"blacklist": ["1girl"]}, 1),
        ({"1girl": 0.9, "1boy": 0.9}, Seen(3, 3), {}, 3),  # of whom nobody knows the third
        ({"smile": 0.9}, Seen(9, 9), {}, 6),
        ({"smile": 0.9}, Seen(2, 2), {"counts": "tagger"}, 0),
        ({"1girl": 0.9}, Seen(0, 0), {}, 0),
        ({}, None, {}, 0),
    ],
)
def test_people_are_numbered_by_the_counts_that_are_left_else_by_those_who_are_seen(
    found: dict[str, float], seen: Seen | None, changes: dict, people: int
):
    known = Known(seen={IMAGE: seen} if seen else {})
    assert decide(scores(general=found), known, **changes)["n_people"] == people


def test_what_a_person_wrote_stays_where_nobody_is_seen_and_numbers_the_people():
    written = ["2girls", "1boy", "solo", "portrait", "full body"]
    known = Known(hand_edited={IMAGE: written}, seen={IMAGE: Seen()}, composition={IMAGE: "upper body"})
    decided = decide(scores(general={"hat": 0.9}), known, nobody_tags=["scenery"])
    assert (decided["tags"], decided["n_people"], decided["added"]) == (written, 3, [])


def test_where_nobody_is_seen_no_character_is_named_and_the_tags_of_the_settings_come():
    row = scores(general={"1girl": 0.9, "tree": 0.8, "no_humans": 0.4}, character={"fern": 0.95})
    decided = decide(row, Known(seen={IMAGE: Seen()}), nobody_tags=["scenery", "no humans"])
    assert decided["tags"] == ["scenery", "tree", "no_humans"]
    assert reasons(decided) == {"1girl": "seen: nobody", "fern": "seen: nobody"}
    assert decided["added"] == [{"tag": "scenery", "reason": "seen: nobody"}]
    assert decide(row, Known(seen={IMAGE: Seen()}), sort="original", nobody_tags=["a"])["tags"] == [
        "tree",
        "no_humans",
        "a",
    ]


def test_categories_that_are_switched_off_are_dropped_by_name():
    decided = decide(scores(general={"smile": 0.9}, artist={"somebody": 0.99}, meta={"scan": 0.99}, strange={"x": 1.0}))
    assert decided["tags"] == ["smile"]
    assert reasons(decided) == {"somebody": "artist", "scan": "meta", "x": "strange"}


def test_artists_and_series_that_are_switched_on_have_columns_of_their_own():
    row = scores(general={"smile": 0.9}, artist={"b": 0.6, "a": 0.9}, copyright={"frieren": 0.9}, meta={"comic": 0.9})
    decided = decide(row, limits={"artist": 0.5, "copyright": 0.5, "meta": 0.5})
    assert (decided["artists"], decided["series"], decided["tags"]) == (["a", "b"], ["frieren"], ["comic", "smile"])


FERN = {"1girl": 0.99, "purple_hair": 0.9, "purple_eyes": 0.8, "black_robe": 0.7, "smile": 0.6, "robe": 0.5}


@pytest.mark.parametrize(
    ("prune", "left"),
    [
        ("none", ["1girl", "purple_hair", "purple_eyes", "black_robe", "smile", "robe"]),
        ("minimal", ["1girl", "purple_hair", "purple_eyes", "black_robe", "smile"]),
        ("character", ["1girl", "black_robe", "smile"]),
        ("character_core", ["1girl", "purple_eyes", "smile"]),
    ],
)
def test_what_pruning_leaves_of_a_known_character(prune: str, left: list[str]):
    known = of("fern", fern=["purple hair", "black robe"], stark=["smile"])
    assert decide(scores(general=FERN), known, prune=prune)["tags"] == left


@pytest.mark.parametrize("prune", ["minimal", "character", "character_core"])
def test_nothing_is_pruned_of_somebody_unknown(prune: str):
    left = ["1girl", "purple_hair", "purple_eyes", "black_robe", "smile"]
    assert decide(scores(general=FERN), of(fern=["purple hair"]), prune=prune)["tags"] == left


def test_pruned_tags_keep_the_reason():
    told = reasons(decide(scores(general=FERN), of("fern", "stark", fern=["purple hair"], stark=["smile"])))
    assert told == {"robe": "implied by black_robe", "purple_hair": "core tag of fern", "smile": "core tag of stark"}
    assert reasons(decide(scores(general=FERN), of("fern"), prune="character"))["purple_eyes"] == "trait"


def test_pruning_nothing_keeps_even_blacklisted_tags():
    assert decide(scores(general={"highres": 0.9, "smile": 0.8}), prune="none")["tags"] == ["highres", "smile"]


NANOHA = scores(general={"1girl": 0.9, "red_hair": 0.5, "smile": 0.49}, character={"takamachi_nanoha": 0.8})
HALF = {"general": 0.5, "character": 0.5}


def test_without_a_concept_a_character_tag_stands_among_the_others():
    assert set(decide(NANOHA, limits=HALF)["tags"]) == {"1girl", "red_hair", "takamachi_nanoha"}


def test_a_concepts_images_lose_their_character_tags_and_bear_its_activation_tag():
    waifu = {"name": "red-haired", "query": "1girl and not 1boy and red_hair", "activation_tag": "waifu"}
    decided = decide(NANOHA, limits=HALF, concepts=[waifu])
    assert (decided["concepts"], decided["activation_tags"]) == (["red-haired"], ["waifu"])
    assert decided["tags"] == ["1girl", "red_hair"]
    assert reasons(decided) == {"smile": "low_score", "takamachi_nanoha": "concept red-haired"}


def test_a_concept_may_ask_for_characters_quality_and_rating():
    row = scores(general={"1girl": 0.9}, rating={"general": 0.9})
    known = Known({IMAGE: ["fern"]}, {}, {IMAGE: 0.6})
    asked = [
        {"name": name, "query": query, "activation_tag": name}
        for name, query in (("a", "character:fern"), ("b", "quality > 0.6"), ("c", "quality >= 0.6 and rating:general"))
    ]
    assert decide(row, known, concepts=asked)["concepts"] == ["a", "c"]


def test_what_a_person_wrote_stays_as_it_is_whatever_the_tagger_says():
    row = scores(general={"dress": 0.9, "red dress": 0.9, "smile": 0.2}, rating={"general": 0.9})
    known = Known({IMAGE: ["fern"]}, {"fern": ["red dress"]}, {}, {IMAGE: ["highres", "red dress", "dress", "solo"]})
    decided = decide(row, known, max_tags=1, prune="character_core")
    assert decided["tags"] == ["highres", "red dress", "dress", "solo"]
    assert (decided["hand_edited"], decided["rating"]) == (True, "general")
    other = decide(scores(general={"hat": 0.99}), known)
    assert other["tags"] == decided["tags"]
    assert reasons(other) == {"hat": "hand_edited"}


def test_every_image_has_a_row_even_without_tags_and_the_order_of_input_is_nothing():
    rows = [scores(f"show.e1/{i:08d}", general={"smile": 0.9, "hat": 0.9, "1girl": 0.8}) for i in range(3)]
    rows.append({"image_id": "show.e1/00000009", "tags": []})
    shuffled = [{**row, "tags": row["tags"][::-1]} for row in rows[::-1]]

    def decided(given: list[dict]) -> list[dict]:
        return decide_tags(given, Known(), DEFAULTS, SETTINGS.people, THRESHOLDS, RULES)

    assert decided(rows) == decided(shuffled)
    assert decided(rows)[-1]["tags"] == []
    assert decided([]) == []
