"""The first screen of `explain`, on tables that are made up."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from dataset_pipeline.base.ids import crop_id
from dataset_pipeline.corrections.log import CorrectionLog
from dataset_pipeline.reports.decisions.images import boxes_of
from dataset_pipeline.reports.explain import (
    Decision,
    Explanation,
    UnknownImage,
    clips_of_shot,
    explain,
    with_speakers,
)
from dataset_pipeline.reports.first_screen import COLUMNS, first_screen
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.files import LocalFiles
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

EPISODE, STILL = "a.e1", "a.e1/00001250"
SIZE = (1280, 720)
HEADS = [(100.0 + 40 * i, 60.0, 210.0 + 40 * i, 170.0) for i in range(20)]
HEAD = crop_id(STILL, "head", HEADS[0], SIZE)
SETTINGS = load_settings(DEFAULTS)
GENERAL = [{"tag": f"a_rather_long_tag_{i}", "category": "general", "score": 0.9 - i / 100} for i in range(60)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A still with twenty heads, one of them a crop, and another still that is much like it."""
    made = Store(str(tmp_path_factory.mktemp("store")))

    def write(asset: str, *rows: dict[str, Any], joined: bool = False, **provenance: Any) -> None:
        sections = {name: getattr(SETTINGS, name).model_dump(mode="json") for name in (asset, "tag_thresholds")
                    if hasattr(SETTINGS, name)}  # fmt: skip
        told = {"code_version": "1-abc", "settings": sections, "models": []} | provenance
        made.write(asset, SCHEMAS[asset].table(list(rows)), None if joined else EPISODE, Provenance.from_json(told))

    frame = {"episode": EPISODE, "pts_s": 1.25, "width_px": 1280, "height_px": 720}
    both = {"still_id": STILL, "kind": "head"}
    write("video", path="/videos/show/a.mkv")
    write("keyframes", {"image_id": STILL, "sharpness": 533.1, "brightness": 0.8, "contrast": 0.2, **frame})
    write(
        "distinct_frames",
        {"image_id": STILL, **frame, "kept": True, "group": STILL, "similarity": 1.0, "reason": "kept"},
        {
            "image_id": "a.e1/00009999",
            **frame,
            "kept": False,
            "group": STILL,
            "similarity": 0.97,
            "reason": "duplicate",
        },
    )
    corners = ("x0_px", "y0_px", "x1_px", "y1_px")
    boxes = [dict(zip(corners, box, strict=True)) for box in HEADS]
    write("detections", *({"image_id": STILL, "kind": "head", "score": 0.87, **box} for box in boxes))
    crop = {"x_px": 72, "y_px": 33, "width_px": 165, "height_px": 165, "score": 0.87, "still_share": 0.03}
    write("crops", {"image_id": HEAD, **both, **crop, "kept": True, "reason": "kept"})
    write("clusters", {"image_id": HEAD, **both, "characters": ["c-1"], "difference": 0.12})
    write("quality_scores", {"image_id": HEAD, "score": 0.757})
    write("tag_scores", {"image_id": HEAD, "tags": GENERAL})
    dropped = [{"tag": f"t{i}", "reason": "low_score"} for i in range(40)] + [{"tag": "u", "reason": "implied by v"}]
    dropped += [{"tag": tag, "reason": "seen: 1 person"} for tag in ("w", "x")]
    tags = {"tags": [tag["tag"] for tag in GENERAL[:30]], "dropped": dropped}
    write("tags", {"image_id": HEAD, **tags, "added": [{"tag": GENERAL[0]["tag"], "reason": "seen: 1 person"}]})
    chosen = {"selected": True, "reason": "selected", "quality": 0.757, "characters": ["c-1"], "n_faces": 1}
    write("selection", {"image_id": HEAD, **both, **chosen})
    write("captions", {"image_id": HEAD, "caption": ", ".join(tag["tag"] for tag in GENERAL[:30])})
    size = {"width_px": 165, "height_px": 165, "size_bytes": 12_345, "path": "training_images/a.e1/x.webp"}
    write("training_images", {"image_id": HEAD, **size})
    write("multiplies", {"image_id": HEAD, "concept": "1_character/c-1", "multiply": 1.2})
    write("training_set", {"image_id": HEAD, "episode": EPISODE, "split": "train"}, joined=True)
    write("character_gallery", {"character": "c-1", "show": "a", "name": "Fern"}, joined=True)
    return made


def screen(store: Store, image: str = HEAD) -> list[str]:
    return first_screen(explain(store, image))


