from __future__ import annotations

import random

import pyarrow as pa
import pytest

from dataset_pipeline.base.tag_words import is_emoticon
from dataset_pipeline.characters.names import CharacterName, parse_character
from dataset_pipeline.settings import CaptionsSettings, load_settings, resources_folder
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.captions import CaptionSources, caption_fields, decide_captions, face_positions, quality_word
from dataset_pipeline.tags.templates import chance, render

SETTINGS = load_settings(resources_folder() / "settings.toml")
DEFAULTS, RULES = SETTINGS.captions, load_rules(SETTINGS.tag_rules)
IMAGE = "show.e1/00000001"
EVERYTHING = ["people", "character", "show", "kind", "tags"]


def settings(**changes: object) -> CaptionsSettings:
    return CaptionsSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def fields(
    kind: str = "still",
    characters: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    show: str = "Sousou no Frieren",
    **changes: object,
) -> dict:
    row = {"image_id": IMAGE, "kind": kind, "characters": list(characters), "quality": 0.5}
    return {**caption_fields(row, CaptionSources({IMAGE: {"tags": list(tags)}}), show, DEFAULTS), **changes}


def caption(
    kind: str = "still",
    characters: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    show: str = "Sousou no Frieren",
    **changes: object,
) -> str:
    return render(fields(kind, characters, tags, show), settings(**changes), RULES)


def test_a_caption_says_people_character_kind_and_tags_in_this_order():
    tags = ("solo", "1girl", "purple_hair", "long_hair", "smile")
    assert caption("head", ("fern",), tags) == "1girl, fern, portrait, solo, purple hair, long hair, smile"
    assert caption("person", ("fern",), tags) == "1girl, fern, solo, purple hair, long hair, smile"
    assert caption("still", (), ("2girls", "outdoors")) == "2girls, screencap, outdoors"


def test_the_fields_keep_counts_of_people_apart_and_names_sorted():
    tagged = {"tags": ["1girl", "1boy", "smile"], "rating": "general", "artists": ["a"], "activation_tags": ["waifu"]}
    row = {"image_id": IMAGE, "kind": "still", "characters": [], "quality": None}
    said = CaptionSources({IMAGE: tagged}, {IMAGE: ["stark", "fern"]}, {IMAGE: "left"}, {IMAGE: "Two people talk."})
    assert caption_fields(row, said, "Frieren", DEFAULTS) == {
        "image_id": IMAGE,
        "kind": "still",
        "people": "1girl, 1boy",
        "n_people": 2,
        "characters": ["fern", "stark"],
        "show": "Frieren",
        "series": [],
        "artists": ["a"],
        "image_type": "screencap",
        "rating": "general",
        "face_position": "left",
        "quality_word": "",
        "activation_tags": ["waifu"],
        "tags": ["smile"],
        "text": "Two people talk.",
        "written": "",
    }


def test_order_and_separator_are_the_users():
    tags = ("1girl", "1boy", "long_hair")
    assert caption("person", ("fern",), tags, order=["tags", "show", "people"], separator=" | ") == (
        "long hair | Sousou no Frieren | 1girl | 1boy"
    )
    assert caption("person", ("fern",), tags, spaces=False) == "1girl, 1boy, fern, long_hair"


def test_every_part_can_be_asked_for():
    order = ["quality", "rating", "people_number", "character", "artist", "face_position", "image_type", "text"]
    given = fields(
        "head", ("fern",), ("2girls",), quality_word="masterpiece", rating="questionable", artists=["wada"],
        face_position="middle", text="She smiles, then leaves.",
    )  # fmt: skip
    assert render(given, settings(order=order), RULES) == (
        "masterpiece, nsfw, 2people, fern, wada, in the middle, screencap, She smiles, then leaves."
    )


@pytest.mark.parametrize("tag", ["^_^", "o_o", ">_<", "0_0", "x_x", "<o>_<o>", "(o)_(o)", "6_9", "+_-"])
def test_faces_keep_their_underscore(tag: str):
    assert is_emoticon(tag)
    assert caption(tags=(tag, "long_hair")) == f"screencap, {tag}, long hair"


@pytest.mark.parametrize("tag", ["long_hair", "v_arms", "d_va_(overwatch)", "長い_髪型"])
def test_words_do_not(tag: str):
    assert not is_emoticon(tag)


