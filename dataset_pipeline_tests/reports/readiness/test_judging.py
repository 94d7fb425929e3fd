"""What speaks against a set: every seeded fault is found, is told first, and stands first on the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest

from dataset_pipeline.repeated.near_duplicates import DEFECTS
from dataset_pipeline.reports.readiness.classes import classes_of
from dataset_pipeline.reports.readiness.judging import readiness
from dataset_pipeline.reports.readiness.leakage import Leak
from dataset_pipeline.reports.readiness.page import page
from dataset_pipeline.reports.readiness.tokens import clip_token_counter
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.manifest import funnel

SECTIONS = ["verdict", "set", "buckets", "concepts", "characters", "tags", "captions", "splits", "faces", "left-out"]
STAGES = [("images", "selected", 60), ("images", "small", 7), ("set", "in the set", 60)]


def words(caption: str) -> int:
    return len(caption.split())


def image(number: int, character: str = "aki", **changes: Any) -> dict[str, Any]:
    """A still of 1344x768, which every trainer takes as it is."""
    return {
        "image_id": f"show.e1/{number:08d}",
        "episode": "show.e1",
        "show": "show",
        "kind": "still",
        "characters": [character],
        "concept": f"1_character/{character}",
        "multiply": 1.0,
        "caption": f"1girl, {character}, indoors",
        "tags": [],
        "split": "train",
        "quality": 0.5,
        "path": f"{number}.webp",
        "width_px": 1344,
        "height_px": 768,
        "file_sha256": str(number),
    } | changes


def healthy() -> list[dict[str, Any]]:
    """Twenty images each of three characters, with nothing wrong."""
    return [image(number, ("aki", "beni", "chie")[number % 3]) for number in range(60)]


def judged(rows: list[dict[str, Any]], **given: Any) -> dict[str, Any]:
    return readiness(SCHEMAS["training_set"].table(rows), STAGES, count_tokens=words, **given)


def without_captions() -> dict[str, Any]:
    rows = healthy()
    rows[4]["caption"], rows[5]["caption"] = "", "  "
    return judged(rows)


def leaking() -> dict[str, Any]:
    rows = healthy()
    for row in rows[:4]:
        row["split"] = "validation"
    leak = Leak("show.e1/00000002", "show.e1/00000009", "near-duplicate", 0.98)
    return judged(rows, leaked=[leak])


def with_a_character_of_three() -> dict[str, Any]:
    return judged([*healthy(), *(image(100 + number, "dai") for number in range(3))])


def with_small_crops() -> dict[str, Any]:
    crops = [
        image(number, image_id=f"show.e1/{number:08d}#head-1-2-3-4", kind="head", width_px=384, height_px=384)
        for number in range(30)
    ]
    return judged([*healthy(), *crops])


def with_one_concept_above_all() -> dict[str, Any]:
    return judged([row | {"multiply": 9.0 if "aki" in row["concept"] else 1.0} for row in healthy()])


def with_long_captions() -> dict[str, Any]:
    rows = healthy()
    rows[7]["caption"] = "word " * 76
    return judged(rows)


def with_a_tag_everywhere() -> dict[str, Any]:
    return judged([row | {"tags": ["red_hair"] * ("aki" in row["concept"])} for row in healthy()])


def class_pictures(name: str, count: int, beside: list[str] | None = None) -> list[dict[str, Any]]:
    return [{"concept": name, "place": place, "beside": beside} for place in range(count)]


def with_classes(profile: str, *pictures: dict[str, Any]) -> dict[str, Any]:
    rows = healthy()
    return judged(rows, classes=classes_of(SCHEMAS["training_set"].table(rows), pictures, profile))


SEEDED: list[tuple[Callable[[], dict[str, Any]], str, str, str, int]] = [
    (without_captions, "no_caption", "serious", "2 images have no caption.", 2),
    (
        leaking, "leakage", "serious",
        "1 of 4 held-out images are in the training part as well: near-duplicate 1.", 1,
    ),
    (with_a_character_of_three, "few_images", "warning", "dai is on only 3 images.", 1),
    (
        with_small_crops, "enlarged", "warning",
        "100 % of the crops are too small for 1024: a trainer that fills its buckets enlarges half of them 2.7 times "
        "or more.", 30,
    ),
    (with_one_concept_above_all, "dominating", "warning", "1_character/aki is 82 % of an epoch.", 20),
    (with_long_captions, "long_captions", "warning", "1 caption is longer than 75 tokens, the longest 76.", 1),
    (
        lambda: with_classes("kohya", *class_pictures("woman", 300), *class_pictures("man", 25)),
        "unused_regularization", "warning",
        "Of the 300 pictures of the class woman kohya sd-scripts uses 30.", 270,
    ),
    (
        lambda: with_classes("musubi", *class_pictures("woman", 2), *class_pictures("man", 1)),
        "unused_regularization", "warning",
        "musubi-tuner knows no regularization pictures: 3 are left out.", 3,
    ),
    (
        lambda: judged(healthy(), unmade=["man"]), "unmade_regularization", "warning",
        "1 regularization class was never made.", 1,
    ),
    (with_a_tag_everywhere, "tag_of_everything", "note", "red_hair is on nearly all images of aki.", 1),
    (
        lambda: judged(healthy(), made_with_demo_models=True), "demo_models", "note",
        "Made with the demo models, which know only drawn scenes.", 60,
    ),
    (lambda: judged([]), "empty", "serious", "There is nothing to train on.", 0),
]  # fmt: skip


EMPTY = {"meta", "br", "wbr", "rect", "line"}  # tags that nothing closes


class Read(HTMLParser):
    """The words of a page's body in order, its sections, and whether its tags are closed as they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.sections: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag == "section":
            self.sections.append(dict(attrs)["id"] or "")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in EMPTY or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "body" in self.open and data.strip():
            self.words.append(data.strip())