def line(lines: list[str], asset: str) -> str:
    """What is told of an asset, however it is wrapped."""
    at = next(number for number, it in enumerate(lines) if it.startswith(f"{asset} "))
    more = takewhile(lambda it: it.startswith(" "), lines[at + 1 :])
    return " ".join([lines[at].removeprefix(asset).strip(), *(it.strip() for it in more)])


def test_the_first_screen_fits_a_screen_however_many_boxes_and_tags_there_are(store: Store):
    lines = screen(store)
    assert len(lines) <= 30
    assert max(map(len, lines)) <= COLUMNS


def test_it_begins_with_the_second_the_box_who_tags_and_score(store: Store):
    assert screen(store)[:6] == [
        HEAD,
        "from second 1.250 of /videos/show/a.mkv",
        "cut at x 72..237, y 33..198 of its still's 1280 x 720 px",
        "who: Fern (c-1)",
        f"tags: {', '.join(tag['tag'] for tag in GENERAL[:4])},",
        f"      {', '.join(tag['tag'] for tag in GENERAL[4:7])}, {GENERAL[7]['tag']}, …"[:COLUMNS],
    ]


def test_each_decision_gives_its_value_against_the_limit(store: Store):
    lines = screen(store)
    assert line(lines, "distinct_frames") == "kept: the best of 2 frames alike by more than similarity 0.95"
    assert line(lines, "crops") == "kept: 165 px >= head_min_side_px 96, score 0.87 >= head_min_score 0.4"
    assert line(lines, "clusters") == "Fern (c-1): differs by 0.12 <= the model's own limit"
    assert line(lines, "quality_scores") == "0.757"
    tags = [it for it in lines[lines.index(next(it for it in lines if it.startswith("tags  "))) :] if it]
    assert " ".join(" ".join(tags).split()).startswith(
        "tags kept 29 of 72, >= [tag_thresholds] general 0.35; "
        f"added: {GENERAL[0]['tag']} (seen: 1 person); dropped: 40 low score, 2 seen: 1 person, 1 implied"
    )
    assert line(lines, "selection") == "selected: 165 px >= min_short_side_px 96"
    assert line(lines, "training_images") == "165 x 165 px, 12 kB webp; short_side <= max_side_px 768"
    assert line(lines, "multiplies") == "1.2 times an epoch in 1_character/c-1"
    assert line(lines, "training_set") == "in the set, for train"


def test_a_limit_of_quality_is_told_where_there_is_one():
    limited = {"selection": {"min_quality": 0.5}}
    rows = {"selection": {"selected": True, "quality": 0.757}, "quality_scores": {"score": 0.757}}
    decisions = [Decision(name, HEAD, row, "1-a", limited, []) for name, row in rows.items()]
    lines = first_screen(Explanation(HEAD, STILL, "/v.mkv", 1.0, (0, 0, 90, 100), False, decisions, SIZE))
    assert line(lines, "quality_scores") == "0.757 >= [selection] min_quality 0.5"
    assert line(lines, "selection").startswith("selected: 0.757 >= min_quality 0.5, 90 px")


def test_what_a_cut_left_out_of_the_set_is_told(tmp_path: Path):
    made = Store(str(tmp_path))
    told = Provenance.from_json({"code_version": "1-abc", "settings": {}, "models": [], "path": "/v.mkv"})
    made.write("video", SCHEMAS["video"].empty(), EPISODE, told)
    left_out = {"over_quota": [STILL, HEAD], "over_quota_reasons": ["enough", "stratum_full"]}
    made.write("concept_balance", SCHEMAS["concept_balance"].table([{"concept": "x", **left_out}]), None, told)
    assert line(screen(made, STILL), "concept_balance").startswith("left out, enough: [selection] how")
    assert line(screen(made, HEAD), "concept_balance") == "left out, stratum_full"


def test_of_a_crop_only_its_own_box_is_told_and_of_a_still_all_are_counted(store: Store):
    [box] = boxes_of(explain(store, HEAD))
    assert (box["x0_px"], box["x1_px"]) == (100.0, 210.0)
    assert line(screen(store), "detections") == "head with score 0.87 at x 100..210, y 60..170 px of the still"
    assert line(screen(store, STILL), "detections") == "20 head (best 0.87)"


def test_everything_gathered_is_there_for_scripts(store: Store):
    told = explain(store, HEAD)
    assert sum(decision.asset == "detections" for decision in told.decisions) == 20
    assert {"crops", "selection", "training_set"} <= {decision.asset for decision in told.decisions}


