from __future__ import annotations

import random

import pyarrow as pa

from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.versions import canonical
from dataset_pipeline.training.balance import balance
from dataset_pipeline.training.manifest import (
    OF_CAPTIONS,
    balance_rows,
    faults_of_set,
    funnel,
    images_over_quota,
    manifest,
    missing_from_set,
    multiply_rows,
    outcomes,
)
from dataset_pipeline.training.split import held_out

DEFAULTS = load_settings(resources_folder() / "settings.toml")
SETTINGS, WHOLE = DEFAULTS.concept_balance, DEFAULTS.training_set


def selection(**selected: bool) -> pa.Table:
    """Images a, b, ... of the episode show.e1, b and c of it in show.e2; fern is on every other one."""
    rows = [
        {"image_id": image_of(name), "still_id": image_of(name), "kind": "still", "selected": goes_in}
        | {"reason": "selected" if goes_in else "small", "quality": 0.5, "path": "p", "pixel_sha256": "h"}
        | {"characters": ["fern"] if ord(name) % 2 else []}
        for name, goes_in in selected.items()
    ]
    return SCHEMAS["selection"].table(rows)


def image_of(name: str) -> str:
    return f"show.{'e2' if name in 'bc' else 'e1'}/{name}"


def images(names: str) -> pa.Table:
    size = {"width_px": 10, "height_px": 20, "size_bytes": 9}
    return SCHEMAS["training_images"].table(
        [
            {"image_id": image_of(name), "source_sha256": "s", "path": f"{name}.webp", "file_sha256": name, **size}
            for name in names
        ]
    )


def captions(names: str) -> pa.Table:
    return SCHEMAS["captions"].table(
        [
            {"image_id": image_of(name), "people": "1girl", "characters": ["fern"], "show": "Show", "kind": "screencap"}
            | {"tags": ["smile"], "caption": f"caption of {name}", "n_people": 1, "series": [], "artists": ["a"]}
            | {"image_type": "screencap", "rating": "general", "face_position": "left", "quality_word": "best quality"}
            | {"activation_tags": ["waifu"], "text": f"text of {name}", "written": ""}
            for name in names
        ]
    )


def multiplies(names: str) -> pa.Table:
    return SCHEMAS["multiplies"].table(
        [{"image_id": image_of(name), "concept": "1_character/fern", "multiply": float(ord(name))} for name in names]
    )


def test_the_set_holds_what_was_selected_rendered_captioned_and_balanced():
    selected = selection(a=True, b=True, c=True, d=True, f=False)
    table = manifest(images("abcdf"), captions("abcef"), multiplies("abdef"), selected, WHOLE)
    assert canonical(table, SCHEMAS["training_set"]).to_pylist() == [
        {
            "image_id": f"show.{episode}/{name}",
            "episode": f"show.{episode}",
            "show": "show",
            "kind": "still",
            "characters": ["fern"],
            "concept": "1_character/fern",
            "multiply": float(ord(name)),
            "caption": f"caption of {name}",
            "people": "1girl",
            "n_people": 1,
            "show_title": "Show",
            "series": [],
            "artists": ["a"],
            "image_type": "screencap",
            "rating": "general",
            "face_position": "left",
            "quality_word": "best quality",
            "activation_tags": ["waifu"],
            "tags": ["smile"],
            "text": f"text of {name}",
            "written": "",
            "split": "train",
            "quality": 0.5,
            "path": f"{name}.webp",
            "width_px": 10,
            "height_px": 20,
            "file_sha256": name,
        }
        for episode, name in (("e1", "a"), ("e2", "b"))
    ]


def test_a_set_of_nothing_has_no_rows():
    assert manifest(images(""), captions(""), multiplies(""), selection(), WHOLE).num_rows == 0
    assert manifest(images("a"), captions(""), multiplies("a"), selection(a=True), WHOLE).num_rows == 0


