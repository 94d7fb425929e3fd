from __future__ import annotations

import json

import pyarrow as pa
import pytest

from dataset_pipeline.settings import CoreTagsSettings, load_settings, resources_folder
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.core import (
    TagCounts,
    core_markdown,
    core_rows,
    count_tags,
    describing_tags,
    emb_init,
    wildcard,
)

SETTINGS = load_settings(resources_folder() / "settings.toml")
RULES = load_rules(SETTINGS.tag_rules)
WORKED = {"long hair": 5, "red eyes": 2, "smile": 5, "open mouth": 3, "hat": 1, "mole under mouth": 5, "white shirt": 2}


def scored(images: dict[str, dict[str, float]], category: str = "general") -> pa.Table:
    measured = {"pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"}
    return SCHEMAS["tag_scores"].table(
        [
            {"image_id": image_id, **measured}
            | {"tags": [{"tag": tag, "category": category, "score": score} for tag, score in tags.items()]}
            for image_id, tags in images.items()
        ]
    )


def on(images: dict[str, list[str]]) -> pa.Table:
    return SCHEMAS["clusters"].table(
        [
            {"image_id": image_id, "still_id": image_id, "kind": "still", "characters": names}
            for image_id, names in images.items()
        ]
    )


def core(counts: dict[str, TagCounts], **changes: object) -> dict[str, list[str]]:
    settings = CoreTagsSettings.model_validate({**SETTINGS.core_tags.model_dump(), **changes})
    return {row["character"]: row["tags"] for row in core_rows("show", counts, settings, RULES)}


def worked_example() -> tuple[pa.Table, pa.Table]:
    images = {f"i{n}": {tag: 0.9 for tag, count in WORKED.items() if n < count} for n in range(5)}
    return scored(images), on({image_id: ["fern"] for image_id in images})


def test_core_tags_stand_on_two_images_of_five_and_a_mole_under_the_mouth_is_no_open_mouth():
    counts = count_tags(*worked_example(), 0.35)
    assert counts["fern"].images == 5
    assert counts["fern"].tags == WORKED
    assert core(counts) == {"fern": ["long hair", "mole under mouth", "red eyes", "white shirt"]}


def test_a_larger_share_or_too_few_images_leave_fewer():
    counts = count_tags(*worked_example(), 0.35)
    assert core(counts, min_share=0.41) == {"fern": ["long hair", "mole under mouth"]}
    assert core(counts, min_images=6) == {"fern": []}


def test_only_images_with_just_one_character_and_no_second_person_count():
    tags = {
        "alone": {"solo": 0.9, "1girl": 0.9, "red_hair": 0.9},
        "two": {"red_hair": 0.9},
        "nobody": {"red_hair": 0.9},
        "crowd": {"1girl": 0.9, "1boy": 0.9, "red_hair": 0.9},
        "pair": {"2girls": 0.4, "red_hair": 0.9},
        "unsure": {"2girls": 0.3, "red_hair": 0.9},
    }
    names = {"alone": ["a"], "two": ["a", "b"], "nobody": [], "crowd": ["a"], "pair": ["a"], "unsure": ["a"]}
    counts = count_tags(scored(tags), on(names), 0.35)
    assert set(counts) == {"a"}
    assert counts["a"].images == 2
    assert counts["a"].tags == {"solo": 1, "1girl": 1, "red_hair": 2}


def test_only_general_tags_from_the_threshold_on_count():
    images = {"i": {"red_hair": 0.35, "hat": 0.3499}}
    assert count_tags(scored(images), on({"i": ["a"]}), 0.35)["a"].tags == {"red_hair": 1}
    assert count_tags(scored(images, "character"), on({"i": ["a"]}), 0.35)["a"].tags == {}


def test_episodes_are_counted_one_after_another():
    counts: dict[str, TagCounts] = {}
    for hair in ("red_hair", "blue_hair", "red_hair"):
        count_tags(scored({"i": {hair: 0.9}}), on({"i": ["a"]}), 0.35, counts)
    assert (counts["a"].images, counts["a"].tags) == (3, {"red_hair": 2, "blue_hair": 1})
    assert count_tags(scored({}), on({}), 0.35) == {}
    assert count_tags(scored({"i": {}}), on({"i": ["a"]}), 0.35)["a"].images == 1


def test_tables_in_several_chunks_and_another_order_count_the_same():
    tables, clusters = worked_example()
    turned = pa.concat_tables([tables.slice(3), tables.slice(0, 3)])
    assert count_tags(turned, pa.concat_tables([clusters.slice(4), clusters.slice(0, 4)]), 0.35)["fern"].tags == WORKED


OF_FERN = {"long_hair": 0.9, "purple_hair": 0.95, "very_long_hair": 0.5}
ROWS = [
    {"show": "s", "character": "fern", "tags": [*OF_FERN], "shares": [*OF_FERN.values()], "images": 9},
    {"show": "s", "character": "stark", "tags": [], "shares": [], "images": 1},
]


def test_a_character_is_described_by_its_most_frequent_tags_without_what_others_say():
    assert describing_tags(ROWS[0], RULES) == ["purple hair", "very long hair"]
    assert describing_tags(ROWS[0], RULES, most=1) == ["purple hair"]


def test_emb_init_names_each_embedding_with_its_first_tags():
    assert json.loads(emb_init(ROWS, RULES)) == {
        "fern": ["purple hair", "very long hair"],
        "stark": [],
        "screenshots": ["anime screencap"],
    }


def test_the_wildcard_file_has_a_line_of_the_name_and_one_with_its_tags():
    assert wildcard(ROWS, RULES).decode().splitlines() == ["fern", "fern, purple hair, very long hair", "stark"]
    assert wildcard(reversed(ROWS), RULES) == wildcard(ROWS, RULES)


def test_of_two_characters_of_one_name_the_one_with_more_images_counts():
    other = {"show": "t", "character": "fern", "tags": ["red_hair"], "shares": [1.0], "images": 10}
    assert wildcard([*ROWS, other], RULES).decode().splitlines()[:2] == ["fern", "fern, red hair"]


def test_people_see_a_table():
    assert core_markdown(ROWS, RULES).splitlines()[2:] == [
        "| fern | 9 | purple hair, very long hair |",
        "| stark | 1 |  |",
    ]


@pytest.mark.parametrize(
    "tag", ["1girl", "solo", "looking_at_viewer", "simple_background", "upper_body", "outdoors", "smile"]
)
def test_what_passes_defines_nobody(tag: str):
    assert not RULES.may_be_core(tag)