def of(asset: str, row: dict[str, Any], **others: dict[str, Any]) -> str:
    sections = {name: getattr(SETTINGS, name).model_dump(mode="json") for name in type(SETTINGS).model_fields}
    decisions = [Decision(name, HEAD, it, "1-a", sections, []) for name, it in {**others, asset: row}.items()]
    told = Explanation(HEAD, STILL, "/v.mkv", 1.0, (0, 0, 90, 100), False, decisions, SIZE)
    return line(first_screen(told), asset)


@pytest.mark.parametrize(
    ("asset", "row", "told"),
    [
        ("distinct_frames", {"kept": False, "reason": "duplicate", "similarity": 0.97, "group": "a.e1/2"},
         "dropped: 0.97 > similarity 0.95 alike to a.e1/2"),
        ("distinct_frames", {"kept": False, "reason": "blank"}, "dropped, blank: 0.01 < min_contrast 0.02"),
        ("distinct_frames", {"kept": False, "reason": "combing"},
         "dropped, combing: 0.7 > [frame_defects] max_combing 0.5"),
        ("distinct_frames", {"kept": False, "reason": "unreadable"}, "dropped, unreadable"),
        ("repeated_frames", {"kept": False, "similarity": 0.98, "group": "a.e2/2", "segment": ""},
         "dropped: 0.98 > similarity 0.97 alike to a.e2/2"),
        ("crops", {"kind": "head", "width_px": 80, "height_px": 90, "kept": False, "reason": "small"},
         "dropped, small: 80 px < head_min_side_px 96"),
        ("crops", {"kind": "head", "width_px": 165, "height_px": 190, "kept": False, "reason": "unreadable"},
         "dropped, unreadable"),
        ("clusters", {"characters": [], "difference": 0.4},
         "nobody known: the nearest differs by 0.4 > the model's own limit"),
        ("selection", {"selected": False, "reason": "small", "quality": 0.3},
         "left out, small: 90 px < min_short_side_px 96"),
        ("selection", {"selected": False, "reason": "low_quality", "quality": -0.3},
         "left out, low_quality: quality -0.3 < min_quality 0"),
        ("selection", {"selected": False, "reason": "too_many_faces", "n_faces": 3},
         "left out, too_many_faces: 3 faces > max_faces -1"),
        ("selection", {"selected": False, "reason": "kind_not_wanted", "kind": "face"},
         "left out, kind_not_wanted: a face is not in crops person, head"),
        ("selection", {"selected": False, "reason": "nobody_known"}, "left out, nobody_known"),
        ("selection", {"selected": False, "reason": "in_panorama"},
         "left out: a panorama that goes in shows all of it, and nobody known is on it; frames_of_panoramas keep"),
        ("concept_balance", {"reason": "low_score"},
         "left out, low_score: [selection] how drop_worst, [selection] by percentile, [selection] amount 0"),
        ("concept_balance", {"reason": "concept_full"}, "left out, concept_full"),
        ("descriptions", {"text": "", "status": "no answer"}, "none: no answer"),
        ("images", {"kind": "panorama", "width_px": 900, "height_px": 300, "source": "panoramas"},
         "panorama of 900 x 300 px, written by panoramas"),
        ("of_tomorrow", {"kept": True, "score": 0.25, "boxes": [1, 2]}, "kept True, score 0.25"),
    ],
)  # fmt: skip
def test_what_was_left_out_is_told_with_the_limit_that_did_it(asset, row, told):
    assert of(asset, row, keyframes={"contrast": 0.01, "combing": 0.7}) == told


@pytest.mark.parametrize(
    ("reason", "first"), [("too_much_unknown", "known 0.0725 (keep from"), ("parallax", "like frame 0.5 (keep from")]
)
def test_of_a_panorama_the_limit_that_decided_is_told_first_and_whole(reason: str, first: str):
    shares = {"like_frame": 0.5, "known_share": 0.0725, "path": "p", "width_px": 900, "height_px": 300, "frames": 40}
    limits = {"panoramas": SETTINGS.panoramas.model_dump(mode="json")}
    row = {"verdict": "refused", "reason": reason} | shares
    decision = Decision("panoramas", "a.e1/pan-00001000-00003500", row, "1", limits, [])
    lines = first_screen(Explanation(decision.of, decision.of, "/v.mkv", 1.0, None, False, [decision], end_s=3.5))
    shown = " ".join(map(str.strip, lines))
    name = "known" if first.startswith("known") else "like_frame"
    keep, ask = (limits["panoramas"][it] for it in (name, f"doubtful_{name}"))
    asked = f"{name} {keep:.3g}, ask from doubtful_{name} {ask:.3g})"
    assert f"refused, {reason.replace('_', ' ')}; {first} {asked}" in shown