def test_nothing_speaks_against_a_healthy_set():
    found = judged(healthy())
    assert (found["worst"], found["faults"]) == ("", [])
    assert Read(page(found)).words[0] == "Nothing speaks against training on this set."


@pytest.mark.parametrize(("seed", "name", "severity", "message", "count"), SEEDED, ids=[entry[1] for entry in SEEDED])
def test_a_seeded_fault_is_the_first_thing_the_report_shows(seed, name, severity, message, count):
    found = seed()
    worst = found["faults"][0]
    assert (worst["name"], worst["severity"], worst["message"], worst["count"]) == (name, severity, message, count)
    assert found["worst"] == severity
    assert worst["what_to_do"].endswith(".")
    shown = Read(page(found))
    assert shown.words[:2] == [message, severity]


def test_the_share_of_each_class_that_the_trainer_will_use_is_said():
    aki = [row["image_id"] for row in healthy() if "aki" in row["concept"]]
    pictures = [*class_pictures("woman", 300), *class_pictures("man", 5, beside=aki)]
    told = {
        profile: {
            row["class"]: (row["in_an_epoch"], row["used"], row["share"])
            for row in with_classes(profile, *pictures)["regularization"]
        }
        for profile in ("kohya", "onetrainer", "plain", "diffusion_pipe")
    }
    each_time_others = {"man": (10, 5, 1.0), "woman": (50, 300, 1.0)}
    assert told == {
        "kohya": {"man": (10, 5, 1.0), "woman": (50, 50, 50 / 300)},
        "onetrainer": each_time_others,
        "plain": each_time_others,
        "diffusion_pipe": {"man": (0, 0, 0.0), "woman": (0, 0, 0.0)},
    }
    shown = Read(page(with_classes("kohya", *pictures)))
    assert "regularization" in shown.sections
    assert "50 of 300 pictures, 50 in an epoch" in shown.words
    assert "17 %" in shown.words
    assert with_classes("onetrainer", *pictures)["faults"] == []
    assert "regularization" not in Read(page(judged(healthy()))).sections


def test_faults_are_ordered_by_severity():
    rows = [*healthy(), *(image(100 + number, "dai", caption="") for number in range(3))]
    found = judged(rows, made_with_demo_models=True)
    assert [fault["name"] for fault in found["faults"]] == ["no_caption", "few_images", "demo_models"]
    text = page(found)
    places = [text.index(fault["message"]) for fault in found["faults"]]
    assert places == sorted(places)


def test_images_lost_on_the_way_are_told():
    found = readiness(SCHEMAS["training_set"].table(healthy()), [*STAGES, ("set", "left out", 2)])
    assert found["faults"][0]["message"] == "2 selected images are not in the set."


def test_a_resolution_that_fits_the_crops_is_named():
    crops = [image(number, kind="person", width_px=600, height_px=600) for number in range(30)]
    [fault, *_] = judged(crops, resolution=1024)["faults"]
    assert fault["name"] == "enlarged"
    assert fault["what_to_do"].startswith("Train at 512, raise")
    assert "enlarged" not in {fault["name"] for fault in judged(crops, resolution=512)["faults"]}


def test_images_that_kohya_has_no_bucket_for_are_named():
    rows = healthy()
    rows[3] |= {"width_px": 63, "height_px": 640}
    [fault] = (fault for fault in judged(rows)["faults"] if fault["name"] == "no_bucket")
    assert (fault["severity"], fault["count"], fault["examples"]) == ("warning", 1, [rows[3]["image_id"]])
    assert fault["message"] == "1 image has a side below kohya's step of 64 px at 1024."


def test_a_tag_that_only_most_images_of_a_character_bear_is_no_fault():
    rows = healthy()
    for row in rows[:54]:
        row["tags"] = ["red_hair"] * ("aki" in row["concept"])
    assert judged(rows)["faults"] == []