@pytest.mark.parametrize("nothing", ["", " ", "\n", ",", "\ufeff"])
def test_a_caption_is_never_empty(nothing: str):
    assert caption("person", (nothing,), (nothing,), image_type="") == "screencap"
    assert caption("head", (), (), order=["tags"]) == "portrait"
    silent = fields("person", (), (), show=nothing, image_type=nothing)
    assert render(silent, settings(), RULES) == "picture"
    assert render({**silent, "show": "Frieren"}, settings(), RULES) == "Frieren"
    assert render(silent, settings(template="sentence"), RULES) == "A picture."


def test_a_name_with_a_comma_or_line_break_stays_one_part():
    assert caption("person", ("Smith, John\nJr.",), ("1boy",)) == "1boy, Smith John Jr."
    assert caption("person", ("a/b",), ("1boy",), separator="/") == "1boy/a b"


def test_nothing_is_said_twice():
    assert caption("person", ("Fern",), ("1girl", "fern", "long_hair", "long hair")) == "1girl, Fern, long hair"
    assert caption("halfbody", (), ("upper_body", "smile")) == "upper body, smile"


@pytest.mark.parametrize("template", ["booru", "components", "sentence"])
def test_any_text_gives_one_line_of_utf8(template: str):
    rng = random.Random(0)
    alphabet = "ab_ ,\t\n\r\x0b\x0c\x1c\x85\u2028\u2029\ufeff|^フé\ud800\U0001f600"
    for _ in range(300):
        texts = ["".join(rng.choices(alphabet, k=rng.randrange(8))) for _ in range(6)]
        made = caption(
            "person", tuple(texts[:2]), tuple(texts[2:5]), show=texts[5], order=EVERYTHING, template=template
        )
        assert made.encode("utf-8").decode() == made
        assert len(made.splitlines()) == 1
        assert made == made.strip()
        if template != "sentence":
            assert all(part and part == part.strip() for part in made.split(", "))
            assert made.count(",") == made.count(", ")


SPOKEN = [{"part": part, "probability": 1.0} for part in
          ("people", "character", "show", "image_type", "artist", "rating", "crop", "tags")]  # fmt: skip
OLD_PIPELINE = {
    "n_people": 2, "characters": ["A", "B|hat"], "series": ["x"], "image_type": "screenshots",
    "artists": ["anonymous", "me"], "rating": "e", "kind": "head", "tags": ["solo", "1girl"],
}  # fmt: skip


def components(given: dict, **changes: object) -> str:
    return render(given, settings(template="components", **changes), RULES)


def test_components_say_what_the_old_pipeline_said():
    said = components({**fields(), **OLD_PIPELINE}, components=SPOKEN)
    assert said == "2people, A, B hat, from x, screenshots, by me, explicit, head cropped, solo, 1girl"


def test_components_of_probability_zero_are_never_said():
    assert components({**fields(), **OLD_PIPELINE}) == "A, B hat, screenshots, explicit, head cropped, solo, 1girl"
    assert components({**fields(), **OLD_PIPELINE, "rating": "general"}, components=SPOKEN[5:]) == (
        "head cropped, solo, 1girl"
    )


@pytest.mark.parametrize(("number", "said"), [(1, "1person"), (2, "2people"), (5, "5people"), (6, "many people")])
def test_six_people_are_many(number: int, said: str):
    assert components(fields(n_people=number), components=SPOKEN[:1]) == said


def test_components_are_drawn_by_seed_and_image_and_come_about_as_often_as_asked():
    drawn = [{"part": "tags", "probability": 0.8}, {"part": "image_type", "probability": 1.0}]

    def count(seed: int) -> list[bool]:
        images = [fields(tags=("smile",), image_id=f"show.e1/{number:08d}") for number in range(1000)]
        return ["smile" in components(image, components=drawn, seed=seed) for image in images]

    assert count(0) == count(0)
    assert count(0) != count(1)
    assert 760 <= sum(count(0)) <= 840


def test_a_draw_is_the_same_everywhere():
    assert chance(0, "show.e1/00000001", "tags") == pytest.approx(0.8061600011557085, abs=1e-15)
    assert 0 <= chance(7, "x", "people") < 1


def test_a_mark_stands_before_the_tags_for_trainers_that_shuffle_them():
    tags = ("1girl", "smile", "a|||b")
    assert caption("person", ("fern",), tags, keep_mark="|||") == "1girl, fern ||| smile, a b"
    assert caption("person", (), ("smile",), keep_mark="|||") == "smile"
    assert caption("person", ("fern",), (), keep_mark="|||") == "fern"


