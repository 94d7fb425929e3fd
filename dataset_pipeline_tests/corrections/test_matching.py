"""A correction finds its picture again: to which episode it goes, and which picture of today it means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dataset_pipeline.assets.corrections import READERS
from dataset_pipeline.base.ids import box_of_crop
from dataset_pipeline.corrections import matching
from dataset_pipeline.corrections.addressing import Episodes, addressed, parts_for
from dataset_pipeline.corrections.events import event_of
from dataset_pipeline.corrections.matching import Matcher, matched_rows
from dataset_pipeline.images.looks import ALIKE_BITS, bits_apart, look_of

STILL, HEAD = "show.e01/00001500", "show.e01/00001500#head-100-100-200-200"
OTHER = "show.e02/00002500#head-300-100-200-200"


def looks(**bits: int) -> dict[str, str]:
    return {image: f"{value:032x}" for image, value in bits.items()}


def matcher(pixels: dict[str, str], found: dict[str, int] | None = None, source: str = "s1") -> Matcher:
    def looks_of(images: Sequence[str]) -> dict[str, str]:
        return {image: f"{(found or {})[image]:032x}" for image in images if image in (found or {})}

    return Matcher(pixels, source, looks_of)


def first_bits(count: int) -> int:
    return (1 << count) - 1


# ------------------------------------------------------------------------------------------------- looks


def drawn(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 255, (9, 12, 3)), np.ones((20, 20, 1))).astype(np.uint8)


def test_a_picture_looks_the_same_smaller_and_noisier_and_another_one_does_not():
    picture = drawn()
    noisy = np.clip(picture + np.random.default_rng(1).normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
    assert bits_apart(look_of(picture), look_of(noisy)) <= 6
    assert bits_apart(look_of(picture), look_of(picture[::2, ::2])) <= 6
    assert bits_apart(look_of(picture), look_of(drawn(1))) > ALIKE_BITS
    assert len(look_of(picture)) == 32


# ------------------------------------------------------------------------------------------------- matching


def test_the_same_id_of_the_same_source_is_the_picture():
    assert matcher({STILL: "p", HEAD: "q"}).match({"image": HEAD, "source": "s1"}) == (HEAD, "id")


def test_another_picture_under_the_same_id_of_a_replaced_source_is_not():
    told = {"image": STILL, "source": "s0", "look": f"{0:032x}"}
    assert matcher({STILL: "p"}, {STILL: first_bits(20)}).match(told) == (STILL, "id")
    assert matcher({STILL: "p"}, {STILL: first_bits(90)}).match(told) == ("", "nothing")


def test_a_picture_that_moved_is_found_by_its_pixels():
    told = {"image": "show.e01/a-11111111", "source": "s1", "pixels": "q"}
    assert matcher({"show.e01/b-22222222": "q", "show.e01/c-33333333": "r"}).match(told) == (
        "show.e01/b-22222222",
        "pixels",
    )


def test_a_box_that_another_detector_drew_is_found_by_frame_and_overlap():
    near = "show.e01/00001510#head-110-100-200-200"  # IoU .905, ten milliseconds later
    beside = "show.e01/00001500#head-300-100-200-200"
    body = "show.e01/00001500#person-100-100-200-200"
    assert matcher({near: "", beside: "", body: ""}).match({"image": HEAD, "source": "s1"}) == (near, "frame")
    assert matcher({beside: "", body: ""}).match({"image": HEAD, "source": "s1"}) == ("", "nothing")


def test_of_several_boxes_the_one_that_overlaps_most_is_it():
    found = {f"show.e01/00001500#head-{x}-100-200-200": "" for x in (150, 110, 140)}
    assert matcher(found).match({"image": HEAD}).image_id == "show.e01/00001500#head-110-100-200-200"


def test_a_frame_that_another_encoding_puts_elsewhere_is_found_by_its_look():
    later = {f"show.e01/{ms:08d}": "" for ms in (4000, 9000, 60_000)}
    told = {"image": STILL, "source": "s0", "look": f"{0:032x}"}
    found = {"show.e01/00004000": first_bits(60), "show.e01/00009000": first_bits(ALIKE_BITS), "show.e01/00060000": 0}
    assert matcher(later, found).match(told) == ("show.e01/00009000", "look")
    found["show.e01/00009000"] = first_bits(ALIKE_BITS + 1)
    assert matcher(later, found).match(told) == ("", "nothing")  # a minute later is another scene


def test_a_panorama_is_never_taken_for_the_frame_that_it_begins_with_and_is_found_by_its_span():
    pan, plate = "show.e01/pan-00001500-00009500", "show.e01/plate-00001500-00009500"
    assert matcher({pan: "", plate: ""}).match({"image": STILL, "source": "s1"}) == ("", "nothing")
    assert matcher({STILL: "", plate: ""}).match({"image": pan, "source": "s1"}) == ("", "nothing")
    moved, longer = "show.e01/pan-00001520-00009480", "show.e01/pan-00001500-00011000"
    assert matcher({STILL: "", longer: "", moved: ""}).match({"image": pan, "source": "s1"}) == (moved, "frame")
    told = {"image": pan, "source": "s1", "look": f"{0:032x}"}
    assert matcher({longer: ""}, {longer: first_bits(5)}).match(told) == (longer, "look")
    head, same = f"{pan}#head-100-100-200-200", f"{moved}#head-110-100-200-200"
    beside = "show.e01/00001500#head-100-100-200-200"
    assert matcher({beside: "", same: ""}).match({"image": head, "source": "s1"}) == (same, "frame")


def test_a_picture_of_a_folder_has_no_time_and_may_be_any_that_looks_like_it():
    told = {"image": "show.e01/a-11111111", "source": "s0", "look": f"{0:032x}"}
    found = matcher({"show.e01/b-22222222": "", "show.e01/c-33333333": ""}, {"show.e01/c-33333333": 0})
    assert found.match(told) == ("show.e01/c-33333333", "look")
    box = matcher({"show.e01/a-11111111#head-110-100-200-200": "", "show.e01/b-22222222#head-100-100-200-200": ""})
    near = "show.e01/a-11111111#head-110-100-200-200"
    assert box.match({"image": "show.e01/a-11111111#head-100-100-200-200"}) == (near, "frame")


def test_ids_are_read_once_however_many_corrections_there_are(monkeypatch: pytest.MonkeyPatch):
    read = []

    def counted(image: str) -> tuple[str, tuple[float, float, float, float]]:
        read.append(image)
        return box_of_crop(image)

    monkeypatch.setattr(matching, "box_of_crop", counted)
    crops = {f"show.e01/{1000 * number:08d}#head-{number}-100-200-200": "" for number in range(100)}
    found = matcher(crops)
    for number in range(50):
        assert found.match({"image": f"show.e01/{1000 * number:08d}#head-{number + 9}-100-200-200"}).how == "frame"
    assert len(read) <= 2 * len(crops) + 2 * 50


def test_a_look_is_asked_for_only_where_nothing_else_tells():
    def never(images: Sequence[str]) -> dict[str, str]:
        raise AssertionError(images)

    assert Matcher({STILL: "p"}, "s1", never).match({"image": STILL, "source": "s1", "look": "0" * 32}).how == "id"


# ------------------------------------------------------------------------------------------------- addressing

EPISODES = Episodes({"show.e01": "s1", "show.e02": "s2"}, {"old.e1": "show.e01"})


def said(*events: dict) -> tuple[list, dict[str, str]]:
    found = [event_of({"id": f"e-{number}", **event}) for number, event in enumerate(events)]
    return found, {event.id: f"2026112{number}" for number, event in enumerate(found)}


def test_each_episode_is_told_of_its_own_pictures_alone():
    rows = addressed(*said({"do": "set_character", "images": [HEAD, OTHER], "character": "c-1"}), EPISODES).rows
    for episode, image in (("show.e01", HEAD), ("show.e02", OTHER)):
        [part] = parts_for("matched_corrections", rows[episode])
        assert part.pictures == {"images": [{"image": image}]}
        assert part.value == {"character": "c-1"}


def test_what_is_said_of_frames_is_for_who_makes_them():
    rows = addressed(*said({"do": "exclude", "episode": "show.e01", "start_s": 1, "end_s": 2}), EPISODES).rows
    assert [row["reader"] for row in rows["show.e01"]] == ["distinct_frames", "clips", "panoramas", "backdrops"]
    assert rows["show.e02"] == []
    [part] = parts_for("clips", rows["show.e01"])
    assert (part.value["start_s"], part.value["end_s"]) == (1, 2)


def test_only_what_is_said_of_panoramas_or_plates_is_for_who_makes_them():
    pan, plate = "show.e01/pan-00001500-00009500", "show.e01/plate-00001500-00009500-with-00002000"
    expected = {
        STILL: ["matched_corrections"],
        pan: ["matched_corrections", "panoramas"],
        plate: ["matched_corrections", "backdrops"],
        f"{pan}#head-1-1-9-9": ["matched_corrections"],
    }
    for image, readers in expected.items():
        rows = addressed(*said({"do": "reject", "images": [image]}), EPISODES).rows
        assert [row["reader"] for row in rows["show.e01"]] == readers


def test_an_episode_is_found_under_its_former_key_and_by_its_source():
    former = {"do": "reject", "images": ["old.e1/00001500"]}
    by_source = {"do": "keep", "images": [{"image": "gone.e7/00001500", "source": "s2"}]}
    found = addressed(*said(former, by_source), EPISODES)
    [part] = parts_for("matched_corrections", found.rows["show.e01"])
    assert part.pictures["images"] == [{"image": STILL}]
    [part] = parts_for("matched_corrections", found.rows["show.e02"])
    assert part.pictures["images"][0]["image"] == "show.e02/00001500"
    assert found.homeless == []


@pytest.mark.parametrize(
    ("sources", "today"),
    [
        ({"a": "s1", "b": "s2"}, "a"),
        ({"a": "s2", "b": "s1"}, "b"),  # the keys changed places
        ({"a": "s9", "b": "s2"}, "a"),  # encoded again: the fingerprint is nowhere
        ({"a": "s1", "b": "s1"}, "a"),  # two equal copies
        ({"a": "s9", "b": "s1", "c": "s1"}, "a"),  # nobody can tell which copy
        ({"b": "s1", "c": "s1"}, "b"),
        ({"b": "s2", "new": "s9"}, "new"),
        ({"b": "s1", "new": "s9"}, "b"),
        ({"b": "s1", "new": "s1"}, "new"),
        ({"b": "s2"}, None),
    ],
)
def test_an_episode_is_the_one_with_that_source_then_the_one_of_that_key(sources: dict[str, str], today: str | None):
    assert Episodes(sources, {"a": "new"}).today("a", "s1") == today


def test_what_is_addressed_to_no_episode_is_told_with_the_keys():
    found = addressed(*said({"do": "reject", "images": ["gone.e7/00001500", STILL]}), EPISODES)
    [(event, keys)] = found.homeless
    assert (event.do, keys) == ("reject", ["gone.e7"])
    assert len(found.rows["show.e01"]) == 1


@pytest.mark.parametrize(
    ("shown_by", "home"), [([OTHER], "show.e02"), ([], "show.e01"), (["gone.e7/00000001"], "show.e01")]
)
def test_a_name_is_told_to_one_episode_even_if_no_picture_of_it_is_left(shown_by: list[str], home: str):
    found = addressed(*said({"do": "rename", "character": "c-1", "name": "Fern", "shown_by": shown_by}), EPISODES)
    assert [episode for episode, rows in found.rows.items() if rows] == [home]
    assert found.homeless == []


# ------------------------------------------------------------------------------------------------- rows


def test_rows_name_the_image_of_today_for_each_reader_and_list_what_is_not_there():
    events = (
        {"do": "set_character", "images": [HEAD, "show.e01/00009999#head-1-1-9-9"], "character": "c-1"},
        {"do": "rename", "character": "c-1", "name": "Fern"},
        {"do": "exclude", "episode": "show.e01", "start_s": 1, "end_s": 2},
    )
    rows = addressed(*said(*events), EPISODES).rows["show.e01"]
    parts = parts_for("matched_corrections", rows)
    found = matched_rows(parts, matcher({STILL: "", HEAD: ""}), READERS)
    assert [(it["reader"], it["field"], it["number"], it["image_id"], it["how"]) for it in found] == [
        ("character_gallery", "images", 0, HEAD, "id"),
        ("character_gallery", "images", 1, "", "nothing"),
        ("clusters", "images", 0, HEAD, "id"),
        ("clusters", "images", 1, "", "nothing"),
        ("character_gallery", "", 0, "", "nothing"),
    ]