DRAWN = {"like_frame": 0.96, "known_share": 0.948, "shown_share": 0.442, "path": "p"}
PIXELS = {"width_px": 473, "height_px": 536, "frames": 40}


@pytest.mark.parametrize("asset", ["panoramas", "backdrops"])
@pytest.mark.parametrize(
    ("row", "told"),
    [
        (DRAWN | {"reason": "too_much_unknown"},
         "doubtful, too much unknown; shown share 0.442 of the largest rectangle that was seen (keep from 0.6); "
         "473 x 536 px of 40 frames"),
        (DRAWN | {"reason": "badly_placed"},
         "doubtful, badly placed; frames disagree by 0.31 > max_residual_px 0.2; 473 x 536 px of 40 frames"),
        (DRAWN | {"reason": "content_moves"},
         "doubtful, content moves; most of the place moves in most of the frames; 473 x 536 px of 40 frames"),
        (DRAWN | {"reason": "no_boxes", "shown_share": 1.0},
         "doubtful, no boxes; 473 x 536 px of 40 frames; like frame 0.96 >= like_frame 0.93; "
         "known 0.948 >= known 0.9; shown share 1 >= 0.6; frames disagree by 0.31 > …"),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_told_by_that_which_falls_short_and_by_nothing_else(asset, row, told):
    aligned = {"frames": 40, "shot_frames": 96, "residual_px": 0.31}
    assert of(asset, {"verdict": "doubtful"} | PIXELS | row, alignments=aligned) == told


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("p", "473 x 536 px, too little for frames of 640 x 360; goes by min_travel 0.15"),
        ("", "goes by min_travel 0.15"),
    ],
)
def test_of_a_panorama_hardly_larger_than_a_frame_both_sizes_are_told(path: str, told: str):
    row = {"verdict": "refused", "reason": "too_little_travel", "path": path} | PIXELS
    aligned = {"frames": 40, "shot_frames": 96, "width_px": 640, "height_px": 360}
    assert of("panoramas", row, alignments=aligned) == f"refused, too little travel; {told}"


def test_of_a_plate_with_somebody_put_back_the_limit_of_the_places_is_told():
    row = {"verdict": "doubtful", "reason": "badly_placed", "path": ""}
    assert of("backdrops", row) == "doubtful, badly placed; frames disagree by more than max_residual_px 0.2"


LIMITS = {"clips": SETTINGS.clips.model_dump(mode="json"), "training_set": {"validation_share": 0.1}}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"reason": "held", "change": 2}, "held: changes by 2 < min_change 3 (shot 7)"),
        ({"reason": "blank", "contrast": 0.011}, "blank: contrast 0.011 < min_contrast 0.02 (shot 7)"),
        (
            {"reason": "short", "start_s": 1.0, "end_s": 3.5},
            "short: 2.5 s less margin_s 0.1 hold no clip of frames 81 at fps 16 (shot 7)",
        ),
        (
            {"reason": "both_parts"},
            "both_parts: held-out and other minutes by [training_set] validation_share 0.1 (shot 7)",
        ),
        ({"reason": "undescribed"}, "undescribed: the set has no image of the shot (shot 7)"),
    ],
)
def test_a_clip_that_was_left_out_is_told_with_the_value_and_the_limit(row: dict[str, Any], told: str):
    decision = Decision("clips", "a.e1/clip-00001000-00003500", {"kept": False, "shot": 7} | row, "1", LIMITS, [])
    shown = first_screen(Explanation(decision.of, decision.of, "/v.mkv", 1.0, None, False, [decision], end_s=3.5))
    assert " ".join(map(str.strip, shown[3:-2])) == f"clips             left out, {told}"
    assert shown[1] == "from second 1.000 to 3.500 of /v.mkv"


