from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pytest

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.ids import check_image, episode_of, pts_ms_of
from dataset_pipeline.regularization.requests import (
    bucket_size,
    people_on,
    requests_of,
    seed_of,
    stands_beside,
    with_ids,
)
from dataset_pipeline.settings import RegularizationClass, load_settings, resources_folder
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline_tests.regularization.rows import training_row

SETTINGS = load_settings(resources_folder() / "settings.toml")
RULES = load_rules(SETTINGS.tag_rules)
CORE = [{"show": "show", "character": "fern", "tags": ["purple_hair"], "images": 9}]


def of_prompts(**changes: Any) -> RegularizationClass:
    told = {"name": "woman", "source": "prompts", "prompts": ["a woman", "a woman outdoors"], "keep": 4}
    return RegularizationClass.model_validate(told | changes)


def of_captions(**changes: Any) -> RegularizationClass:
    return RegularizationClass.model_validate(
        {"name": "girl", "source": "captions", "class_word": "1girl", "negative_prompt": "blurry"} | changes
    )


def asked(a_class: RegularizationClass, rows: list[dict[str, Any]] = [], seed: int = 0, side: int = 512) -> list[dict]:  # noqa: B006
    return requests_of(a_class, seed, 14, side, rows, CORE, SETTINGS.captions, RULES)


def test_a_class_asks_for_as_many_as_are_to_be_generated_evenly_over_its_prompts_however_many_it_keeps():
    rows = asked(of_prompts(prompts=["a", "b", "c"]))
    assert Counter(row["prompt"] for row in rows) == {"a": 5, "b": 5, "c": 4}  # 14 where the class does not say
    assert [asked(of_prompts(prompts=["a", "b", "c"], keep=keep)) for keep in (1, 5000)] == [rows, rows]
    assert Counter(row["prompt"] for row in asked(of_prompts(generate=5))) == {"a woman": 3, "a woman outdoors": 2}
    assert {(row["width_px"], row["height_px"], row["caption"] == row["prompt"]) for row in rows} == {(512, 512, True)}
    assert {(row["width_px"], row["height_px"]) for row in asked(of_prompts(width_px=640))} == {(640, 512)}


def test_another_prompt_changes_no_other_id_nor_seed():
    before = {row["image_id"]: row for row in asked(of_prompts(generate=20))}
    after = {
        row["image_id"]: row for row in asked(of_prompts(generate=30, prompts=["new", "a woman", "a woman outdoors"]))
    }
    assert {key: after[key] for key in before} == before
    assert {row["prompt"] for key, row in after.items() if key not in before} == {"new"}


def test_ids_are_those_of_the_class_and_never_read_as_a_time():
    rows = asked(of_prompts(generate=3000))
    assert len({row["image_id"] for row in rows}) == 3000
    for row in rows:
        assert episode_of(check_image(row["image_id"])) == "woman"
        assert pts_ms_of(row["image_id"]) is None
    assert rows == sorted(rows, key=lambda row: row["image_id"]) == asked(of_prompts(generate=3000))


def test_seeds_go_by_the_class_the_prompt_the_number_and_the_setting():
    seeds = {row["seed"] for row in asked(of_prompts(generate=100))}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert seeds.isdisjoint(row["seed"] for row in asked(of_prompts(generate=100), seed=1))
    assert seeds.isdisjoint(row["seed"] for row in asked(of_prompts(generate=100, name="man")))


def test_the_same_prompt_and_seed_twice_is_one_request():
    rows = asked(of_prompts(prompts=["a", " a", "a"], generate=6))
    assert len(rows) == 6 == len({row["seed"] for row in rows})
    row = {"source": "prompts", "prompt": "a"}
    assert len(with_ids("woman", [(["a", 1], row), (["a", 1], row), (["a", 2], row)])) == 2


def test_ids_that_would_be_the_same_are_longer():
    row = {"source": "prompts"}
    one, other = ([82068], row), ([104616], row)  # two numbers whose hashes begin alike
    found = with_ids("woman", [one, other])
    assert len({it["image_id"] for it in found}) == 2
    assert {it["image_id"][:14] for it in found} == {"woman/5f22578d"}
    assert {len(it["image_id"]) for it in found} == {len("woman/") + 16}
    assert [it["image_id"] for it in with_ids("woman", [one])] == ["woman/5f22578d"]


def test_a_class_without_prompts_is_told_what_to_write():
    with pytest.raises(PermanentError, match="'woman' has no prompts: write at least one under `prompts` in its table"):
        asked(of_prompts(prompts=["  "]))


def test_captions_are_mirrored_for_all_that_is_trained_on_and_nothing_else():
    fern = training_row(
        "show.e1/00000001", characters=["fern"], people="1girl", n_people=1, tags=["smile"], kind="person"
    )
    rows = [fern, training_row("show.e1/00000002", kind="person", tags=["outdoors"])]
    held_out = training_row("show.e1/00000003", split="validation")
    found = {row["mirrors"]: row for row in asked(of_captions(), [*rows, held_out], side=1024)}
    assert found.keys() == {"show.e1/00000001", "show.e1/00000002"}
    first = found["show.e1/00000001"]
    assert first["caption"] == first["prompt"] == "1girl, purple hair, smile"
    assert (first["negative_prompt"], first["people"], first["path"]) == ("blurry", 1, "")
    assert (first["width_px"], first["height_px"]) == (1360, 768)
    assert found["show.e1/00000002"]["caption"] == "outdoors"
    assert first["seed"] == seed_of(0, "show.e1/00000001", 0)  # by the image alone
    assert asked(of_captions(), rows[:1], side=1024) == [first]  # whatever else is in the set


