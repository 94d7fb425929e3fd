from __future__ import annotations

import random

import pytest

from dataset_pipeline.settings import CaptionsSettings, load_settings, resources_folder
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.captions import caption_fields, decide_captions, render
from dataset_pipeline.tags.words import is_emoticon

DEFAULTS = load_settings(resources_folder() / "settings.toml").captions
IMAGE = "show.e1/00000001"
EVERYTHING = ["people", "character", "show", "kind", "tags"]


def settings(**changes: object) -> CaptionsSettings:
    return CaptionsSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def caption(
    kind: str = "still",
    characters: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    show: str = "Sousou no Frieren",
    **changes: object,
) -> str:
    return render(caption_fields(IMAGE, kind, characters, tags, show), settings(**changes))


def test_a_caption_says_people_character_kind_and_tags_in_this_order():
    tags = ("solo", "1girl", "purple_hair", "long_hair", "smile")
    assert caption("head", ("fern",), tags) == "1girl, fern, portrait, solo, purple hair, long hair, smile"
    assert caption("person", ("fern",), tags) == "1girl, fern, solo, purple hair, long hair, smile"
    assert caption("still", (), ("2girls", "outdoors")) == "2girls, screencap, outdoors"


def test_the_fields_keep_counts_of_people_apart_and_names_sorted():
    fields = caption_fields(IMAGE, "still", ["stark", "fern"], ["1girl", "1boy", "smile"], "Frieren")
    assert fields == {
        "image_id": IMAGE,
        "people": "1girl, 1boy",
        "characters": ["fern", "stark"],
        "show": "Frieren",
        "kind": "screencap",
        "tags": ["smile"],
    }


def test_order_and_separator_are_the_users():
    tags = ("1girl", "1boy", "long_hair")
    assert caption("person", ("fern",), tags, order=["tags", "show", "people"], separator=" | ") == (
        "long hair | Sousou no Frieren | 1girl | 1boy"
    )
    assert caption("person", ("fern",), tags, spaces=False) == "1girl, 1boy, fern, long_hair"


@pytest.mark.parametrize("tag", ["^_^", "o_o", ">_<", "0_0", "x_x", "<o>_<o>", "(o)_(o)", "6_9", "+_-"])
def test_faces_keep_their_underscore(tag: str):
    assert is_emoticon(tag)
    assert caption(tags=(tag, "long_hair")) == f"screencap, {tag}, long hair"


@pytest.mark.parametrize("tag", ["long_hair", "v_arms", "d_va_(overwatch)", "長い_髪型"])
def test_words_do_not(tag: str):
    assert not is_emoticon(tag)


@pytest.mark.parametrize("nothing", ["", " ", "\n", ",", "\ufeff"])
def test_a_caption_is_never_empty(nothing: str):
    assert caption("person", (nothing,), (nothing,)) == "Sousou no Frieren"
    assert caption("head", (), (), order=["tags"]) == "portrait"
    assert caption("person", (), (), show=nothing) == "picture"


def test_a_name_with_a_comma_or_line_break_stays_one_part():
    assert caption("person", ("Smith, John\nJr.",), ("1boy",)) == "1boy, Smith John Jr."
    assert caption("person", ("a|b",), ("1boy",), separator="|") == "1boy|a b"


def test_nothing_is_said_twice():
    assert caption("person", ("Fern",), ("1girl", "fern", "long_hair", "long hair")) == "1girl, Fern, long hair"
    assert caption("halfbody", (), ("upper_body", "smile")) == "upper body, smile"


def test_any_text_gives_one_line_of_utf8_that_splits_into_its_parts():
    rng = random.Random(0)
    alphabet = "ab_ ,\t\n\r\x0b\x0c\x1c\x85\u2028\u2029\ufeff|^フé\ud800\U0001f600"
    for _ in range(500):
        texts = ["".join(rng.choices(alphabet, k=rng.randrange(8))) for _ in range(6)]
        made = caption("person", tuple(texts[:2]), tuple(texts[2:5]), show=texts[5], order=EVERYTHING)
        assert made.encode("utf-8").decode() == made
        assert len(made.splitlines()) == 1
        assert made == made.strip()
        assert all(part and part == part.strip() for part in made.split(", "))
        assert made.count(",") == made.count(", ")


def test_captions_are_made_for_selected_images_alone():
    selection = [
        {"image_id": f"{IMAGE}#head-1-2-3-4", "kind": "head", "selected": True, "characters": ["fern"]},
        {"image_id": IMAGE, "kind": "still", "selected": True, "characters": []},
        {"image_id": "show.e1/00000002", "kind": "still", "selected": False, "characters": []},
    ]
    tags = [{"image_id": IMAGE, "tags": ["1girl", "outdoors"]}, {"image_id": "show.e1/00000002", "tags": ["smile"]}]
    clusters = [
        {"image_id": f"{IMAGE}#head-1-2-3-4", "characters": ["fern"]},
        {"image_id": IMAGE, "characters": ["fern"]},
    ]
    rows = decide_captions(tags, clusters, selection, "Frieren", DEFAULTS)
    assert [row["caption"] for row in rows] == ["1girl, fern, screencap, outdoors", "fern, portrait"]
    SCHEMAS["captions"].table(rows)
