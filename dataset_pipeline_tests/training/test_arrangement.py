from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from dataset_pipeline.base.file_names import safe_name, short_hash
from dataset_pipeline.settings import ConceptBalanceSettings, load_settings, resources_folder
from dataset_pipeline.training.arrangement import MAX_CONCEPT_BYTES, arrange, columns_of, concept_of

DEFAULTS = load_settings(resources_folder() / "settings.toml").concept_balance


def settings(**changes: object) -> ConceptBalanceSettings:
    return ConceptBalanceSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def folder(key: str, **row: object) -> str:
    return "/".join(concept_of(row, settings(arrangement=[key])))


def images(*groups: tuple[list[str], int]) -> list[dict]:
    return [
        {"image_id": f"show.e1/{group:04d}{i:04d}", "characters": characters}
        for group, (characters, count) in enumerate(groups)
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("characters", "concept"),
    [
        ([], "0_characters/character_others"),
        (["A"], "1_character/A"),
        (["B", "A"], "2_characters/A+B"),
        (["A", "A"], "1_character/A"),
        (["A|x", "A|y"], "1_character/A"),
        (list("ABCDE"), "5_characters/A+B+C+D+E"),
        (list("ABCDEF"), "6+_characters/A+B+C+D+E+F"),
        (list("ABCDEFG"), "6+_characters/A+B+C+D+E+F+G"),
        (["Dr. X"], "1_character/Dr X"),
        (["フリーレン", "フェルン"], "2_characters/フェルン+フリーレン"),
        (["x" * 99], f"1_character/{'x' * 99}"),
        (["x" * 100], f"1_character/{'x' * 90}-{short_hash('x' * 100)}"),
        (["長" * 67], f"1_character/{'長' * 63}-{short_hash('長' * 67)}"),
        (["x" * 60, "y" * 60], "2_characters/character_others"),
        (["..."], f"1_character/{short_hash('...')}"),
    ],
)
def test_an_images_characters_are_its_folder(characters: list[str], concept: str):
    assert "/".join(concept_of({"characters": characters}, settings(many_characters=6))) == concept


@pytest.mark.parametrize(
    ("number", "people", "faces"),
    [
        (0, "0_people", "0_faces"),
        (1, "1_person", "1_face"),
        (2, "2_people", "2_faces"),
        (5, "5_people", "5_faces"),
        (6, "6+_people", "6+_faces"),
        (9, "6+_people", "6+_faces"),
        (None, "0_people", "0_faces"),
    ],
)
def test_people_and_faces_are_counted_like_characters(number: int | None, people: str, faces: str):
    assert folder("n_people", n_people=number) == people
    assert folder("n_faces", n_faces=number) == faces


@pytest.mark.parametrize(
    ("share", "span"),
    [
        (None, "0-25"),
        (0.0, "0-25"),
        (0.2499, "0-25"),
        (0.25, "25-50"),
        (0.39166666666666666, "25-50"),
        (0.75, "75-100"),
        (1.0, "75-100"),
    ],
)
def test_the_height_of_the_face_is_told_in_quarters(share: float | None, span: str):
    assert folder("fh_ratio", face_height_share=share) == f"face_height_ratio_{span}"


@pytest.mark.parametrize(
    ("characters", "whole", "appearance"),
    [
        (["A|x", "A|y"], "A_x+A_y", "x+y"),
        (["B", "A|braids|red dress"], "A_braids_red dress+B", "braids"),
        (["A|none|red dress"], "A_none_red dress", "no_appearance"),
        (["A"], "A", "no_appearance"),
        ([], "character_others", "character_others"),
        (["A|" + "x" * 100], "character_others", "character_others"),
    ],
)
def test_what_is_known_of_characters_can_be_folders_too(characters: list[str], whole: str, appearance: str):
    assert folder("character_string", characters=characters) == whole
    assert folder("appearance", characters=characters) == appearance


def test_where_an_image_comes_from_can_be_its_folder():
    image_id = "con.s01.e02/00000001#head-1-2-3-4"
    assert folder("episode", image_id=image_id) == "con s01 e02"
    assert folder("show", image_id=image_id) == "con_"
    assert folder("image_type", kind="head") == "head"


def test_folders_lie_one_inside_the_other_in_the_order_of_the_keys():
    row = {"characters": ["fern|braids"], "n_people": 2, "n_faces": 1, "face_height_share": 0.3, "kind": "still"}
    keys = ["image_type", "n_people", "character", "fh_ratio", "n_faces", "appearance"]
    assert concept_of(row, settings(arrangement=keys)) == (
        "still", "2_people", "fern", "face_height_ratio_25-50", "1_face", "braids",
    )  # fmt: skip
    assert columns_of(keys) == set(row)
    assert columns_of(["episode", "n_characters"]) == {"image_id", "characters"}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ('a<b>c:d"e/f\\g|h?i*j', "a_b_c_d_e_f_g_h_i_j"),
        ("Rock+Roll", "Rock_Roll"),
        ("con", "con_"),
        ("COM1", "COM1_"),
        ("LPT9", "LPT9_"),
        ("console", "console"),
        ("nul.txt", "nultxt"),
        ("  two \t words\n ", "two words"),
        ("..", ""),
        ("e\u0301", "é"),
    ],
)
def test_names_are_safe_on_every_system(name: str, safe: str):
    assert safe_name(name) == safe


