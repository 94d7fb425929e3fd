from __future__ import annotations

from pathlib import Path

import pytest

from dataset_pipeline.base.tag_words import words
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.settings.tag_rules import RulesError, implications, load_rules, read_implications, read_traits
from dataset_pipeline.tags.overlaps import contained_tags, implied_tags, overlapping_tags

SETTINGS = load_settings(resources_folder() / "settings.toml").tag_rules
RULES = load_rules(SETTINGS)
LONG_HAIR = implications([("very long hair", "long hair")])


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
def test_a_tag_that_ends_another_word_for_word_is_implied(tags: list[str], left: list[str]):
    implied = implied_tags(tags)
    assert [tag for tag in tags if tag not in implied] == left


@pytest.mark.parametrize("mode", ["words", "substring"])
@pytest.mark.parametrize(
    ("tags", "left"),
    [
        (["hair", "long hair", "very long hair", "1girl", "girl"], ["very long hair", "1girl"]),
        (["dress", "red dress", "solo"], ["red dress", "solo"]),
        (
            ["solo", "long_hair", "very_long_hair", "breasts", "medium_breasts"],
            ["solo", "very_long_hair", "medium_breasts"],
        ),
    ],
)
def test_both_rules_agree_on_the_plain_cases(mode: str, tags: list[str], left: list[str]):
    found = overlapping_tags(tags, mode, LONG_HAIR)
    assert [tag for tag in tags if tag not in found] == left


def test_the_substring_rule_drops_what_merely_looks_contained():
    tags = ["hat", "that", "cat", "cat ears", "chair", "hair"]
    assert contained_tags(tags) == {"hat": "that", "cat": "cat ears", "hair": "chair"}
    assert overlapping_tags(tags, "words", {}) == {}
    assert contained_tags(["long_hair", "long hair brush"]) == {"long_hair": "long hair brush"}


def test_no_rule_drops_nothing():
    assert overlapping_tags(["dress", "red dress", "long_hair", "very_long_hair"], "none", LONG_HAIR) == {}


def test_the_table_reaches_what_the_words_do_not_say_and_goes_on_from_there():
    assert overlapping_tags(["animal ears", "cat_ears"], "words", RULES.implied) == {"animal ears": "cat_ears"}
    assert overlapping_tags(["long hair", "absurdly_long_hair"], "words", RULES.implied)["long hair"] == (
        "absurdly_long_hair"
    )
    assert RULES.implied[words("katana")] == (("sword",), ("weapon",))


def test_no_line_of_the_table_says_what_the_words_say_already():
    for tag, general in RULES.implied.items():
        direct = general[0]
        assert len(tag) <= len(direct) or tag[-len(direct) :] != direct or len(general) > 1, (tag, direct)


@pytest.mark.parametrize(
    "tag",
    [
        "red eyes", "long hair", "hair over one eye", "cat ears", "fang", "twin drills", "dark-skinned female",
        "old man", "mole under eye", "mole_under_mouth", "red hair", "double_bun", "single_braid", "pointy ears",
        "heterochromia", "fox girl", "hair between eyes", "bob_cut", "twintails", "facial hair",
    ],
)  # fmt: skip
def test_hair_eyes_and_body_are_traits(tag: str):
    assert RULES.is_trait(tag)


@pytest.mark.parametrize(
    "tag",
    [
        "closed eyes", "white dress", "smile", "black ribbon", "hairclip", "school uniform", "hair ribbon", "chair",
        "hear", "dress", "one eye closed", "hand in own hair", "adjusting hair", "covering own eyes", "tail ribbon",
        "hair bow", "floating hair", "half-closed eyes", "looking at viewer", "solo", "fake animal ears", "1girl",
        "magical girl",
    ],
)  # fmt: skip
def test_clothes_gestures_and_words_that_merely_contain_one_are_no_traits(tag: str):
    assert not RULES.is_trait(tag)


@pytest.mark.parametrize("tag", ["multiple girls", "multiple_boys", "2girls", "6+boys"])
def test_counts_of_people_are_no_traits_though_they_end_in_girls(tag: str):
    assert not RULES.is_trait(tag)


def test_a_kind_is_told_for_what_captions_can_leave_out():
    kinds = {
        tag: RULES.kind_of(tag) for tag in ("red_hair", "red_eyes", "red_dress", "hair_ribbon", "cat_tail", "outdoors")
    }
    assert list(kinds.values()) == ["hair", "eyes", "outfit", "outfit", "body", "passing"]
    assert RULES.kind_of("school_uniform") == RULES.kind_of("School Uniform") == "outfit"


def test_a_folder_of_ones_own_replaces_the_files_it_holds_and_counts_by_content(tmp_path: Path):
    (tmp_path / "blacklist.txt").write_text("# mine\nSmile\n")
    mine = load_settings(resources_folder() / "settings.toml", tag_rules__folder=str(tmp_path))
    rules = load_rules(mine.tag_rules)
    assert rules.blacklist == {("smile",)}
    assert rules.implied == RULES.implied
    before = mine.section_hash("tag_rules")
    assert before != load_settings(resources_folder() / "settings.toml").section_hash("tag_rules")
    (tmp_path / "blacklist.txt").write_text("# mine\nsmile\n")
    assert mine.section_hash("tag_rules") != before
    assert load_rules(mine.tag_rules).blacklist == {("smile",)}


def test_the_folders_name_does_not_count(tmp_path: Path):
    assert load_settings(resources_folder() / "settings.toml", tag_rules__folder=str(tmp_path)).section_hash(
        "tag_rules"
    ) == load_settings(resources_folder() / "settings.toml").section_hash("tag_rules")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("katana,sword\n", "first line must be `tag,implies`"),
        ("tag,implies\n# fine\nkatana\n", "line 3: 'katana' is no `tag,implies`"),
        ("tag,implies\nkatana,Katana\n", "line 2"),
        ('tag,implies\n"a\nb",c\n', "line 2"),
        (f"tag,implies\n{'a' * 200_000},b\n", "line 2: field larger than"),
        ("tag,implies\na,b\nb,c\nc,a\n", "imply one another"),
    ],
)
def test_a_line_that_is_no_implication_is_named(tmp_path: Path, text: str, told: str):
    (tmp_path / "implications.csv").write_text(text)
    with pytest.raises(RulesError, match=r"implications\.csv") as caught:
        read_implications(tmp_path / "implications.csv")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[hair\n", "not valid TOML"),
        (f"a = {'[' * 100_000}", "not valid TOML"),
        ("[hat]\nends = []", "unknown kind of tags 'hat'"),
        ("[hair]\nend = []", "ends, begins, is, never"),
        ("[hair]\nends = 'hair'", "hair.ends must be a list of tags"),
    ],
)
def test_a_trait_rule_that_cannot_be_used_is_named(tmp_path: Path, text: str, told: str):
    (tmp_path / "traits.toml").write_text(text)
    with pytest.raises(RulesError, match=r"traits\.toml") as caught:
        read_traits(tmp_path / "traits.toml")
    assert told in str(caught.value)