def test_the_figures_are_counted_over_the_training_part():
    rows = healthy()
    for row in rows[:6]:
        row |= {"width_px": 512, "height_px": 512, "kind": "person"}
    for row in rows:
        row["tags"] = ["smile"]
    for row in rows[57:]:
        row["split"] = "validation"
    found = readiness(SCHEMAS["training_set"].table(rows), STAGES, face_sides_px=[20.0, 70.0, 900.0])
    assert found["set"] | {"shows": []} == {
        "shows": [], "episodes": 1, "images": 60, "stills": 54, "concepts": 3, "characters": 3,
        "images_an_epoch": 57.0, "resolution": 1024, "made_with_demo_models": False,
    }  # fmt: skip
    assert found["characters"][0] == {"character": "aki", "images": 19, "kinds": {"person": 2, "still": 17}}
    assert found["concepts"][0]["epoch_share"] == pytest.approx(1 / 3)
    assert found["tags"] == [{"tag": "smile", "images": 57, "share": 1.0}]
    assert found["splits"] == {"train": 57, "validation": 3, "leaked": {}, "examples": []}
    assert [entry["count"] for entry in found["faces"]["bins"]] == [1, 0, 1, 0, 0, 0, 0, 1]
    words_of_three = {entry["up_to"]: entry["count"] for entry in found["captions"]["words"]["bins"]}
    assert words_of_three[5] == 57
    assert found["captions"]["tokens"] is None
    at_1024 = {use["rule"]: use for use in found["buckets"] if use["resolution"] == 1024}
    assert at_1024["kohya_scaled"]["buckets"] == [[1344, 768, 51], [1024, 1024, 6]]
    assert at_1024["kohya_scaled"]["enlarged"] == 6
    assert at_1024["kohya"]["buckets"] == [[1344, 768, 51], [512, 512, 6]]
    assert found["left_out"][1] == {
        "stage": "images", "reason": "small", "images": 7, "meaning": "below [selection] min_short_side_px",
    }  # fmt: skip


def test_the_report_is_plain_json_and_the_same_each_time():
    assert json.loads(json.dumps(without_captions())) == without_captions()
    assert page(with_small_crops()) == page(with_small_crops())


@pytest.mark.parametrize("seed", [without_captions, leaking, with_small_crops, lambda: judged([])])
def test_the_page_is_whole_and_needs_nothing_else(seed):
    text = page(seed())
    shown = Read(text)
    assert shown.open == []
    assert [name for name in SECTIONS if name not in shown.sections] in ([], ["buckets"])
    assert shown.links == []
    assert "script" not in shown.tags
    assert "http" not in text
    assert "url(" not in text


def test_the_page_has_the_sections_and_plots_of_a_set():
    shown = Read(page(with_small_crops()))
    assert [name for name in shown.sections if name != "faults"] == SECTIONS
    assert shown.tags.count("svg") > 10
    assert "1344 × 768" in shown.words


def test_names_are_escaped():
    evil = "<script>alert('&')</script>"
    rows = [image(number, evil, caption="", show=evil, concept=f"1_character/{evil}") for number in range(12)]
    text = page(judged([row | {"tags": [evil]} for row in rows]))
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#39;&amp;&#39;)" in text


def test_clip_tokens_are_counted_as_the_encoder_reads_them():
    count = clip_token_counter()
    assert count("a photo of a cat") == 5
    assert count("1girl, red hair, :), it's") == 10  # 1 girl , red hair , :) , it 's
    assert count("Frieren’s   staff &amp; grimoire") == count("frieren's staff & grimoire")
    assert count("word " * 90) == 90
    assert count("") == 0


def test_a_set_that_is_all_held_out_is_told_which_setting_does_it():
    found = judged([row | {"split": "validation"} for row in healthy()])
    assert [fault["name"] for fault in found["faults"]] == ["empty"]
    assert "[training_set] validation_share" in found["faults"][0]["what_to_do"]


def test_every_reason_for_leaving_an_image_out_has_a_meaning():
    reasons = ("too_few_faces", "too_many_faces", "character_not_wanted", "nobody_known", "low_quality")
    stages = [("images", reason, 1) for reason in reasons] + [("set", "over quota", 1), ("set", "below the cut", 1)]
    stages += [("frames", defect, 1) for defect in DEFECTS]
    told = readiness(SCHEMAS["training_set"].table(healthy()), stages)["left_out"]
    assert all(row["meaning"] for row in told)


def test_every_verdict_on_a_panorama_or_a_plate_has_a_meaning():
    of_place = [
        *(("keep", it) for it in ("kept", "kept_by_hand")),
        *((it, why) for it in ("doubtful", "refused") for why in ("parallax", "content_moves", "too_much_unknown")),
        *(("doubtful", it) for it in ("badly_placed", "no_boxes")),
        *(
            ("refused", it)
            for it in (
                "too_little_travel",
                "zoom_adds_nothing",
                "rotation",
                "no_texture",
                "unreadable",
                "rejected_by_hand",
                "surroundings_unknown",
                "frame_shows_it",
            )
        ),
    ]
    rows = pa.table({"verdict": [it for it, _ in of_place], "reason": [it for _, it in of_place]})
    stages = funnel({}, {}, {"in_panorama": 1, "of_plate": 1}, 0, stitched=[rows])
    told = readiness(SCHEMAS["training_set"].table(healthy()), stages, count_tokens=words)["left_out"]
    assert sum(it["images"] for it in told if it["stage"] == "panoramas and plates") == len(of_place)
    assert [it for it in told if not it["meaning"]] == []
