from __future__ import annotations

import random

import pytest

from dataset_pipeline.settings import ConceptBalanceSettings, load_settings, resources_folder
from dataset_pipeline.training.arrangement import arrange, concept_of, safe_name

DEFAULTS = load_settings(resources_folder() / "settings.toml").concept_balance


def settings(**changes: object) -> ConceptBalanceSettings:
    return ConceptBalanceSettings.model_validate({**DEFAULTS.model_dump(), **changes})


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
        (["x" * 100], "1_character/character_others"),
        (["長" * 67], "1_character/character_others"),
        (["..."], "0_characters/character_others"),
    ],
)
def test_an_images_characters_are_its_folder(characters: list[str], concept: str):
    assert concept_of(characters, 6) == concept


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
        parts = concept_of(names, 6).split("/")
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


def test_names_that_differ_only_in_capitals_never_share_a_folder_on_systems_that_ignore_them():
    concepts = arrange(images((["Fern"], 3), (["fern"], 3), (["stark"], 3)), settings(min_images_per_combination=3))
    folders = set(concepts.values())
    assert len({folder.casefold() for folder in folders}) == 3
    assert "1_character/stark" in folders


def test_the_order_of_the_images_changes_nothing():
    rows = images((["A"], 4), (["B"], 2), (["a"], 5), (["A", "B"], 3), ([], 6))
    expected = arrange(rows, settings())
    random.Random(0).shuffle(rows)
    assert arrange(rows, settings()) == expected
    assert arrange([], settings()) == {}