def test_any_name_gives_a_folder_of_two_safe_parts():
    rng = random.Random(2)
    for _ in range(500):
        names = ["".join(rng.choices('aB.+|:/\\ \n*?"<>長é', k=rng.randrange(30))) for _ in range(rng.randrange(8))]
        parts = concept_of({"characters": names}, settings())
        assert len(parts) == 2
        for part in parts:
            assert part
            assert part == part.strip(" .")
            assert not set(part) & set('<>:"/\\|?*\n')
            assert len(part) < 100
            assert len(part.encode()) <= 200


def test_rare_combinations_go_to_the_others_of_their_own_folder():
    rows = images((["A"], 10), (["B"], 2), (["A", "B"], 3), (["A", "C"], 1), ([], 1))
    concepts = arrange(rows, settings(min_images_per_combination=3))
    counts = {concept: list(concepts.values()).count(concept) for concept in concepts.values()}
    assert counts == {
        "1_character/A": 10,
        "1_character/character_others": 2,
        "2_characters/A+B": 3,
        "2_characters/character_others": 1,
        "0_characters/character_others": 1,
    }


def test_combinations_count_by_themselves_in_each_folder():
    many = [*"ABCDEF"]
    rows = images((["A"], 5), (many, 2))
    concepts = arrange(rows, settings(min_images_per_combination=3))
    assert sorted(set(concepts.values())) == ["1_character/A", "6+_characters/character_others"]


def test_a_rare_combination_goes_to_the_others_beside_the_same_folders_below():
    keys = settings(arrangement=["character", "fh_ratio"], min_images_per_combination=3)
    rows = [row | {"face_height_share": share} for share in (0.1, 0.6) for row in images((["A"], 3), (["B"], 2))]
    rows = [row | {"image_id": f"{row['image_id']}{number}"} for number, row in enumerate(rows)]
    assert Counter(arrange(rows, keys).values()) == {
        "A/face_height_ratio_0-25": 3,
        "A/face_height_ratio_50-75": 3,
        "character_others/face_height_ratio_0-25": 2,
        "character_others/face_height_ratio_50-75": 2,
    }


def test_a_rare_look_goes_to_the_others_of_its_character_before_the_character_does():
    keys = settings(arrangement=["character", "appearance"], min_images_per_combination=3)
    rows = images((["A|x"], 3), (["A|y"], 2), (["A"], 1), (["B|x"], 2), (["C|x"], 4))
    assert Counter(arrange(rows, keys).values()) == {
        "A/x": 3,
        "A/character_others": 3,
        "character_others/character_others": 2,
        "C/x": 4,
    }


def test_a_path_too_long_for_one_folders_name_loses_its_last_names():
    rows = images((["長" * 60 + "|" + "髪" * 60], 9))
    keys = settings(arrangement=["character", "appearance", "image_type"])
    (concept,) = set(arrange([row | {"kind": "still"} for row in rows], keys).values())
    assert concept == f"{'長' * 60}/character_others/still"
    assert len(concept.encode()) <= MAX_CONCEPT_BYTES


def test_names_that_differ_only_in_capitals_never_share_a_folder_on_systems_that_ignore_them():
    concepts = arrange(images((["Fern"], 3), (["fern"], 3), (["stark"], 3)), settings(min_images_per_combination=3))
    folders = set(concepts.values())
    assert len({folder.casefold() for folder in folders}) == 3
    assert "1_character/stark" in folders


def test_capitals_are_told_apart_at_every_level_and_others_keep_their_name():
    keys = settings(arrangement=["character", "image_type"], min_images_per_combination=3)
    rows = images((["Fern"], 3), (["fern"], 3), (["Character_Others"], 3), (["stark"], 1))
    folders = set(arrange([row | {"kind": "still"} for row in rows], keys).values())
    assert len(folders) == len({folder.casefold() for folder in folders}) == 4
    assert "character_others/still" in folders
    assert all(
        re.fullmatch(r"(?i)(fern|character_others)-[0-9a-f]{6}/still|character_others/still", it) for it in folders
    )


def test_names_that_never_meet_in_a_folder_stay_as_they_are():
    keys = settings(arrangement=["image_type", "character"], min_images_per_combination=1)
    rows = [
        row | {"kind": kind} for kind, row in zip(("still", "head"), images((["Fern"], 1), (["fern"], 1)), strict=True)
    ]
    assert set(arrange(rows, keys).values()) == {"still/Fern", "head/fern"}


def test_the_order_of_the_images_changes_nothing():
    rows = images((["A"], 4), (["B"], 2), (["a"], 5), (["A", "B"], 3), ([], 6))
    expected = arrange(rows, settings())
    random.Random(0).shuffle(rows)
    assert arrange(rows, settings()) == expected
    assert arrange([], settings()) == {}
