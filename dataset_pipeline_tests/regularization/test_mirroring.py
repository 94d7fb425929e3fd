from __future__ import annotations

import itertools
import random
import re
from typing import Any

import pytest

from dataset_pipeline.regularization.mirroring import Names, mirrored, seen_tags, shown_of
from dataset_pipeline.settings import CaptionsSettings, load_settings, resources_folder
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.templates import without_mark
from dataset_pipeline_tests.regularization.rows import training_row

SETTINGS = load_settings(resources_folder() / "settings.toml")
DEFAULTS, RULES = SETTINGS.captions, load_rules(SETTINGS.tag_rules)
CORE = ("purple_hair", "long_hair")
SENTENCE_ORDER = ["people", "character", "show", "kind", "tags", "text"]


def settings(**changes: object) -> CaptionsSettings:
    return CaptionsSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def mirror(row: dict[str, Any], core: tuple[str, ...] = CORE, class_word: str = "woman", **changes: object) -> str:
    names = Names([*row["characters"], "fern", "Lelouch Lamperouge"], row["activation_tags"])
    return mirrored(row, shown_of(row["kind"], core, RULES), class_word, names, settings(**changes), RULES)


def test_the_class_word_and_the_core_tags_stand_where_the_name_stood():
    row = training_row(characters=["fern"], people="1girl", n_people=1, tags=["smile"], kind="person")
    assert mirror(row, ("purple_hair",), "1girl") == "1girl, purple hair, smile"
    assert mirror(row, ("purple_hair",), "woman") == "1girl, woman, purple hair, smile"
    assert mirror(row, ("purple_hair",), "woman", order=["character", "people", "tags"]) == (
        "woman, 1girl, purple hair, smile"
    )
    assert mirror(row, ("purple_hair",), "woman", spaces=False) == "1girl, woman, purple_hair, smile"
    assert mirror(row, ("purple_hair",), "woman", drop=["hair"]) == "1girl, woman, smile"


def test_an_image_of_nobody_known_has_no_class_word():
    row = training_row(tags=["no_humans", "outdoors"])
    assert mirror(row, ()) == "screencap, no humans, outdoors"


def test_a_class_word_that_counts_people_yields_to_what_is_counted():
    row = training_row(characters=["fern", "frieren"], people="2girls", n_people=2, tags=["smile"], kind="person")
    assert mirror(row, (), "1girl") == "2girls, smile"
    assert mirror(row, (), "1girl", template="components") == "screencap, smile"
    assert mirror(row, (), "woman") == "2girls, woman, smile"


def test_a_caption_of_a_name_alone_becomes_the_class_word():
    row = training_row(characters=["fern"], kind="person")
    assert mirror(row, (), "1girl", order=["character"]) == "1girl"
    assert mirror(training_row(written="Fern"), (), "1girl") == "1girl"


def test_core_tags_come_back_that_the_crop_can_show_and_no_tag_says():
    core = ("hair", "long_hair", "very_long_hair", "black_robe")
    row = training_row(characters=["fern"], people="1girl", tags=["solo", "smile", "very_long_hair"], kind="person")
    assert mirror(row, core) == "1girl, woman, solo, black robe, smile, very long hair"
    assert mirror(row | {"kind": "head", "tags": ["smile"]}, core) == "1girl, woman, portrait, very long hair, smile"
    assert mirror(row | {"kind": "hand", "tags": []}, core) == "1girl, woman, hand focus"