def test_held_out_images_are_marked():
    half = WHOLE.model_copy(update={"validation_share": 0.5})
    names = "abcdefgh"
    table = manifest(images(names), captions(names), multiplies(names), selection(**dict.fromkeys(names, True)), half)
    chosen = {row["image_id"] for row in table.to_pylist() if row["split"] == "validation"}
    assert chosen == held_out(table["image_id"].to_pylist(), 0.5, WHOLE.seed)
    assert 0 < len(chosen) < len(names)


def test_any_tables_give_what_looking_up_row_by_row_gives():
    rng = random.Random(3)
    for _ in range(50):
        some = ["".join(name for name in "abcdefgh" if rng.random() < 0.7) for _ in range(4)]
        selected = {name: rng.random() < 0.7 for name in some[3]}
        tables = [images(some[0]), captions(some[1]), multiplies(some[2]), selection(**selected)]
        tables = [pa.concat_tables([table.slice(0, 2), table.slice(2)]) for table in tables]
        caption_of, multiply_of, selected_of = (
            {row["image_id"]: row for row in table.to_pylist()} for table in tables[1:]
        )
        expected = []
        for row in tables[0].to_pylist():
            image_id = row["image_id"]
            if image_id in caption_of and image_id in multiply_of and selected_of.get(image_id, {}).get("selected"):
                episode = episode_of(image_id)
                expected.append(
                    {name: row[name] for name in ("image_id", "path", "width_px", "height_px", "file_sha256")}
                    | {"episode": episode, "show": show_of(episode)}
                    | {name: selected_of[image_id][name] for name in ("kind", "quality")}
                    | {name: caption_of[image_id][name] for name in ("characters", "caption", *OF_CAPTIONS)}
                    | {"split": "train", "show_title": caption_of[image_id]["show"]}
                    | {name: multiply_of[image_id][name] for name in ("concept", "multiply")}
                )
        one, two, three, four = tables
        assert manifest(one, two, three, four, WHOLE).to_pylist() == [
            {name: row[name] for name in SCHEMAS["training_set"].columns} for row in expected
        ]


def test_selected_images_are_balanced_and_each_episode_gets_its_own_multiplies():
    settings = SETTINGS.model_copy(update={"weights": [], "min_images_per_combination": 1})
    rows = balance_rows(selection(a=True, b=True, c=True, d=False, e=True), settings, WHOLE).rows
    assert {row["concept"]: row["image_ids"] for row in rows} == {
        "0_characters/character_others": [image_of("b")],
        "1_character/fern": [image_of("a"), image_of("e"), image_of("c")],
    }
    by_episode = multiply_rows(rows)
    assert {episode: [row["image_id"] for row in found] for episode, found in by_episode.items()} == {
        "show.e1": [image_of("a"), image_of("e")],
        "show.e2": [image_of("b"), image_of("c")],
    }
    assert by_episode["show.e2"] == [
        {"image_id": image_of("b"), "concept": "0_characters/character_others", "multiply": 3.0},
        {"image_id": image_of("c"), "concept": "1_character/fern", "multiply": 1.0},
    ]


def test_folders_say_names_where_the_tables_hold_ids():
    changes = {"weights": [], "min_images_per_combination": 1}
    names = {"fern": "Fern of the North", "stark": "Stark"}
    rows = balance_rows(selection(a=True, b=True), SETTINGS.model_copy(update=changes), WHOLE, names).rows
    assert [row["concept"] for row in rows] == ["0_characters/character_others", "1_character/Fern of the North"]


def test_what_is_over_a_quota_stays_with_its_concept_and_out_of_the_multiplies():
    changes = {"weights": [], "min_images_per_combination": 1, "max_images": 2, "max_images_per_concept": 2}
    selected = selection(a=True, b=True, c=True, d=False, e=True)
    rows = balance_rows(selected, SETTINGS.model_copy(update=changes), WHOLE).rows
    # All are as good as one another, so a and e, the first by id, are taken, and no place is left for b.
    assert [(row["concept"], row["images"], row["multiply"], row["over_quota"]) for row in rows] == [
        ("0_characters/character_others", 0, 0.0, [image_of("b")]),
        ("1_character/fern", 2, 1.0, [image_of("c")]),
    ]
    assert SCHEMAS["concept_balance"].table(rows).num_rows == 2
    assert multiply_rows(rows).keys() == {"show.e1"}