def test_of_the_core_tags_those_come_back_that_are_seen_on_the_image():
    core = [{**CORE[0], "tags": ["hat", "purple_hair"]}]
    rows = [
        training_row(f"show.e1/{at:08d}", characters=["fern"], people="1girl", tags=["smile"], kind="head")
        for at in (1, 2, 3)
    ]
    seen = {"show.e1/00000001": ["hat", "boots"], "show.e1/00000002": []}
    found = requests_of(of_captions(), 0, 1, 512, rows, core, SETTINGS.captions, RULES, seen)
    assert {row["mirrors"][-1]: row["caption"] for row in found} == {
        "1": "1girl, portrait, hat, smile", "2": "1girl, portrait, smile", "3": "1girl, portrait, purple hair, smile",
    }  # fmt: skip


def test_the_mark_for_trainers_is_no_part_of_a_prompt():
    captions = SETTINGS.captions.model_copy(update={"keep_mark": "|||"})
    row = training_row(characters=["fern"], people="1girl", tags=["smile"], kind="person")
    (found,) = requests_of(of_captions(), 0, 1, 512, [row], CORE, captions, RULES)
    assert found["caption"] == "1girl ||| purple hair, smile"
    assert found["prompt"] == "1girl, purple hair, smile"


def test_as_many_pictures_are_asked_for_as_generate_says():
    rows = [training_row(f"show.e1/{number:08d}", tags=["smile"]) for number in range(10)]
    more = asked(of_captions(generate=25), rows)
    assert sorted(Counter(row["mirrors"] for row in more).values()) == [2] * 5 + [3] * 5
    assert len({row["image_id"] for row in more}) == 25
    few = asked(of_captions(generate=4), rows)
    assert len(few) == 4
    assert {row["image_id"] for row in few} <= {row["image_id"] for row in more}


def test_a_class_stands_beside_its_shows_and_its_characters():
    row = training_row("frieren.e1/00000001", show_title="Sousou no Frieren", characters=["Fern|none|red dress"])
    for changes in ({}, {"shows": ["frieren"]}, {"shows": ["Sousou no Frieren"]}, {"characters": ["fern"]}):
        assert stands_beside(of_captions(**changes), row), changes
    for changes in ({"shows": ["other"]}, {"characters": ["stark"]}, {"shows": ["frieren"], "characters": ["stark"]}):
        assert not stands_beside(of_captions(**changes), row), changes


def test_a_class_beside_nothing_is_told_what_there_is():
    row = training_row(characters=["fern"])
    with pytest.raises(PermanentError, match=r"characters = \['stark'\]. Name shows of show and characters of fern"):
        asked(of_captions(characters=["stark"]), [row])
    with pytest.raises(PermanentError, match="there are no training images: make the set first"):
        asked(of_captions())
    with pytest.raises(PermanentError, match="class_word = 'young fern' of the class 'girl' names a character"):
        asked(of_captions(class_word="young fern"), [row])


def test_the_number_of_people_is_that_of_the_image_where_it_is_sure():
    assert people_on(training_row(n_people=2, people="1girl, 1boy")) == 2
    assert people_on(training_row(tags=["no_humans"])) == 0
    for row in (
        training_row(), training_row(n_people=6), training_row(n_people=2, people="multiple girls"),
        training_row(kind="hand", n_people=1),
    ):  # fmt: skip
        assert people_on(row) is None
    assert [row["people"] for row in asked(of_captions(people=1), [training_row(n_people=3)])] == [1]


def test_a_mirror_has_the_size_of_its_image_as_a_bucket_holds_it():
    assert bucket_size(768, 768, 512) == (512, 512)
    assert bucket_size(1280, 720, 1024) == (1360, 768)  # 1365 x 768 would be as large
    assert bucket_size(720, 1280, 1024) == (768, 1360)
    assert bucket_size(4000, 400, 512) == (1024, 256)  # no longer than twice the side
    assert bucket_size(96, 96, 1024) == (1024, 1024)


def test_a_mirror_falls_into_the_bucket_of_its_image():
    """Buckets as trainers make them: sides in steps of 64, as many pixels as the square at most; of all, the one of the
    nearest shape."""
    steps = range(256, 1025, 64)
    buckets = [(w, h) for w, h in itertools.product(steps, steps) if w * h <= 512**2 < (w + 64) * (h + 64)]

    def bucket(width: int, height: int) -> tuple[int, int]:
        return min(buckets, key=lambda it: abs(math.log(it[0] / it[1]) - math.log(width / height)))

    sizes = [(1280, 720), (720, 1280), (768, 768), (1920, 800), (1024, 768), (400, 600), (300, 512), (853, 480)]
    for width, height in sizes:
        mirror = bucket_size(width, height, 512)
        assert mirror[0] * mirror[1] <= 512**2
        assert not (mirror[0] % 8)
        assert not (mirror[1] % 8)
        assert bucket(*mirror) == bucket(width, height)
        assert abs(math.log(mirror[0] / mirror[1] / (width / height))) < 0.02
