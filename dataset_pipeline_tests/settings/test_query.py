from __future__ import annotations

import pytest

from dataset_pipeline.base.tag_words import words
from dataset_pipeline.settings import SettingsError, load_settings, resources_folder
from dataset_pipeline.settings.query import QueryError, Subject, parse

SCORES = {"1girl": 0.9, "red_hair": 0.5, "smile": 0.49, "very_long_hair": 0.8, ":<": 0.7, "saber_(fate)": 0.9}
SUBJECT = Subject(
    {words(tag): score for tag, score in SCORES.items()},
    {words(tag) for tag, score in SCORES.items() if score >= 0.5},
    {words("fern"), words("himmel the hero")},
    quality=0.4,
    rating="sensitive",
)


def holds(text: str) -> bool:
    return parse(text)(SUBJECT)


@pytest.mark.parametrize(
    "text",
    [
        "1girl",
        "1GIRL AND NOT 1boy AND Red Hair",
        "1girl and not 1boy and red_hair >= 0.5 and quality >= 0.4",
        "very long hair",
        "very_long hair >= .8",
        "smile > 0.4 and not smile",
        "smile < 0.5",
        "smile = 0.49 and smile == 0.49 and smile != 0.5",
        "hat = 0",
        "1boy or 1girl",
        "(1boy or 1girl) and red_hair",
        "not (1boy or hat)",
        "not not 1girl",
        "1girl or 1boy and hat",
        "character:fern",
        "Character:Himmel the Hero and 1girl",
        'character:"himmel_the_hero"',
        "rating:sensitive",
        '":<" and ":<" > 0.6',
        "saber_(fate)",
        "((saber_(fate)))",
        '"saber (fate)"',
        "quality < 1",
    ],
)
def test_a_true_question_holds(text: str):
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "1boy",
        "smile",
        "red_hair > 0.5",
        "not 1girl",
        "(1girl or 1boy) and hat",
        "hat > 0",
        "long hair",
        "character:stark",
        "fern",
        "quality > 0.4",
        "rating:explicit",
        "1girl and not red hair",
    ],
)
def test_a_false_question_does_not_hold(text: str):
    assert not holds(text)


def test_an_image_that_was_not_scored_answers_no_question_of_quality():
    unscored = Subject({}, (), ())
    assert not parse("quality > 0")(unscored)
    assert not parse("quality <= 0")(unscored)
    assert parse("not quality > 0")(unscored)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "at 1: expected a tag, found the end"),
        ("1girl and", "at 10: expected a tag, found the end"),
        ("1girl and and hat", "at 11: expected a tag, found 'and'"),
        ("1girl not 1boy", "at 7: expected `and` or `or`, found 'not'"),
        ("(1girl", "at 7: expected `)`, `and` or `or`, found the end"),
        ("1girl)", "at 6: expected no bracket, as none is open, found ')'"),
        ("1girl (hat)", "at 7: expected `and` or `or`, found '('"),
        ("red_hair >= much", "at 13: expected a number, found 'much'"),
        ("red_hair >=", "at 12: expected a number, found the end"),
        (">= 0.5", "at 1: expected a tag, found '>='"),
        ("quality", "at 8: expected a comparison such as `> 0.4` after quality, found the end"),
        ("character:fern > 0.5", "at 16: expected `and` or `or`, as `character:` takes no comparison, found '>'"),
        ('1girl and ":<', "at 11: the quotation mark is not closed"),
        ('1girl and ""', "at 11: expected a tag"),
        ("red_hair > 0.5 0.6", "at 16: expected `and` or `or`, found '0.6'"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_place(text: str, told: str):
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert told in str(caught.value)
    assert repr(text) in str(caught.value)


def test_a_concept_with_a_bad_question_is_refused_when_settings_are_loaded():
    concept = {"name": "x", "query": "1girl and", "activation_tag": "y"}
    told = r"tags\.concepts\.0\.query = '1girl and': at 10: expected a tag, found the end"
    with pytest.raises(SettingsError, match=told):
        load_settings(resources_folder() / "settings.toml", tags__concepts=[concept])


@pytest.mark.parametrize(
    "nested", ["(" * 50 + "1girl" + ")" * 50, "not " * 50 + "1girl", "(not " * 25 + "hat" + ")" * 25]
)
def test_fifty_brackets_and_negations_within_one_another_are_understood(nested: str):
    assert holds(nested)
    assert holds(" and ".join([nested] * 3))


@pytest.mark.parametrize("deeper", ["(" * 5000 + "1girl" + ")" * 5000, "not " * 5000 + "1girl"])
def test_what_is_nested_too_deep_is_refused_by_find_and_by_concepts(deeper: str):
    with pytest.raises(QueryError, match="expected at most 50 brackets and `not` within one another") as caught:
        parse(deeper)
    assert len(str(caught.value)) < 400
    concept = {"name": "x", "query": deeper, "activation_tag": "y"}
    with pytest.raises(SettingsError, match=r"tags\.concepts\.0\.query.*: at \d+: expected at most 50 brackets"):
        load_settings(resources_folder() / "settings.toml", tags__concepts=[concept])