def test_tags_are_seen_from_their_limit_on_and_an_image_without_an_answer_is_unknown():
    def scored(*tags: tuple[str, float]) -> list[dict[str, Any]]:
        return [{"tag": tag, "category": "general", "score": score} for tag, score in tags]

    scores = {
        "a": [*scored(("purple_hair", 0.35), ("smile", 0.9)), {"tag": "hat", "category": "meta", "score": 1.0}],
        "b": scored(("purple_hair", 0.3499)), "c": None, "d": scored(("hat", 0.5), ("purple_hair", 0.6)), "e": [],
    }  # fmt: skip
    table = SCHEMAS["tag_scores"].table([{"image_id": it, "tags": tags} for it, tags in scores.items()])
    wanted = {"purple_hair", "hat"}
    assert seen_tags(table, wanted, 0.35) == {"a": ["purple_hair"], "b": [], "d": ["hat", "purple_hair"], "e": []}
    assert seen_tags(table.slice(0, 0), wanted, 0.35) == {}


@pytest.mark.parametrize(
    "tag",
    ["fern", "Fern", "fern_(sousou_no_frieren)", "fern cosplay", "holding_fern", "lelouch_lamperouge",
     "lamperouge lelouch"],
)  # fmt: skip
def test_a_tag_that_holds_a_name_is_left_out(tag: str):
    row = training_row(characters=["fern"], people="1girl", tags=["smile", tag], kind="person")
    assert mirror(row, ()) == "1girl, woman, smile"


def test_a_name_is_whole_words_only_but_in_scripts_without_spaces():
    names = Names(["ai", "L", "フェルン", "k-on!"])
    assert not names.named_in("long hair, hairband, ai2, l, 1girl")
    assert names.named_in("ai_(oshi)")
    assert names.named_in("L, smile")
    assert names.named_in("k-on!, smile")
    assert names.named_in("これはフェルンです")
    assert Names(["fern"]).named_in("Fernは笑う")


def test_of_a_name_everything_goes_its_appearance_and_outfit_too():
    row = training_row(characters=["fern|_young|black robe+cape"], people="1girl", tags=["robe", "fern_young"])
    assert mirror(row, (), order=["people", "character", "tags"]) == "1girl, woman, robe"


def test_activation_tags_go_and_the_class_word_comes_first():
    row = training_row(
        activation_tags=["waifu_x"], characters=["fern"], tags=["smile", "waifu_x_style"], people="1girl"
    )
    assert mirror(row, ()) == "woman, 1girl, screencap, smile"


def test_titles_that_name_somebody_go_and_others_stay():
    row = training_row(characters=["fern", "frieren"], show_title="Sousou no Frieren", kind="person", people="2girls")
    order = ["people", "character", "show"]
    assert mirror(row, (), order=order) == "2girls, woman"
    assert mirror(row | {"show_title": "Spy x Family"}, (), order=order) == "2girls, woman, Spy x Family"
    assert mirror(row | {"series": ["sousou_no_frieren", "manga"]}, (), order=order) == "2girls, woman, manga"


def test_in_free_text_the_class_word_stands_for_each_name():
    row = training_row(characters=["fern"], text="Fern's staff lies near Lelouch. Lamperouge, Lelouch and FERN walk.")
    assert mirror(row, (), "a woman", order=["text"]) == (
        "a woman's staff lies near a woman. a woman and a woman walk."
    )


def test_a_caption_that_a_person_wrote_is_mirrored_too():
    row = training_row(characters=["fern"], written="fern, 1girl, smile")
    assert mirror(row, ("purple_hair",), "1girl") == "1girl, purple hair, smile"
    assert mirror(row | {"written": "smile, fern (sousou no frieren), waving at Fern"}, ("purple_hair",)) == (
        "smile, woman, purple hair, waving at woman"
    )
    assert mirror(row | {"written": "Fern smiles at her friend."}) == "woman smiles at her friend."
    assert mirror(row | {"written": "a quiet place"}) == "a quiet place"


def test_a_sentence_speaks_of_the_class_and_of_the_core_tags():
    row = training_row(characters=["fern"], people="1girl", n_people=1, tags=["smile", "outdoors"], kind="head")
    changes = {"template": "sentence", "order": SENTENCE_ORDER}
    row["show_title"] = "Spy x Family"
    assert mirror(row, ("purple_hair",), "woman", **changes) == (
        "A portrait of woman from Spy x Family with purple hair. It shows smile and outdoors."
    )
    assert mirror(row, ("purple_hair",), "1girl", **changes) == (
        "A portrait of a girl from Spy x Family with purple hair. It shows smile and outdoors."
    )


