"""Each difference between two sets has its one reason, and what cannot be known is not guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.settings.tag_rules import Rules
from dataset_pipeline.store.lineage import JOINED, Lineage, Made
from dataset_pipeline.tags.templates import render
from dataset_pipeline.training.balance import balance
from dataset_pipeline.training.exporters.image_set import CAPTION_FIELDS
from dataset_pipeline.training.exporters.remake import rules_of
from dataset_pipeline.training.set_diff.changes import Changes, changed_weights
from dataset_pipeline.training.set_diff.diff import CAME, CAPTION, CONCEPT, LEFT, PIXELS, SIZE, SPLIT, SetDiff, diff
from dataset_pipeline.training.set_diff.sets import Image, TrainingSet

E1, E2 = "a.e1", "a.e2"
FRAMES = {"keyframes", "distinct_frames", "video_probe"}
SEEN = FRAMES | {"repeated_frames", "detections", "crops", "clusters", "character_gallery", "images"}
BEHIND = {
    "keyframes": {"video_probe"},
    "distinct_frames": {"keyframes", "video_probe"},
    "repeated_frames": FRAMES,
    "crops": FRAMES | {"detections"},
    "images": FRAMES | {"detections", "crops"},
    "quality_scores": FRAMES | {"detections", "crops", "images"},
    "clusters": FRAMES | {"detections", "crops", "character_gallery"},
    "tag_scores": FRAMES | {"detections", "crops", "images"},
    "core_tags": SEEN | {"tag_scores"},
    "tags": SEEN | {"tag_scores", "core_tags", "quality_scores"},
    "selection": SEEN | {"quality_scores", "tag_scores"},
    "captions": SEEN | {"tags", "selection"},
    "concept_balance": SEEN | {"selection"},
    "training_images": SEEN | {"selection"},
    "clips": SEEN | {"selection", "captions", "tags", "core_tags", "concept_balance"},
}
JOINS = {"repeated_frames", "character_gallery", "core_tags", "concept_balance", "training_set"}
SETTINGS = load_settings(DEFAULTS)
SECTIONS = {
    "keyframes": ("keyframes",),
    "distinct_frames": ("distinct_frames", "frame_defects"),
    "repeated_frames": ("repeated_frames",),
    "crops": ("crops",),
    "clusters": ("clusters",),
    "quality_scores": ("quality_scores",),
    "tag_scores": ("tag_scores",),
    "core_tags": ("core_tags",),
    "tags": ("tags", "people", "tag_thresholds"),
    "selection": ("selection",),
    "captions": ("captions",),
    "concept_balance": ("concept_balance",),
    "training_images": ("training_images",),
    "training_set": ("training_set",),
    "video_probe": (),
}
RULES = rules_of({"hair": ["purple_hair"], "outfit": ["robe"]})
Tables = dict[tuple[str, str], dict[str, dict[str, Any]]]


def made_set(
    images: Mapping[str, Image] | list[Image],
    sources: Any = None,
    tables: Any = None,
    over_quota: Any = None,
    **changes: Any,
) -> TrainingSet:
    """A set made by the default settings but for `section__key=value`."""
    settings = load_settings(DEFAULTS, **changes)
    keys = {E1: "v1"} if sources is None else sources
    steps = {}
    for asset, sections in SECTIONS.items():
        made = Made("1", {name: getattr(settings, name).counted() for name in sections})
        steps[asset] = dict.fromkeys([JOINED] if asset in JOINS else [*keys, JOINED], made)
    listed = {image.image_id: image for image in images} if isinstance(images, list) else images
    return TrainingSet(
        "a set",
        listed,
        Lineage(keys, steps),
        settings.captions,
        settings.concept_balance,
        RULES,
        tables=(lambda asset, episode: None) if tables is None else lambda asset, episode: tables.get((asset, episode)),
        over_quota=lambda: over_quota or {},
    )


def image(number: int, episode: str = E1, crop: str = "", rules: Rules = RULES, **more: Any) -> Image:
    """An image with the caption that the default settings give its fields."""
    image_id = f"{episode}/{number:08}" + (f"#{crop}-1-2-3-4" if crop else "")
    settings = more.pop("settings", SETTINGS)
    told = {name: more.pop(name) for name in CAPTION_FIELDS if name in more}
    said = {**CAPTION_FIELDS, "characters": ["fern"], "tags": ["purple_hair", "robe"], **told}
    kind = crop or "still"
    fields = {**said, "image_id": image_id, "kind": kind, "show": "A"}
    usual = {"part": "train", "concept": "1_character/fern", "multiply": 1.0, "sha256": f"{number:064}", "quality": 0.5}
    sizes = {"width_px": 640, "height_px": 360}
    caption = render(fields, settings.captions, rules)
    return Image(**{"image_id": image_id, "caption": caption, "kind": kind, "fields": fields, **usual, **sizes, **more})


def of_class(name: str) -> Image:
    return replace(image(9), image_id=f"scenery/{name}0000000", part="reg", concept="scenery")


def compared(old: TrainingSet, new: TrainingSet) -> SetDiff:
    return diff(old, new, BEHIND, JOINS)


def reasons(old: TrainingSet, new: TrainingSet, kind: str) -> list[str]:
    return [it.reason.sentence for it in compared(old, new).of(kind)]


def selection(*rows: tuple[Image | str, str], episode: str = E1) -> Tables:
    """`selection` of an episode: images with the reason for each."""
    named = {it if isinstance(it, str) else it.image_id: reason for it, reason in rows}
    return {
        ("selection", episode): {
            it: {"image_id": it, "selected": reason == "selected", "reason": reason, "quality": 0.25}
            for it, reason in named.items()
        }
    }


def test_the_same_set_twice_has_no_difference():
    both = made_set([image(1), image(2, crop="person")])
    assert compared(both, both).same
    assert compared(both, both).to_json()["counts"] == dict.fromkeys(
        ["came", "left", "caption", "concept", "pixels", "size", "split", "concepts"], 0
    )


def test_settings_that_changed_nothing_are_told_and_make_no_difference():
    found = compared(made_set([image(1)]), made_set([image(1)], selection__min_quality=0.1))
    assert found.same
    assert found.changes == ("[selection] min_quality 0.0 -> 0.1",)


# ---------------------------------------------------------------------------------------------------- came and left


@pytest.mark.parametrize(
    ("reason", "change", "told"),
    [
        ("low_quality", {"selection__min_quality": 0.6}, "of too low a quality (0.25), since [selection] min_quality"),
        ("small", {"selection__min_short_side_px": 999}, "too small, since [selection] min_short_side_px"),
        ("kind_not_wanted", {"selection__stills": False}, "of a kind that is not wanted, since [selection] stills"),
        ("too_few_faces", {"selection__min_faces": 1}, "with too few faces, since [selection] min_faces 0 -> 1"),
        ("character_not_wanted", {"selection__characters": ["stark"]}, "without a wanted character, since [selection]"),
    ],
)
def test_an_image_s_own_row_says_which_of_many_changed_settings_left_it_out(reason: str, change: dict, told: str):
    others = {"distinct_frames__similarity": 0.9, "crops__head_min_side_px": 200, "selection__max_crop_share": 0.1}
    old = made_set([image(1)])
    new = made_set([], tables=selection((image(1), reason)), **others | change)
    [sentence] = reasons(old, new, LEFT)
    assert sentence.startswith(told)
    [sentence] = reasons(new, old, CAME)
    assert sentence.startswith(f"no longer {told.partition(' [')[0]}")


def test_a_score_that_changed_and_not_the_limit_is_what_left_an_image_out():
    """Its quality of before, 0.5, passes the new limit too; the limit was raised all the same."""
    new = made_set(
        [],
        tables=selection((image(1), "low_quality")),
        selection__min_quality=0.4,
        quality_scores__short_side_px=200,
    )
    before = SETTINGS.quality_scores.short_side_px
    assert reasons(made_set([image(1)]), new, LEFT) == [
        f"of too low a quality (0.25), since [quality_scores] short_side_px {before} -> 200"
    ]


def frames(still: str, group: str, similarity: float, reason: str = "duplicate") -> Tables:
    row = {"image_id": still, "kept": False, "group": group, "similarity": similarity, "reason": reason}
    return {**selection(episode=E1), ("distinct_frames", E1): {still: row}}


@pytest.mark.parametrize("crop", ["", "person"])
def test_a_near_duplicate_names_the_frame_that_stands_for_it_and_the_limit(crop: str):
    gone = image(3120, crop=crop)
    tables = frames(gone.still_id, "a.e1/00003000", 0.93)
    new = made_set([], tables=tables, distinct_frames__similarity=0.9, selection__min_quality=0.1)
    of_frame = "cut from a frame that is " if crop else ""
    cause = "since [distinct_frames] similarity 0.95 -> 0.9"
    assert reasons(made_set([gone]), new, LEFT) == [f"{of_frame}a near-duplicate of a.e1/00003000, {cause}"]
    back = made_set([], tables=tables, distinct_frames__similarity=0.9)
    assert reasons(back, made_set([gone]), CAME) == [
        f"no longer {of_frame}a near-duplicate of a.e1/00003000, since [distinct_frames] similarity 0.9 -> 0.95"
    ]


def test_a_frame_that_gave_way_to_a_better_one_is_not_laid_on_a_limit_that_both_pass():
    """0.97 is above both limits: another choice of frames, not the limit, dropped it."""
    tables = frames(image(1).image_id, "a.e1/00000002", 0.97)
    changes = {"distinct_frames__similarity": 0.9, "keyframes__frames_per_shot": 7}
    before = SETTINGS.keyframes.frames_per_shot
    assert reasons(made_set([image(1)]), made_set([], tables=tables, **changes), LEFT) == [
        "a near-duplicate of a.e1/00000002; "
        f"[keyframes] frames_per_shot {before} -> 7 and [distinct_frames] similarity 0.95 -> 0.9 both changed"
    ]


def test_a_blank_frame_goes_by_the_least_contrast():
    tables = frames(image(1).image_id, "", 0.0, "blank")
    new = made_set([], tables=tables, distinct_frames__min_contrast=0.5, distinct_frames__similarity=0.9)
    [sentence] = reasons(made_set([image(1)]), new, LEFT)
    assert sentence.startswith("blank, since [distinct_frames] min_contrast")


def test_a_crop_that_is_too_small_or_not_certain_goes_by_the_setting_of_its_kind():
    head, person = image(1, crop="head"), image(1, crop="person")
    shown = selection((image(1), "selected"))
    small = {"kind": "head", "width_px": 100, "height_px": 100, "score": 0.9, "reason": "small"}
    changes = {"crops__head_min_side_px": 128, "crops__person_min_score": 0.8}
    new = made_set([image(1)], tables={**shown, ("crops", E1): {head.image_id: small}}, **changes)
    scored = {**small, "kind": "person", "reason": "kept", "score": 0.5}
    old = made_set([image(1), head, person], tables={("crops", E1): {person.image_id: scored}})
    assert reasons(old, new, LEFT) == [
        "too small a crop (100 px), since [crops] head_min_side_px 96 -> 128",
        "a person not found with enough certainty (0.5), since [crops] person_min_score 0.3 -> 0.8",
    ]


def test_a_crop_leaves_because_its_still_came():
    crop, still = image(1, crop="person"), image(1)
    old_rows = selection((still, "low_quality"), (crop, "selected"))
    old = made_set([crop], tables=old_rows, selection__min_quality=0.6)
    new = made_set([still], tables=selection((still, "selected"), (crop, "crop_fills_still")))
    assert reasons(old, new, LEFT) == [
        f"a crop that fills its still ({still.image_id}), since [selection] min_quality 0.6 -> 0.0"
    ]


def test_images_come_and_go_with_their_episode_and_with_better_copies_in_another():
    both = {E1: "v1", E2: "v2"}
    tables = {
        **selection((image(1), "repeated")),
        ("repeated_frames", E1): {image(1).image_id: {"group": f"{E2}/00000009", "kept": False}},
    }
    old = made_set([image(1)])
    new = made_set([image(9, E2)], both, tables, repeated_frames__similarity=0.96)
    assert reasons(old, new, CAME) == ["episode a.e2 is new"]
    assert reasons(old, new, LEFT) == [
        "a copy of a better picture in another place (a.e2/00000009), since episode a.e2 is new"
    ]
    assert reasons(new, old, LEFT) == ["episode a.e2 is gone"]
    assert reasons(new, old, CAME)[0].endswith("since episode a.e2 is gone")


def test_pictures_of_regularization_classes_are_of_a_class_and_of_no_episode():
    old, new = made_set([image(1), of_class("a")]), made_set([image(1)])
    assert reasons(old, new, LEFT) == ["class scenery is gone"]
    assert reasons(new, old, CAME) == ["class scenery is new"]
    other = made_set([image(1), of_class("b")])
    assert reasons(old, other, LEFT) == ["the class scenery does not keep it"]
    assert reasons(old, other, CAME) == ["the class scenery keeps it"]


def test_an_episode_that_is_called_otherwise_is_neither_new_nor_gone():
    old, new = made_set([image(1)]), made_set([image(1, E2)], {E2: "v1"})
    assert reasons(old, new, CAME) == reasons(old, new, LEFT) == ["episode a.e1 is called a.e2 now"]


def test_frames_of_a_replaced_episode_are_no_frames_of_the_other_one():
    new = made_set([image(2)], {E1: "v2"}, {**selection((image(2), "selected")), ("distinct_frames", E1): {}})
    assert reasons(made_set([image(1)]), new, LEFT) == [
        "a frame that was not looked at, since episode a.e1 was replaced"
    ]


def test_what_is_over_a_quota_goes_by_the_quota():
    gone = image(1)
    new = made_set([], None, selection((gone, "selected")), {gone.image_id: "set_full"}, concept_balance__max_images=1)
    assert reasons(made_set([gone]), new, LEFT) == ["over a quota, since [concept_balance] max_images 0 -> 1"]


@pytest.mark.parametrize("reason", ["low_score", "enough"])
def test_what_is_below_the_cut_goes_by_the_cut(reason: str):
    gone = image(1)
    cut = {"selection__amount": 20.0, "concept_balance__max_images": 9}
    new = made_set([], None, selection((gone, "selected")), {gone.image_id: reason}, **cut)
    assert reasons(made_set([gone]), new, LEFT) == ["below the cut, since [selection] amount 0.0 -> 20.0"]


def test_an_image_that_was_taken_out_of_an_exported_folder_is_no_setting_s_doing():
    gone = image(1)
    tables = {**selection((gone, "selected")), ("training_set", E1): {gone.image_id: {"image_id": gone.image_id}}}
    new = made_set([], tables=tables, selection__min_quality=0.6)
    assert reasons(made_set([gone]), new, LEFT) == ["taken out of the folder after it was exported"]


# ------------------------------------------------------------------------------------------- by manifests alone


def test_without_tables_the_one_setting_that_changed_is_the_reason():
    old, new = made_set([image(1)]), made_set([], distinct_frames__similarity=0.9)
    assert reasons(old, new, LEFT) == ["since [distinct_frames] similarity 0.95 -> 0.9"]


@pytest.mark.parametrize(
    ("quality", "told"),
    [
        (0.25, "of too low a quality (0.25), since [selection] min_quality 0.0 -> 0.3"),
        (0.5, "since [distinct_frames] similarity 0.95 -> 0.9"),
        (None, "[distinct_frames] similarity 0.95 -> 0.9 and [selection] min_quality 0.0 -> 0.3 both changed"),
    ],
)
def test_without_tables_the_image_itself_says_which_of_two_settings_decided(quality: float | None, told: str):
    new = made_set([], distinct_frames__similarity=0.9, selection__min_quality=0.3)
    assert reasons(made_set([image(1, quality=quality)]), new, LEFT) == [told]


def test_without_tables_settings_of_crops_decide_on_no_still():
    new = made_set([], crops__head_min_side_px=200, distinct_frames__similarity=0.9)
    old = made_set([image(1), image(2, crop="person")])
    assert reasons(old, new, LEFT) == [
        "since [distinct_frames] similarity 0.95 -> 0.9",
        "[crops] head_min_side_px 96 -> 200 and [distinct_frames] similarity 0.95 -> 0.9 both changed",
    ]


def test_sets_that_do_not_say_what_they_were_made_from_are_compared_and_nothing_is_made_up():
    old, new = (replace(made_set([it]), lineage=Lineage()) for it in (image(1), image(2)))
    found = compared(old, new)
    assert not found.known
    assert [it.reason.sentence for it in found.differences] == ["nothing on record says why"] * 2
    assert reasons(old, replace(new, images={"b.e1/1": image(1, "b.e1")}), CAME) == ["episode b.e1 is new"]


# ---------------------------------------------------------------------------------------------------- captions


def captioned(by: Any, **fields: Any) -> Image:
    return image(1, settings=by, **fields)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"captions__template": "sentence"}, '[captions] template "booru" -> "sentence"'),
        ({"captions__drop": ["hair"]}, '[captions] drop +"hair"'),
        ({"captions__template": "sentence", "captions__separator": "; "}, '[captions] template "booru" -> "sentence"'),
        ({"captions__separator": "; ", "captions__seed": 9}, '[captions] separator ", " -> "; "'),
    ],
)
def test_the_key_of_captions_that_gives_the_new_caption_alone_is_the_reason(changes: dict, told: str):
    other = load_settings(DEFAULTS, **changes)
    old, new = made_set([captioned(SETTINGS)]), made_set([captioned(other)], **changes)
    assert reasons(old, new, CAPTION) == [f"other caption settings, since {told}"]


def test_two_keys_of_captions_that_both_show_are_both_named():
    changes = {"captions__drop": ["hair"], "captions__separator": "; "}
    new = made_set([captioned(load_settings(DEFAULTS, **changes))], **changes)
    assert reasons(made_set([captioned(SETTINGS)]), new, CAPTION) == [
        'other caption settings; [captions] separator ", " -> "; " and [captions] drop +"hair" both changed'
    ]


def tag_rows(**dropped: str) -> Tables:
    rows = [{"tag": tag, "reason": reason} for tag, reason in dropped.items()]
    return {("tags", E1): {image(1).image_id: {"hand_edited": False, "dropped": rows}}}


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("low_score", "tags by their threshold (-robe), since [tag_thresholds] general 0.35 -> 0.5"),
        ("core tag of c1", "core tags (-robe), since [core_tags] min_share 0.4 -> 0.3"),
        ("blacklist", 'blacklisted tags (-robe), since [tags] blacklist +"robe"'),
        ("max_tags", "tags beyond the most (-robe), since [tags] max_tags 50 -> 9"),
        ("seen: nobody", 'tags by who is seen (-robe), since [people] counts "boxes" -> "both"'),
    ],
)
def test_a_tag_s_own_reason_says_which_of_many_changed_settings_dropped_it(why: str, told: str):
    changes = {
        "tag_thresholds__general": 0.5,
        "core_tags__min_share": 0.3,
        "tags__blacklist": ["robe"],
        "tags__max_tags": 9,
        "people__counts": "both",
    }
    told = told.replace("50", str(SETTINGS.tags.max_tags)).replace("0.4", str(SETTINGS.core_tags.min_share))
    new = made_set([image(1, tags=["purple_hair"])], tables=tag_rows(robe=why), **changes)
    assert reasons(made_set([image(1)]), new, CAPTION) == [told]


def test_a_core_tag_that_a_new_episode_made_one_has_the_episode_for_its_reason():
    new = made_set([image(1, tags=["purple_hair"])], {E1: "v1", E2: "v2"}, tag_rows(robe="core tag of c1"))
    assert reasons(made_set([image(1)]), new, CAPTION) == ["core tags (-robe), since episode a.e2 is new"]


def test_without_tables_the_blacklist_decides_for_its_own_tags_and_one_threshold_for_others():
    new = image(1, tags=["purple_hair"])
    changes = {"tags__blacklist": ["robe"], "tag_thresholds__general": 0.5}
    assert reasons(made_set([image(1)]), made_set([new], **changes), CAPTION) == [
        'other tags (-robe), since [tags] blacklist +"robe"'
    ]
    assert reasons(made_set([image(1)]), made_set([new], tag_thresholds__general=0.5, tags__sort="name"), CAPTION) == [
        "other tags (-robe), since [tag_thresholds] general 0.35 -> 0.5"
    ]


def test_the_same_tags_in_another_order_are_told_as_such():
    new = made_set([image(1, tags=["robe", "purple_hair"])], tags__sort="name")
    assert reasons(made_set([image(1)]), new, CAPTION) == ['another order of tags, since [tags] sort "score" -> "name"']


def test_other_characters_go_before_the_tags_that_change_with_them():
    new = made_set([image(1, characters=["stark"], tags=["robe"])], clusters__max_difference=0.3)
    [sentence] = reasons(made_set([image(1)]), new, CAPTION)
    assert sentence.startswith("other characters on it (fern -> stark), since [clusters] max_difference")


def test_a_caption_that_a_person_wrote_is_no_setting_s_doing():
    new = made_set([replace(image(1), caption="mine", by_hand=True)], captions__template="sentence")
    assert reasons(made_set([image(1)]), new, CAPTION) == ["written by hand"]


def test_fields_that_do_not_show_in_the_caption_are_no_reason():
    """The description is in no caption of the default order."""
    new = made_set([image(1, text="A mage.", tags=["robe"])], tag_thresholds__general=0.5)
    [sentence] = reasons(made_set([image(1, text="A girl.")]), new, CAPTION)
    assert sentence.startswith("other tags (-purple_hair)")


def test_a_mark_that_one_trainer_does_not_know_is_no_difference():
    marked = image(1, settings=load_settings(DEFAULTS, captions__keep_mark="|||"))
    assert "|||" in marked.caption
    plain = replace(marked, caption=image(1).caption)
    old, new = (made_set([it], captions__keep_mark="|||") for it in (marked, plain))
    assert reasons(replace(old, keeps_mark=True), new, CAPTION) == []
    both = [replace(it, keeps_mark=True) for it in (old, new)]
    assert len(compared(both[0], both[1]).of(CAPTION)) == 1


# ---------------------------------------------------------------------------------------------------- concepts


def in_concepts(images: Mapping[str, int], multiplies: Mapping[str, float]) -> list[Image]:
    names = [concept for concept, count in images.items() for _ in range(count)]
    return [image(place, concept=it, multiply=multiplies[it]) for place, it in enumerate(names)]


def balanced(counts: Mapping[str, int], **changes: Any) -> TrainingSet:
    """A set whose multiplies are what the settings give."""
    by = load_settings(DEFAULTS, **changes).concept_balance
    shares = balance(counts, by.weights, by.min_multiply, by.max_multiply)
    return made_set(in_concepts(counts, {it.concept: it.multiply for it in shares}), **changes)


COUNTS = {"a/x": 5, "b/y": 1}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        # By equal weights y is repeated 5 times; by `a` 2 it is 2.5 times, which no limit touches.
        ((1.0, 1.0, 10.0), (2.0, 1.0, 3.0), "weights a 1 -> 2"),
        ((1.0, 1.0, 10.0), (2.0, 1.0, 2.0), "max_multiply 10.0 -> 2.0"),
        ((1.0, 1.0, 4.0), (2.0, 4.0, 8.0), "weights b 1 -> 4 and [concept_balance] max_multiply 4.0 -> 8.0"),
        ((1.0, 1.0, 20.0), (2.0, 4.0, 25.0), "weights b 1 -> 4, a 1 -> 2"),
    ],
)
def test_the_settings_that_give_the_new_multiply_alone_are_the_reason_and_else_those_that_matter(
    old: tuple[float, ...], new: tuple[float, ...], told: str
):
    def made(a: float, b: float, most: float) -> TrainingSet:
        weights = [{"pattern": "a", "weight": a}, {"pattern": "b", "weight": b}]
        return balanced(COUNTS, concept_balance__weights=weights, concept_balance__max_multiply=most)

    [change] = compared(made(*old), made(*new)).concepts
    assert change.concept == "b/y"
    assert set(change.reason.cause.removesuffix(" both changed").split(" and ")) == set(
        f"[concept_balance] {told}".split(" and ")
    )


def test_two_settings_of_which_each_gives_the_new_multiply_alone_are_named_and_a_third_is_not():
    """Twice the weight of `a` halves the 5 of `y`, and so does the limit."""
    weights = [{"pattern": "a", "weight": 2.0}, {"pattern": "nobody", "weight": 9.0}]
    old = balanced(COUNTS, concept_balance__weights=[])
    new = balanced(COUNTS, concept_balance__weights=weights, concept_balance__max_multiply=2.5)
    [change] = compared(old, new).concepts
    most = SETTINGS.concept_balance.max_multiply
    limit = f"[concept_balance] max_multiply {most} -> 2.5"
    assert change.reason.causes == ("[concept_balance] weights a 1 -> 2", limit)


def test_a_weight_of_another_branch_is_named_before_weights_of_the_concept_s_own_folder_that_did_nothing():
    """`2` over one child: the weight of that child alone is nothing; the untold weight of the other branch is all."""
    counts = {"1/a": 30, "1/b": 30, "2/others": 1}
    old = balanced(
        counts, concept_balance__weights=[{"pattern": "others", "weight": 0.8}], concept_balance__max_multiply=10.0
    )
    new = balanced(
        counts, concept_balance__weights=[{"pattern": "1", "weight": 15.0}], concept_balance__max_multiply=5.0
    )
    [change] = compared(old, new).concepts
    assert (change.before.multiply, change.after.multiply) == (10.0, 4.0)
    assert change.reason.causes == ("[concept_balance] weights 1 1 -> 15",)


def test_a_concept_with_two_multiplies_in_one_set_is_told():
    twice = [image(1), image(2, multiply=3.0), image(3, multiply=3.0, part="validation")]
    found = compared(made_set(twice), made_set(twice))
    assert list(found.faults) == ["a set: concept 1_character/fern has the multiplies 1, 3"] * 2
    assert not found.same
    assert compared(made_set(twice[::2]), made_set(twice[::2])).same


def test_a_weight_moves_a_concept_s_multiply_and_its_share_and_is_named():
    """Two images against one: by equal weights 1 and 2; at twice the weight of `a` both are drawn as often."""
    weights = [{"pattern": "a", "weight": 2.0}]
    old = made_set(in_concepts({"a": 2, "b": 1}, {"a": 1.0, "b": 2.0}), concept_balance__weights=[])
    new = made_set(in_concepts({"a": 2, "b": 1}, {"a": 1.0, "b": 1.0}), concept_balance__weights=weights)
    [change] = compared(old, new).concepts
    assert (change.concept, change.before.multiply, change.after.multiply) == ("b", 2.0, 1.0)
    assert (change.before.epoch_share, change.after.epoch_share) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    assert change.reason.sentence == "balanced otherwise, since [concept_balance] weights a 1 -> 2"


def test_multiplies_that_follow_the_images_have_no_setting_for_a_reason():
    old = made_set(in_concepts({"a": 2, "b": 1}, {"a": 1.0, "b": 2.0}), concept_balance__weights=[])
    new = made_set(in_concepts({"a": 3, "b": 1}, {"a": 1.0, "b": 3.0}), concept_balance__weights=[])
    found = {it.concept: it for it in compared(old, new).concepts}
    assert found["a"].reason.sentence == "other images to train on (1 image more)"
    assert found["b"].reason.sentence == "balanced over other images to train on"
    assert (found["b"].before.images, found["b"].after.images) == (1, 1)


def test_a_concept_with_other_images_has_the_most_frequent_cause_of_these():
    """Of `a` two images leave by their quality and one as its kind; `b` is balanced over what is left."""
    names = in_concepts({"a": 5, "b": 1}, {"a": 1.0, "b": 5.0})
    left = [replace(it, quality=0.1) for it in names[:2]] + [replace(names[2], fields={}, quality=0.9)]
    old = made_set([*left, *names[3:]], concept_balance__weights=[])
    changes = {"selection__min_quality": 0.3, "selection__characters": ["fern"], "concept_balance__weights": []}
    new = made_set([names[3], names[4], replace(names[5], multiply=2.0)], **changes)
    found = {it.concept: it.reason.sentence for it in compared(old, new).concepts}
    cause = "since [selection] min_quality 0.0 -> 0.3 above all"
    assert found == {
        "a": f"other images to train on (3 images fewer), {cause}",
        "b": f"balanced over other images to train on, {cause}",
    }


def test_a_concept_that_grew_by_a_new_episode_has_that_for_its_reason():
    old = made_set([image(1)])
    new = made_set([image(1), image(2, E2)], {E1: "v1", E2: "v2"})
    [change] = compared(old, new).concepts
    assert change.reason.sentence == "other images to train on (1 image more), since episode a.e2 is new"


def test_an_image_that_joined_the_others_has_the_cause_by_which_those_beside_it_left():
    gone = [image(number, quality=0.1) for number in (2, 3)]
    changes = {"selection__min_quality": 0.3, "crops__head_min_side_px": 200, "distinct_frames__similarity": 0.9}
    new = made_set([image(1, concept="1_character/character_others")], **changes)
    [moved] = compared(made_set([image(1), *gone]), new).of(CONCEPT)
    assert moved.reason.causes == ("[selection] min_quality 0.0 -> 0.3",)


def test_weights_and_images_that_both_moved_a_multiply_are_told_together():
    """b by the old weights over the new images 3, by the new weights over the old images 1: neither gives 1.5."""
    weights = [{"pattern": "a", "weight": 2.0}]
    old = made_set(in_concepts({"a": 2, "b": 1}, {"a": 1.0, "b": 2.0}), concept_balance__weights=[])
    new = made_set(in_concepts({"a": 3, "b": 1}, {"a": 1.0, "b": 1.5}), concept_balance__weights=weights)
    found = {it.concept: it.reason.sentence for it in compared(old, new).concepts}
    assert (
        found["b"] == "balanced otherwise and over other images to train on, since [concept_balance] weights a 1 -> 2"
    )


def test_a_weight_that_moves_nothing_is_not_the_reason_for_multiplies_that_follow_the_images():
    weights = [{"pattern": "nobody", "weight": 9.0}]
    old = made_set(in_concepts({"a": 2, "b": 1}, {"a": 1.0, "b": 2.0}), concept_balance__weights=[])
    new = made_set(in_concepts({"a": 3, "b": 1}, {"a": 1.0, "b": 3.0}), concept_balance__weights=weights)
    found = {it.concept: it.reason for it in compared(old, new).concepts}
    assert found["b"].what == "balanced over other images to train on"
    assert found["b"].causes == ()


def test_a_concept_of_which_images_are_held_out_has_that_for_its_reason():
    listed = in_concepts({"a": 2, "b": 1}, {"a": 1.0, "b": 2.0})
    old = made_set(listed, concept_balance__weights=[])
    held = [replace(listed[0], part="validation", multiply=1.0), *(replace(it, multiply=1.0) for it in listed[1:])]
    changes = {"concept_balance__weights": [], "training_set__validation_share": 0.3}
    cause = "since [training_set] validation_share 0.0 -> 0.3"
    assert {it.concept: it.reason.sentence for it in compared(old, made_set(held, **changes)).concepts} == {
        "a": f"other images to train on (1 image fewer), {cause}",
        "b": f"balanced over other images to train on, {cause}",
    }


def test_weights_are_told_pattern_by_pattern_and_the_first_of_two_counts():
    before = [{"pattern": "a", "weight": 2.0}, {"pattern": "a", "weight": 9.0}, {"pattern": "b", "weight": 1.0}]
    assert changed_weights(before, [{"pattern": "c", "weight": 0.5}]) == {"a": "a 2 -> 1", "c": "c 1 -> 0.5"}


@pytest.mark.parametrize(
    ("fields", "concept", "change", "told"),
    [
        ({}, "fern", {"concept_balance__arrangement": ["character"]}, "another arrangement, since [concept_balance]"),
        (
            {"characters": ["stark"]},
            "1_character/stark",
            {"clusters__max_difference": 0.3},
            "other characters on it (fern -> stark), since [clusters] max_difference",
        ),
        (
            {},
            "1_character/character_others",
            {"selection__min_quality": 0.4},
            "fewer images of its combination, as images came and left, since [selection] min_quality 0.0 -> 0.4",
        ),
    ],
)
def test_an_image_that_moved_says_why(fields: dict, concept: str, change: dict, told: str):
    new = made_set([image(1, concept=concept, **fields)], **change)
    [moved] = compared(made_set([image(1)]), new).of(CONCEPT)
    assert (moved.before, moved.after) == ("1_character/fern", concept)
    assert moved.reason.sentence.startswith(told)


# ---------------------------------------------------------------------------------------------------- pictures


def test_other_pixels_sizes_and_parts_have_their_settings():
    old = made_set([image(1), image(2), image(3)])
    changes = {"training_images__max_side_px": 256, "training_set__validation_share": 0.5}
    changed = [
        image(1, sha256="f" * 64),
        image(2, sha256="f" * 64, width_px=320, height_px=180),
        image(3, part="validation"),
    ]
    new = made_set(changed, **changes)
    before = SETTINGS.training_images.max_side_px
    cause = f"written otherwise, since [training_images] max_side_px {before} -> 256"
    assert reasons(old, new, PIXELS) == reasons(old, new, SIZE) == [cause]
    assert reasons(old, new, SPLIT) == ["held out otherwise, since [training_set] validation_share 0.0 -> 0.5"]


def test_a_picture_made_from_other_pixels_is_not_laid_on_how_it_is_written():
    rows = [{("training_images", E1): {image(1).image_id: {"source_sha256": it}}} for it in ("x", "y")]
    old = made_set([image(1)], tables=rows[0])
    new = made_set([image(1, sha256="f" * 64)], {E1: "v2"}, rows[1], training_images__quality=50)
    assert reasons(old, new, PIXELS) == ["made from other pixels, since episode a.e1 was replaced"]


# ---------------------------------------------------------------------------------------------------- clips


def tables(asset: str, *rows: dict[str, Any]) -> Tables:
    return {(asset, E1): {row["image_id"]: row for row in rows}}


def test_what_a_person_rejected_took_out_or_drew_is_no_setting_s_doing():
    here, crop = image(1), image(2, crop="head")
    changes = {"selection__min_quality": 0.9, "distinct_frames__similarity": 0.5}
    without = made_set([], tables=selection((here, "rejected_by_hand")), **changes)
    assert reasons(made_set([here]), without, LEFT) == ["rejected by hand"]
    assert reasons(without, made_set([here]), CAME) == ["no longer rejected by hand"]
    out = selection() | frames(here.image_id, here.image_id, 1.0, "excluded_by_hand")
    out[("distinct_frames", E1)][here.image_id]["kept"] = False  # type: ignore[index]
    assert reasons(made_set([here]), made_set([], tables=out, **changes), LEFT) == [
        "of a stretch that was taken out by hand"
    ]
    still = (crop.still_id, "selected")
    replaced = selection(still) | tables("crops", {"image_id": crop.image_id, "reason": "replaced_by_hand"})
    assert reasons(made_set([crop]), made_set([], tables=replaced, **changes), LEFT) == [
        "a crop in whose place another was drawn by hand"
    ]
    drawn = tables("crops", {"image_id": crop.image_id, "reason": "drawn_by_hand"})
    before = made_set([], tables=selection(still) | tables("crops"))
    assert reasons(before, made_set([crop], tables=drawn, **changes), CAME) == ["drawn by hand"]


def test_what_a_person_kept_or_chose_among_frames_is_no_setting_s_doing():
    one, other, crop = image(1), image(2), image(2, crop="head")
    changes = {"selection__min_quality": 0.1, "distinct_frames__similarity": 0.5}
    poor = made_set([], tables=selection((one, "low_quality")) | tables("matched_corrections"))
    kept = made_set([one], tables=tables("matched_corrections", row(one, "kept_by_hand")), **changes)
    assert reasons(poor, kept, CAME) == ["kept by hand"]
    assert reasons(kept, poor, LEFT) == ["no longer kept by hand"]

    def frames_of(*those: tuple[Image, str]) -> Tables:
        listed = [row(it, why) | {"group": other.image_id, "similarity": 0.99, "kept": True} for it, why in those]
        return selection() | tables("distinct_frames", *listed)

    before = made_set([one], tables=frames_of((one, "kept"), (other, "duplicate")))
    swapped = made_set([other, crop], tables=frames_of((one, "duplicate"), (other, "chosen_by_hand")), **changes)
    assert reasons(before, swapped, CAME) == ["chosen by hand", "cut from a frame chosen by hand"]
    assert reasons(before, swapped, LEFT) == [f"a near-duplicate of a frame chosen by hand ({other.image_id})"]
    both = made_set([one, other], tables=frames_of((one, "kept_by_hand"), (other, "kept_by_hand")), **changes)
    assert reasons(before, both, CAME) == ["kept by hand"]


def row(of: Image, reason: str) -> dict[str, Any]:
    return {"image_id": of.image_id, "reason": reason}


def test_names_tags_and_captions_by_hand_are_no_setting_s_doing():
    changes = {"tag_thresholds__general": 0.9, "clusters__max_difference": 0.1}
    ids = {"image_id": image(1).image_id, "characters": ["c-1"]}
    before = made_set([image(1)], tables=tables("clusters", ids))
    after = made_set(
        [image(1, characters=["Frieren"], concept="1_character/Frieren")], tables=tables("clusters", ids), **changes
    )
    assert reasons(before, after, CAPTION) == ["characters renamed (fern -> Frieren)"]
    assert reasons(before, after, CONCEPT) == ["characters renamed (fern -> Frieren)"]

    row = {"image_id": image(1).image_id, "hand_edited": False, "dropped": [], "added": []}
    by_hand = [{"tag": "wide hat", "reason": "by_hand"}]
    plain = made_set([image(1)], tables=tables("tags", row))
    added = made_set(
        [image(1, tags=["purple_hair", "robe", "wide hat"])], tables=tables("tags", row | {"added": by_hand}), **changes
    )
    removed = [{"tag": "robe", "reason": "by_hand"}]
    less = made_set([image(1, tags=["purple_hair"])], tables=tables("tags", row | {"dropped": removed}), **changes)
    assert reasons(plain, added, CAPTION) == ["tags changed by hand (+wide hat)"]
    assert reasons(plain, less, CAPTION) == ["tags changed by hand (-robe)"]


def test_clips_are_compared_where_both_sets_may_have_them_and_go_by_their_own_settings():
    clip = replace(image(2), image_id=f"{E1}/clip-00000100-00000900", kind="clip", part="clips")
    drawn = Lineage({E1: "v1"}, {"training_clips": {E1: Made("1", {"training_clips": {"max_side_px": 512}})}})
    coarse = Lineage({E1: "v1"}, {"training_clips": {E1: Made("1", {"training_clips": {"max_side_px": 256}})}})
    spans = [Made("1", {"clips": {"fps": it, "enabled": True}, "captions": {"seed": it}}) for it in (8, 16)]
    old, new = (
        replace(made_set([image(1), clip]), lineage=replace(it, steps={**it.steps, "clips": {E1: made}}))
        for it, made in zip((drawn, coarse), spans, strict=True)
    )
    assert reasons(old, replace(new, images={}), LEFT) == ["nothing on record says why"]
    old, new = (replace(it, has_clips=True) for it in (old, new))
    without = replace(new, images={image(1).image_id: image(1)})
    assert reasons(old, without, LEFT) == ["since [clips] fps 8 -> 16"]
    other = replace(new, images={**without.images, clip.image_id: replace(clip, sha256="f" * 64)})
    assert reasons(old, other, PIXELS) == ["written otherwise, since [training_clips] max_side_px 512 -> 256"]


CLIP = f"{E1}/clip-00000100-00002100"  # 17 frames of 8 a second, in ms
CLIP_CHANGES = {"clips__min_change": 9, "clips__min_contrast": 0.2, "clips__margin_s": 1.0}


def with_clip(there: bool, rows: Tables | None = None, **changes: Any) -> TrainingSet:
    """A set that may have a clip, 17 or 33 frames of 8 a second unless changed."""
    clip = replace(image(2), image_id=CLIP, kind="clip", part="clips")
    settings = load_settings(DEFAULTS, **{"clips__frames": [17, 33], "clips__fps": 8, "clips__enabled": True} | changes)
    made = made_set([image(1), clip] if there else [image(1)], tables=rows, **changes)
    steps = {"clips": {E1: Made("1", {"clips": settings.clips.counted(), "captions": settings.captions.counted()})}}
    return replace(made, has_clips=True, lineage=replace(made.lineage, steps={**made.lineage.steps, **steps}))


def clip_rows(reason: str, image_id: str = CLIP) -> Tables:
    return {("clips", E1): {image_id: {"image_id": image_id, "start_s": 0.0, "end_s": 2.5, "reason": reason}}}


@pytest.mark.parametrize(
    ("rows", "more", "told"),
    [
        (clip_rows("held"), {}, "a stretch in which nothing moves, since [clips] min_change"),
        (clip_rows("blank"), {}, "a stretch without a picture, since [clips] min_contrast"),
        (
            clip_rows("short", f"{E1}/clip-00000000-00002500"),
            {},
            "of a shot too short for a clip, since [clips] margin",
        ),
        (clip_rows("kept", f"{E1}/clip-00000000-00002500"), {}, "of a shot with clips at other times, since [clips] m"),
        (
            clip_rows("repeated"),
            {"repeated_frames__similarity": 0.9},
            "of a shot that another episode has too, since [repeated_frames] similarity",
        ),
        (
            clip_rows("duplicate"),
            {"repeated_frames__similarity": 0.9},
            "of a shot that shows what an earlier clip shows, since [repeated_frames] similarity",
        ),
        (
            clip_rows("undescribed"),
            {"selection__min_quality": 0.9},
            "of a shot of which the set has no image, since [selection] min_quality",
        ),
        (None, {"clips__enabled": False}, "of a set without clips, since [clips] enabled true -> false"),
        (clip_rows("held"), {"clips__enabled": False}, "of a set without clips, since [clips] enabled true -> false"),
    ],
)
def test_the_row_of_a_clip_says_which_of_many_changed_settings_left_it_out(rows: Tables | None, more: dict, told: str):
    new = with_clip(False, rows, **CLIP_CHANGES, **more)
    [sentence] = reasons(with_clip(True), new, LEFT)
    assert sentence.startswith(told)
    assert "both changed" not in sentence


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"clips__min_change": 9, "captions__seed": 4}, "since [clips] min_change 12 -> 9"),
        (
            {"clips__min_change": 9, "selection__min_quality": 0.9},
            "[selection] min_quality 0.0 -> 0.9 and [clips] min_change 12 -> 9 both changed",
        ),
        ({"clips__min_change": 9, "clips__fps": 10}, "of a length that no clip has, since [clips] fps 8 -> 10"),
        (
            {"clips__min_change": 9, "clips__frames": [17]},
            "[clips] frames -33 and [clips] min_change 12 -> 9 both changed",
        ),
    ],
)
def test_without_tables_all_that_can_have_left_a_clip_out_is_named_and_nothing_else(changes: dict, told: str):
    before = SETTINGS.clips.min_change
    assert reasons(with_clip(True), with_clip(False, **changes), LEFT) == [told.replace("12", str(before))]


def test_clips_of_which_one_set_notes_nothing_are_counted_and_never_called_the_same():
    old, new = with_clip(True), replace(with_clip(False), has_clips=None)
    found = compared(old, new)
    assert found.faults == ("a set: 1 clip was not compared, as which it had is not noted",)
    assert (found.differences, found.same) == ((), False)
    assert compared(old, replace(new, has_clips=False)).same


# ---------------------------------------------------------------------------------------------------- changes


def test_weights_of_models_and_newer_steps_are_changes_too():
    one = Lineage({E1: "v1"}, {"quality_scores": {E1: Made("1", {}, {"quality": "iqa 1a"})}})
    other = Lineage({E1: "v1"}, {"quality_scores": {E1: Made("2", {}, {"quality": "iqa 2b"})}})
    told = ("other weights of the quality model", "a newer version of the step quality_scores")
    assert Changes(one, other, BEHIND, JOINS).causes("selection", E1, fallback="quality_scores") == told


def test_settings_of_another_episode_are_no_reason_for_this_one():
    """Only the tables of a.e2 were made by the new setting."""
    old = made_set([image(1), image(1, E2)], {E1: "v1", E2: "v2"})
    new = made_set([], {E1: "v1", E2: "v2"}, selection__min_quality=0.6)
    mixed = {**new.lineage.steps["selection"], E1: old.lineage.steps["selection"][E1]}
    new = replace(new, lineage=replace(new.lineage, steps={**new.lineage.steps, "selection": mixed}))
    assert reasons(old, new, LEFT) == [
        "nothing on record says why",
        "of too low a quality (0.5), since [selection] min_quality 0.0 -> 0.6",
    ]


def test_the_differences_as_json_hold_each_image_with_its_reason():
    told = compared(made_set([image(1)]), made_set([], selection__min_quality=0.6)).to_json()
    [entry] = told["differences"]
    assert (told["same"], told["counts"]["left"], entry["kind"], entry["image_id"]) == (
        False,
        1,
        LEFT,
        image(1).image_id,
    )
    assert entry["causes"] == ["[selection] min_quality 0.0 -> 0.6"]
    assert told["changes"] == entry["causes"]