def test_held_out_images_count_for_nothing_in_the_balance():
    settings = SETTINGS.model_copy(update={"weights": [], "min_images_per_combination": 1})
    table = selection(a=True, b=True, c=True, d=False, e=True)
    ids = table.filter(table["selected"])["image_id"].to_pylist()
    split = WHOLE.model_copy(update={"validation_share": 0.5})
    rows = {row["concept"]: row for row in balance_rows(table, settings, split).rows}
    validation = held_out(ids, 0.5, split.seed)
    assert 0 < len(validation) < len(ids)
    for row in rows.values():
        assert row["images"] == len(set(row["image_ids"]) - validation)
    trained = {concept: row["images"] for concept, row in rows.items()}
    assert {concept: row["multiply"] for concept, row in rows.items()} == dict.fromkeys(trained, 1.0) | {
        share.concept: share.multiply for share in balance(trained, [], 1.0, 10.0)
    }


def test_the_arrangement_decides_what_is_balanced():
    changes = {"weights": [], "arrangement": ["episode", "n_faces"]}
    table = selection(a=True, b=True, c=False)
    rows = balance_rows(table, SETTINGS.model_copy(update=changes), WHOLE).rows
    assert [(row["concept"], row["probability"]) for row in rows] == [
        ("show e1/0_faces", 0.5),
        ("show e2/0_faces", 0.5),
    ]


def test_images_over_quota_are_no_images_left_out():
    table = selection(a=True, b=True, c=True, d=True, e=False)
    balance = SCHEMAS["concept_balance"].table(
        [
            {
                "concept": "x",
                "image_ids": [],
                "over_quota": [image_of("a"), image_of("b")],
                "over_quota_reasons": ["concept_full", "low_score"],
            },
            {"concept": "y", "image_ids": [], "over_quota": [image_of("e")]},
            {"concept": "z", "image_ids": [], "over_quota": [image_of("d")], "over_quota_reasons": ["enough"]},
            {"concept": "zz", "image_ids": []},
        ]
    )
    assert images_over_quota(balance, missing_from_set(table, images(""))) == {"over quota": 1, "below the cut": 2}
    assert images_over_quota(balance, missing_from_set(table, images("bd"))) == {"over quota": 1}
    assert images_over_quota(SCHEMAS["concept_balance"].empty(), missing_from_set(table, images("b"))) == {}
    assert images_over_quota(balance, missing_from_set(selection(), images(""))) == {}
    too_many = {"over quota": 1, "below the cut": 1}
    stages = funnel({}, {}, outcomes(table), 1, too_many)
    assert stages[-4:] == [
        ("set", "in the set", 1), ("set", "below the cut", 1), ("set", "over quota", 1), ("set", "left out", 1)
    ]  # fmt: skip
    stages = funnel({}, {}, outcomes(table), 2, too_many)
    assert faults_of_set(captions("a"), stages)["every_selected_image_is_in_the_set"] == ""


def test_every_stage_adds_up_and_what_was_left_out_is_told():
    frames, images = {"kept": 3, "duplicate": 5}, outcomes(selection(a=True, b=True, c=False))
    stages = funnel(frames, {}, images, 1)
    assert stages == [
        ("frames", "duplicate", 5),
        ("frames", "kept", 3),
        ("images", "selected", 2),
        ("images", "small", 1),
        ("set", "in the set", 1),
        ("set", "left out", 1),
    ]
    with_clips = funnel(frames, {}, images, 1, clips={"held": 2, "kept": 3})
    assert with_clips == [*stages, ("clips", "kept", 3), ("clips", "held", 2)]
    silent = pa.table({"image_id": ["a", "b"], "caption": ["x", " \n\u3000"]})
    assert faults_of_set(silent, stages) == {
        "every_image_has_a_caption": "1 have none, the first is b",
        "every_selected_image_is_in_the_set": "1 are not",
    }