def test_tags_of_hair_eyes_body_and_outfit_can_be_left_out():
    tags = ("1girl", "red_hair", "red_eyes", "cat_ears", "white_dress", "smile", "closed_eyes")
    assert caption("person", (), tags, drop=["hair"]) == ("1girl, red eyes, cat ears, white dress, smile, closed eyes")
    assert caption("person", (), tags, drop=["hair", "eyes", "body", "outfit"]) == "1girl, smile, closed eyes"


def test_an_activation_tag_comes_first_as_it_is_written():
    given = fields("person", (), ("1girl", "red_hair"), activation_tags=["my_waifu"])
    assert render(given, settings(), RULES) == "my_waifu, 1girl, red hair"
    assert render(given, settings(template="components"), RULES).startswith("my_waifu, ")
    assert render(given, settings(template="sentence"), RULES) == "my_waifu, a picture of a girl with red hair."


@pytest.mark.parametrize(
    ("folder", "stored", "said"),
    [
        ("Terakomari", "Terakomari", "Terakomari"),
        ("Terakomari/none/pajama", "Terakomari|none|pajama", "Terakomari, pajama"),
        ("Terakomari/_cone hair bun", "Terakomari|_cone hair bun", "Terakomari_cone_hair_bun"),
        (
            "Terakomari/cone hair bun/red dress",
            "Terakomari|cone hair bun|red dress",
            "Terakomari cone hair bun, red dress",
        ),
        (
            "Terakomari/cone hair bun/red dress+cape",
            "Terakomari|cone hair bun|red dress+cape",
            "Terakomari cone hair bun, red dress, cape",
        ),
        ("Terakomari/none", "Terakomari", "Terakomari"),
    ],
)
def test_a_characters_appearance_and_outfit_are_stored_and_said(folder: str, stored: str, said: str):
    name = parse_character(folder.replace("/", "|"))
    assert name.stored == stored
    assert parse_character(stored) == name
    assert caption("person", (stored,)) == said


def test_a_character_without_parts_is_a_name():
    assert parse_character("fern") == CharacterName("fern")
    assert parse_character("fern|none|none") == CharacterName("fern")


SENTENCE = ["people", "character", "tags"]


@pytest.mark.parametrize(
    ("kind", "characters", "tags", "said"),
    [
        ("head", ["fern"], ["1girl", "solo"], "A portrait of fern."),
        (
            "person",
            ["fern", "stark"],
            ["1girl", "1boy", "purple_hair", "red_eyes", "black_robe", "white_shirt", "smile", "outdoors"],
            "A picture of fern and stark with purple hair and red eyes, wearing black robe and white shirt. "
            "It shows smile and outdoors.",
        ),
        (
            "still",
            [],
            ["2girls", "1boy", "multiple_girls", "night"],
            "A screencap of two girls and a boy. It shows night.",
        ),
        ("halfbody", ["fern"], ["white_dress"], "An upper body picture of fern wearing white dress."),
        ("still", [], ["no_humans", "sky"], "A screencap. It shows no humans and sky."),
        ("still", [], ["white_dress", "sky"], "A screencap. It shows white dress and sky."),
        ("face", [], ["6+girls"], "A close-up of many girls."),
        ("person", ["T|_hair bun|red dress+cape"], ["red dress"], "A picture of T_hair_bun in red dress and cape."),
    ],
)
def test_a_sentence_says_it_in_english(kind: str, characters: list[str], tags: list[str], said: str):
    assert caption(kind, tuple(characters), tuple(tags), template="sentence", order=SENTENCE) == said


def test_a_sentence_says_only_what_the_order_names_and_a_free_text_instead_of_tags():
    told = {"text": "She looks up,\nthen smiles", "face_position": "left", "rating": "explicit"}
    given = fields("head", ("fern",), ("1girl", "smile"), **told)
    said = [
        render(given, settings(template="sentence", order=order), RULES)
        for order in (["people"], ["character", "show"], ["character", "tags", "text"], ["face_position", "rating"])
    ]
    assert said == [
        "A portrait of a girl.",
        "A portrait of fern from Sousou no Frieren.",
        "A portrait of fern. She looks up, then smiles.",
        "A portrait. The face is at the left. Rating: explicit.",
    ]


