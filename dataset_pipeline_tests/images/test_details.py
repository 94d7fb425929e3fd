"""Which details a still gives, and which of them an episode keeps."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pytest

from dataset_pipeline.base.boxes import box_of, iou, place_of, share_inside
from dataset_pipeline.demo.scenes import NO_BOX, Scene, draw_scene
from dataset_pipeline.images.crops import cut
from dataset_pipeline.images.detail_windows import CUT_SHARES, FACE_CUT_SHARES, SMALLEST_SHARE, around, longer_side
from dataset_pipeline.images.details import KINDS, LEAST_FILLS, choose, plan_details, unknown_of
from dataset_pipeline.images.looks import look_of
from dataset_pipeline.images.resize import encode
from dataset_pipeline.models import Detector
from dataset_pipeline.settings import DetailsSettings, load_settings, resources_folder
from dataset_pipeline.store.schemas import SCHEMAS

SETTINGS = load_settings(resources_folder() / "settings.toml")
STILL = "show.e1/00001000"
GREY = np.full((1080, 1920, 3), 128, np.uint8)


def settings(**changes: object) -> DetailsSettings:
    return DetailsSettings.model_validate(SETTINGS.details.model_dump() | {"enabled": True} | changes)


def box(kind: str, x0: float, y0: float, x1: float, y1: float, score: float = 0.9) -> dict:
    return {"kind": kind, "x0_px": x0, "y0_px": y0, "x1_px": x1, "y1_px": y1, "score": score}


def plan(*boxes: dict, **changes: object) -> dict[str, dict]:
    rows = plan_details(STILL, GREY, boxes, settings(**changes), SETTINGS.crops)
    return {row["image_id"].partition("#")[2]: row for row in rows}


def test_a_face_gives_a_square_that_is_called_by_its_box():
    found = plan(box("face", 960, 540, 1088, 648))
    row = found["facedetail-500-500-67-100"]
    assert (row["x_px"], row["y_px"], row["width_px"], row["height_px"]) == (768, 338, 512, 512)
    assert (row["kept"], row["reason"], row["score"], row["detail"]) == (True, "kept", 0.9, 0.0)
    assert box_of(row) == (960, 540, 1088, 648)
    assert row["still_share"] == pytest.approx(512 * 512 / (1920 * 1080))
    SCHEMAS["details"].table(list(found.values()))


def test_a_still_that_shows_nothing_gives_none():
    assert plan() == {}
    assert plan(box("face", 960, 540, 1088, 648, score=0.2)) == {}
    assert plan(box("face", 2000, 540, 2100, 648)) == {}


def test_faces_go_before_heads_and_hands_before_what_shows_the_same():
    face, head, hand = (
        box("face", 900, 500, 1060, 640),
        box("head", 880, 440, 1080, 650),
        box("hand", 300, 800, 400, 900),
    )
    reasons = {row["kind"]: row["reason"] for row in plan(face, head, hand).values()}
    assert reasons == {"facedetail": "kept", "handdetail": "kept", "headdetail": "overlaps"}
    reasons = {row["kind"]: row["reason"] for row in plan(head, hand).values()}  # somebody who turns their back
    assert reasons == {"handdetail": "kept", "headdetail": "kept"}


def test_both_eyes_of_a_face_are_one_box_and_those_of_nobody_are_none():
    face = box("face", 800, 400, 1100, 700)
    eyes = [box("eye", 840, 500, 920, 560, 0.8), box("eye", 980, 500, 1060, 560, 0.9), box("eye", 300, 100, 380, 160)]
    third = box("eye", 900, 600, 960, 640, 0.4)
    (row,) = plan(face, *eyes, third, kinds=["eyes"]).values()
    assert box_of(row) == (840, 500, 1060, 560)
    assert (row["kind"], row["width_px"], row["score"]) == ("eyesdetail", 880, 0.8)


def test_a_hand_that_no_window_of_its_own_shows_is_shown_with_the_nearest_face():
    face, head = box("face", 860, 480, 1060, 680), box("head", 800, 380, 1120, 700)
    hand = box("hand", 1040, 560, 1180, 700)
    found = {row["kind"]: row for row in plan(face, head, hand).values()}
    assert found["handdetail"]["reason"] == "holds_face"
    assert share_inside(box_of(hand), place_of(found["facedetail"])) == 1.0


def test_no_detail_of_a_panorama_touches_what_nobody_has_seen():
    whole = np.zeros((150, 300), np.uint8)  # of 2400 x 1200 px, an eighth as large
    whole[20, 200] = 255
    stitched = {"unknown": encode(np.repeat(whole[..., None], 3, axis=2), "png", 100), "width_px": 1920}
    stitched |= {"height_px": 1080, "whole_px": [2400, 1200, 100, 50], "path": "p"}
    unknown = unknown_of(stitched)
    assert unknown is not None
    assert unknown.shape == (1080, 1920)
    ys, xs = np.nonzero(unknown)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (110, 117, 1500, 1507)
    noise = np.random.default_rng(0).integers(0, 255, GREY.shape, np.uint8)
    noise[400:] = 128
    rows = plan_details(STILL, noise, [box("face", 1440, 60, 1568, 168)], settings(), SETTINGS.crops, unknown)
    assert [row["reason"] for row in rows if row["kind"] == "facedetail"] == ["touches_unknown"]
    objects = [row for row in rows if row["kind"] == "objectdetail"]
    assert len(objects) == 2
    for row in objects:
        x0, y0, x1, y1 = map(int, place_of(row))
        assert not unknown[y0:y1, x0:x1].any()
    assert unknown_of(stitched | {"unknown": None}) is None
    assert unknown_of(stitched | {"height_px": 100, "whole_px": [2400, 1200, 100, 400]}) is None


def test_no_object_is_what_may_be_somebody():
    busy = np.random.default_rng(0).integers(0, 255, GREY.shape, np.uint8)
    busy[:, 900:] = 128
    for score, kinds in ((0.14, {"objectdetail"}), (0.16, set())):
        doubtful = box("person", 0, 0, 1100, 1080, score)
        rows = plan_details(STILL, busy, [doubtful], settings(), SETTINGS.crops)
        assert {row["kind"] for row in rows} == kinds


def candidate(still: int, kind: str = "face", detail: float = 1.0, number: int = 1) -> dict:
    still_id = f"show.e1/{still:08d}"
    image_id = f"{still_id}#{kind}detail-{number}-1-1-1"
    return {"image_id": image_id, "still_id": still_id, "kind": kind + "detail", "detail": detail, "kept": True,
            "reason": "kept"}  # fmt: skip


def look(*bits: int) -> str:
    return f"{sum(1 << bit for bit in bits):032x}"


def chosen(rows: Iterable[dict], looks: Mapping[str, str] | None = None, most: int = 2) -> list[str]:
    rows = list(rows)
    apart = {row["image_id"]: look(*range(40 * n, 40 * n + 40)) for n, row in enumerate(rows)}
    return [row["reason"] for row in choose(rows, apart | dict(looks or {}), most)]


def test_of_details_that_look_alike_the_one_with_most_detail_is_kept_however_far_apart():
    rows = [candidate(1, detail=2.0), candidate(2, detail=3.0), candidate(900, detail=2.5)]
    alike = {row["image_id"]: look(*range(4 * number)) for number, row in enumerate(rows)}
    found = choose(rows, alike, 2)
    assert [row["reason"] for row in found] == ["duplicate", "kept", "duplicate"]
    assert {row["group"] for row in found} == {rows[1]["image_id"]}
    assert rows[0]["kept"]  # the rows that were given are as they were


@pytest.mark.parametrize(("kind", "bits"), [("face", 12), ("hand", 12), ("clothes", 24), ("object", 24)])
def test_parts_look_alike_sooner_than_windows_that_were_found_by_their_pixels(kind: str, bits: int):
    one, other = candidate(1, kind), candidate(2, kind)
    for differing, reason in ((bits, "duplicate"), (bits + 1, "kept")):
        looks = {one["image_id"]: look(), other["image_id"]: look(*range(differing))}
        assert chosen([one, other], looks) == ["kept", reason]


def test_a_still_has_so_many_details_and_what_goes_first_is_kept():
    kinds = ("object", "hand", "face", "clothes")
    rows = [candidate(1, kind) for kind in kinds]
    kept = dict(zip(sorted(kinds), chosen(rows), strict=True))
    assert kept == {"face": "kept", "hand": "kept", "clothes": "over_limit", "object": "over_limit"}
    assert chosen(rows[:3], most=3) == ["kept"] * 3


def test_where_one_still_is_full_another_shows_what_it_has():
    full, other = [candidate(1, number=n, detail=9.0 - n) for n in (1, 2, 3)], candidate(2, detail=1.0)
    looks = {full[2]["image_id"]: look(), other["image_id"]: look()}
    looks |= {full[0]["image_id"]: look(*range(40, 80)), full[1]["image_id"]: look(*range(80, 120))}
    assert chosen([*full, other], looks) == ["kept", "kept", "over_limit", "kept"]


# --------------------------------------------------------------------------------------------- drawn people


def boxes_of(scene: Scene) -> list[dict]:
    """The drawn truth as a perfect detector would tell it."""
    return [
        box(kind, *it, score=1.0)
        for person in scene.people
        for kind, them in {
            "person": [person.person], "head": [person.head], "face": [person.face], "hand": person.hands,
            "eye": person.eyes,
        }.items()
        for it in them
        if it != NO_BOX
    ]  # fmt: skip


def large_enough(truth: Iterable[dict], size: tuple[int, int], target_px: int) -> list[dict]:
    """Faces and hands that fill their share of the smallest window, and whose head fits into a square of the still."""
    truth = list(truth)
    heads = [box_of(it) for it in truth if it["kind"] == "head"]
    found = []
    for it in truth:
        least = LEAST_FILLS.get(it["kind"], np.inf) * SMALLEST_SHARE * target_px
        head = around(box_of(it), heads) if it["kind"] == "face" else None
        fits = head is None or longer_side(head) <= min(size)
        if it["kind"] in ("face", "hand") and longer_side(box_of(it)) >= least and fits:
            found.append(it)
    return found


def covered(seeds: Iterable[int], size: tuple[int, int], target_px: int, find=boxes_of) -> Counter:
    """How many faces and hands are large enough, and of how many a detail holds 95 % or more, by drawn truth. Each
    detail is square and native, none cuts through a head or a face by the boxes that it was made of, and no two of a
    still overlap by more than half."""
    counts = Counter[str]()
    for seed in seeds:
        scene = draw_scene(seed, size)
        given, truth = find(scene), boxes_of(scene)
        rows = plan_details(STILL, scene.image, given, settings(target_px=target_px, kinds=list(KINDS)), SETTINGS.crops)
        kept = [row for row in rows if row["kept"]]
        for row in kept:
            piece = cut(scene.image, row)
            assert piece.shape[0] == piece.shape[1] >= SMALLEST_SHARE * target_px
            for kind, (low, high) in {"head": CUT_SHARES, "face": FACE_CUT_SHARES}.items():
                certain = [it for it in given if it["kind"] == kind and it["score"] >= SETTINGS.crops.min_score(kind)]
                assert not any(low < share_inside(box_of(it), place_of(row)) < high for it in certain)
        assert all(iou(place_of(one), place_of(other)) <= 0.5 for one, other in itertools.combinations(kept, 2))
        for it in large_enough(truth, size, target_px):
            counts[it["kind"]] += 1
            counts[f"{it['kind']} covered"] += any(share_inside(box_of(it), place_of(row)) >= 0.95 for row in kept)
        counts.update(row["kind"] for row in kept)
    return counts


def shares(counts: Counter) -> dict[str, float]:
    return {kind: counts[f"{kind} covered"] / counts[kind] for kind in ("face", "hand")}


def test_faces_and_hands_of_drawn_people_are_covered():
    counts = covered(range(3000, 3030), (960, 540), 256)
    print(counts)
    assert counts["face"] >= 25
    assert counts["hand"] >= 10
    assert all(share >= 0.95 for share in shares(counts).values())
    assert all(counts[f"{kind}detail"] for kind in ("face", "hand", "eyes", "clothes", "object"))


@pytest.mark.thorough
def test_faces_and_hands_of_many_drawn_people_are_covered_with_drawn_boxes_and_with_those_of_the_pack():
    counts = covered(range(4000, 4200), (1920, 1080), 512)
    print("drawn boxes", counts, shares(counts))
    assert all(share >= 0.95 for share in shares(counts).values())
    detector = Detector(pack="demo", device="cpu", batch_size=1)  # type: ignore[call-arg]

    def found(scene: Scene) -> list[dict]:
        (boxes,) = detector.detect([scene.image], ("person", "head", "face", "hand", "eye"))
        return [box(it.kind, it.x0, it.y0, it.x1, it.y1, it.score) for it in boxes]

    counts = covered(range(4000, 4100), (1920, 1080), 512, found)
    print("the pack's boxes", counts, shares(counts))
    assert shares(counts)["face"] >= 0.9
    assert shares(counts)["hand"] >= 0.8


def test_a_held_picture_gives_its_details_once():
    scene = draw_scene(3001, (960, 540))
    rows, looks = [], {}
    for number in range(3):
        picture = scene.image if number == 0 else np.roll(scene.image, number, axis=1)
        for row in plan_details(
            f"show.e1/{number:08d}", picture, boxes_of(scene), settings(target_px=256), SETTINGS.crops
        ):
            rows.append(row)
            looks |= {row["image_id"]: look_of(cut(picture, row))} if row["kept"] else {}
    reasons = Counter((row["reason"], row["still_id"]) for row in choose(rows, looks, 9))
    kept = sum(count for (reason, _), count in reasons.items() if reason == "kept")
    assert kept == len(looks) / 3 > 0