def test_components_are_said_of_the_same_images_as_before():
    components = [{"part": "character", "probability": 0.5}, {"part": "tags", "probability": 1.0}]
    said = set()
    for number in range(40):
        row = training_row(image_id=f"show.e1/{number:08d}", characters=["fern"], tags=["smile"])
        found = mirror(row, (), template="components", components=components)
        names = Names(())
        trained = mirrored(row | {"activation_tags": []}, (), "fern", names, settings(), RULES)
        assert "fern" in trained
        said.add(found)
    assert said == {"woman, smile", "smile"}


def test_the_keep_mark_stands_before_the_tags_that_came_back():
    row = training_row(characters=["fern"], people="1girl", tags=["smile"], kind="person")
    caption = mirror(row, ("purple_hair",), keep_mark="|||")
    assert caption == "1girl, woman ||| purple hair, smile"
    assert without_mark(caption) == "1girl, woman, purple hair, smile"


def test_no_trigger_is_left_in_any_caption_of_two_thousand():
    """Names stand wherever a caption can hold them, and the check knows nothing of how they are looked for."""
    rng = random.Random(0)
    cast = ["fern", "Lelouch Lamperouge", "ai", "Rose|_young|red dress", "Mary Jane|none|cape", "no. 6"]
    said = ["fern", "Lelouch Lamperouge", "Ai", "Rose", "rose_young", "mary_jane", "Mary Jane", "No. 6", "trig_ger"]
    plain = ["smile", "outdoors", "long hair", "rosette", "hairband", "mountain"]
    forms = ("{}", "{} (show)", "holding {}", "{}'s hat", "the {} plush")
    kinds = ("still", "person", "halfbody", "head", "face", "hand", "objectdetail")
    templates = [
        {"template": template, "keep_mark": mark, "spaces": spaces, "order": order, "quality_words": []}
        for template, mark, spaces in itertools.product(("booru", "sentence", "components"), ("", "|||"), (True, False))
        for order in (["people", "character", "show", "tags", "text"], ["character", "text", "tags"])
    ]
    names = Names(cast, ["trig_ger"])
    words = [re.sub(r"[\s_]+", "[ _]", re.escape(name).replace("\\ ", " ")) for name in said]
    left = re.compile("|".join(rf"(?<![a-z0-9]){word}(?![a-z0-9])" for word in words), re.IGNORECASE)
    rendered = [settings(**it) for it in templates]
    for number in range(2000):
        tagged = [rng.choice(forms).format(rng.choice(said)) for _ in range(2)]
        row = training_row(
            image_id=f"show.e1/{number:08d}",
            kind=rng.choice(kinds),
            characters=rng.sample(cast, rng.randint(0, 2)),
            activation_tags=rng.sample(["trig_ger"], rng.randint(0, 1)),
            people=rng.choice(["", "1girl", "2girls"]),
            n_people=rng.randint(0, 2),
            tags=rng.sample([*plain, *tagged], 5),
            series=rng.sample(["rose of versailles", "manga"], 1),
            artists=rng.sample(["mary jane", "someone"], 1),
            show_title=rng.choice(["Mary Jane and the Sea", "Spy x Family"]),
            text=rng.choice(["", f"{rng.choice(said)} walks. {rng.choice(said)}, too!"]),
            written=rng.choice(
                ["", "", f"smile, {rng.choice(tagged)}, {rng.choice(said)}", f"{rng.choice(said)} runs."]
            ),
        )
        caption = mirrored(row, ("purple_hair", "rose_hair"), "woman", names, rng.choice(rendered), RULES)
        assert caption.strip()
        assert "\n" not in caption
        assert not left.search(caption), (row, caption)