def test_a_quality_word_is_that_of_the_highest_limit_reached():
    words = [{"min_quality": 0.3, "word": "good"}, {"min_quality": 0.6, "word": "best"}]
    given = [quality_word(quality, settings(quality_words=words)) for quality in (None, 0.2, 0.3, 0.6)]
    assert given == ["", "", "good", "best"]


def test_the_only_face_of_a_still_says_where_it_is():
    boxes = [
        ("left", "face", 0, 200, 0.9),
        ("middle", "face", 400, 600, 0.9),
        ("middle", "head", 0, 100, 0.9),
        ("right", "face", 700, 800, 0.9),
        ("right", "face", 0, 10, 0.2),
        ("edge", "face", 380, 380, 0.9),
        ("two", "face", 0, 10, 0.9),
        ("two", "face", 500, 600, 0.9),
    ]
    rows = [
        {
            "image_id": image,
            "kind": kind,
            "x0_px": float(x0),
            "y0_px": 0.0,
            "x1_px": float(x1),
            "y1_px": 9.0,
            "score": s,
        }
        for image, kind, x0, x1, s in boxes
    ]
    stills = pa.table({"image_id": ["left", "middle", "right", "edge", "two"], "width_px": [1000] * 5})
    detections = SCHEMAS["detections"].table(rows)
    assert face_positions(detections, stills, 0.35) == {
        "left": "left",
        "middle": "middle",
        "right": "right",
        "edge": "middle",
    }
    assert face_positions(SCHEMAS["detections"].empty(), stills, 0.35) == {}
    plate = "show.e1/plate-00001000-00003000"
    on_plate = SCHEMAS["detections"].table([rows[0] | {"image_id": plate}])
    assert face_positions(on_plate, pa.table({"image_id": [plate], "width_px": [1000]}), 0.35) == {}


def test_captions_are_made_for_selected_images_alone():
    def row(image_id: str, kind: str, characters: list[str], selected: bool = True) -> dict:
        return {"image_id": image_id, "kind": kind, "selected": selected, "characters": characters, "quality": 0.5}

    selection = [
        row(f"{IMAGE}#head-1-2-3-4", "head", ["fern"]),
        row(IMAGE, "still", []),
        row("show.e1/00000002", "still", [], selected=False),
    ]
    said = CaptionSources(
        {IMAGE: {"tags": ["1girl", "outdoors"]}, "show.e1/00000002": {"tags": ["smile"]}},
        {f"{IMAGE}#head-1-2-3-4": ["fern"], IMAGE: ["fern"]},
    )
    rows = decide_captions(selection, said, "Frieren", DEFAULTS, RULES)
    assert [row["caption"] for row in rows] == ["1girl, fern, screencap, outdoors", "fern, portrait"]
    SCHEMAS["captions"].table(rows)


@pytest.mark.parametrize("template", ["booru", "sentence", "components"])
@pytest.mark.parametrize("kind", ["still", "head"])
def test_a_picture_of_a_folder_is_called_no_frame_and_a_frame_is_called_as_ever(template: str, kind: str):
    order = ["character", "kind", "image_type", "tags"]

    def said(image_id: str, **changes: object) -> str:
        row = {"image_id": image_id, "kind": kind, "characters": ["fern"], "quality": 0.5}
        chosen = settings(template=template, order=order, **changes)
        return render(
            caption_fields(row, CaptionSources({image_id: {"tags": ["smile"]}}), "Show", chosen), chosen, RULES
        )

    crop = "" if kind == "still" else "#head-1-2-3-4"
    frame, picture = f"show.e1/00000001{crop}", f"show.art/my-picture-0a1b2c3d{crop}"
    assert "screencap" not in said(picture)
    assert "screencap" not in said(picture, image_type="anime")
    assert said(picture, picture_type="illustration") == said(frame, image_type="illustration")
    assert said(frame) == said(frame, picture_type="illustration")
    assert ("screencap" in said(frame)) == (template != "sentence" or kind == "still")


def test_tags_of_text_go_with_the_text_and_stay_with_it():
    tagged = {"tags": ["1girl", "english_text", "subtitled", "smile", "context", "web_address"]}
    said = CaptionSources({IMAGE: tagged})
    row = {"image_id": IMAGE, "kind": "still", "characters": [], "quality": None}
    assert caption_fields(row | {"cut_px": [0, 0, 90, 40]}, said, "Frieren", DEFAULTS)["tags"] == ["smile", "context"]
    assert caption_fields(row | {"cut_px": None}, said, "Frieren", DEFAULTS)["tags"] == tagged["tags"][1:]