def test_a_clip_tells_its_caption_and_by_which_stills_and_a_shot_its_clips(tmp_path: Path):
    made, told = Store(str(tmp_path)), {"code_version": "1", "models": []}

    def write(asset: str, *rows: dict[str, Any]) -> None:
        provenance = Provenance.from_json(told | {"settings": LIMITS, "path": "/v.mkv"})
        made.write(asset, SCHEMAS[asset].table(list(rows)), EPISODE, provenance)

    marked = [0] * 144 + [40] + [100] * 143
    shot = {"episode": EPISODE, "fingerprint_pts_s": [1.0, 2.0], "fingerprints": marked}
    write("video")
    write(
        "shots",
        {**shot, "number": 0, "start_s": 0.0, "end_s": 4.0},
        {**shot, "number": 1, "start_s": 4.0, "end_s": 9.0},
    )
    stills = [f"a.e1/0000{second}000" for second in (1, 2, 5)]
    write(
        "distinct_frames",
        *({"image_id": it, "group": it, "pts_s": s} for it, s in zip(stills, (1.0, 2.0, 5.0), strict=True)),
    )
    write("captions", *({"image_id": it} for it in stills[1:]))
    write("multiplies", *({"image_id": it} for it in stills))
    clip = {"episode": EPISODE, "image_id": "a.e1/clip-00000500-00003500", "shot": 0, "start_s": 0.5, "end_s": 3.5}
    said = {"kept": True, "reason": "kept", "frames": 49, "fps": 16, "split": "train"}
    write(
        "clips",
        clip | said | {"caption": "1girl, fern", "concept": "1_character/fern"},
        {**clip, "image_id": "a.e1/clip-00004000-00009000", "shot": 1, "end_s": 9.0, "kept": False, "reason": "short"},
    )
    lines = screen(made, clip["image_id"])
    assert lines[2:5] == ["caption: 1girl, fern", "concept: 1_character/fern", f"told by: {stills[1]}"]
    assert line(lines, "clips").startswith(
        "kept, for train: 49 frames at 16 a second of shot 0, changes by 100 >= min_change"
    )
    [of_shot] = clips_of_shot(made, "a.e1/shot-1")
    assert of_shot["reason"] == "short"
    with pytest.raises(UnknownImage, match=r"the episode a\.e1 is there\na\.e1/clip-00004000-00009000 of .*: short"):
        explain(made, "a.e1/00006000")
    assert clips_of_shot(made, "a.e1/shot-2") == []


def test_a_picture_of_a_folder_has_no_second(tmp_path: Path):
    told = Explanation("a.e1/x-00000000", "a.e1/x-00000000", "/pictures", None, None, True, [])
    assert first_screen(told)[1:3] == ["from /pictures", "made with the demo models"]


def test_the_first_screen_tells_what_a_person_said_of_the_image_and_of_its_still(store: Store, tmp_path: Path):
    from shutil import copytree

    own = Store(str(copytree(store.root, tmp_path / "store")))
    row = {"reader": "selection", "event": "e-1", "field": "images", "number": 0, "said": "20261129T160301.123456Z"}
    own.write(
        "matched_corrections",
        SCHEMAS["matched_corrections"].table(
            [
                row | {"do": "reject", "value": "{}", "image_id": HEAD},
                row | {"do": "set_character", "event": "e-2", "value": '{"character": "c-1"}', "image_id": HEAD},
                row | {"do": "keep", "event": "e-3", "value": "{}", "image_id": "a.e1/00009999"},
                *(
                    row | {"do": "keep", "event": f"e-5.{number}", "value": "{}", "image_id": HEAD}
                    for number in (10, 2)
                ),
            ]
        ),
        EPISODE,
    )
    said = b'{"do": "reject", "id": "e-1", "images": ["a.e1/00001000"]}'
    out = '{"do": "exclude", "episode": "a.e1", "start_s": 1.0, "end_s": 2.0}'
    told = {"reader": "distinct_frames", "event": "e-4", "said": "20261130T080000.000000Z", "do": "exclude"}
    own.write("corrections", SCHEMAS["corrections"].table([told | {"value": out}]), EPISODE)
    log = CorrectionLog(LocalFiles(tmp_path / "corrections"))
    LocalFiles(tmp_path / "corrections").write("x.json", b'{"by": "review import", "events": [' + said + b"]}")
    lines = [line for line in first_screen(with_speakers(explain(own, HEAD), [log])) if line.startswith("by hand")]
    assert lines == [
        "by hand: reject, 2026-11-29 16:03 by review import (e-1)",
        "by hand: set_character Fern (c-1), 2026-11-29 16:03 (e-2)",
        "by hand: keep, 2026-11-29 16:03 (e-5.2)",
        "by hand: keep, 2026-11-29 16:03 (e-5.10)",
        "by hand: exclude of its still a.e1 1.0 2.0, 2026-11-30 08:00 (e-4)",
    ]
