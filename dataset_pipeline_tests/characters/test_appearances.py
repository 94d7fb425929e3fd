from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.characters.appearances import Tracked, appearances_of, people_on, tracked
from dataset_pipeline.store.schemas import SCHEMAS

STILL = "show.e1/00000001"
Box = tuple[int, int, int, int]


def crop(kind: str, box: Box, still: str = STILL, kept: bool = True) -> dict:
    """box: x0, y0, x1, y1 in pixels."""
    x0, y0, x1, y1 = box
    place = {"x_px": x0, "y_px": y0, "width_px": x1 - x0, "height_px": y1 - y0}
    return {"image_id": f"{still}#{kind}-{x0}-{y0}-9-9", "still_id": still, "kind": kind, "kept": kept, **place}


def kinds_by_person(crops: list[dict]) -> list[list[str]]:
    return [[f"{it['kind']} {it['x_px']}" for it in person] for person in people_on(crops)]


def axis(number: int) -> np.ndarray:
    return np.eye(8, dtype=np.float32)[number]


def test_a_head_cut_with_a_margin_belongs_to_the_person_it_sticks_out_of():
    assert kinds_by_person([crop("head", (110, 0, 190, 80)), crop("person", (100, 20, 200, 400))]) == [
        ["person 100", "head 110"]
    ]


def test_heads_inside_two_people_are_shared_out_together():
    """The person in front stands before the other one; both heads lie inside both boxes."""
    front, behind = crop("person", (100, 100, 300, 700)), crop("person", (120, 60, 400, 700))
    heads = [crop("head", (160, 110, 230, 180)), crop("head", (240, 70, 310, 150))]
    assert kinds_by_person([front, behind, *heads]) == [["person 100", "head 160"], ["person 120", "head 240"]]


def test_a_head_outside_everybody_and_a_second_head_are_people_of_their_own():
    crops = [
        crop("person", (100, 0, 300, 700)),
        crop("head", (150, 10, 250, 110)),
        crop("head", (180, 400, 230, 450)),
        crop("head", (600, 10, 700, 110)),
    ]
    assert kinds_by_person(crops) == [["person 100", "head 150"], ["head 180"], ["head 600"]]


def test_a_head_at_the_side_whose_crop_reaches_far_beyond_its_person_is_whose_the_boxes_say():
    """Crops of heads are squares that are shifted off the picture's edges."""
    sliver, other = crop("person", (0, 35, 106, 360)), crop("person", (500, 0, 700, 360))
    head = crop("head", (0, 0, 232, 232))
    assert kinds_by_person([sliver, other, head]) == [["person 0"], ["person 500"], ["head 0"]]
    told = head | {"part_of": sliver["image_id"]}
    assert kinds_by_person([sliver, other, told]) == [["person 0", "head 0"], ["person 500"]]
    second = crop("head", (540, 10, 600, 80)) | {"part_of": f"{STILL}#person-0-0-1-1"}  # which is no crop that is kept
    assert kinds_by_person([sliver, other, told, second]) == [["person 0", "head 0"], ["person 500", "head 540"]]


def test_all_kinds_that_say_who_somebody_is_come_together_and_hands_do_not():
    places: dict[str, Box] = {
        "face": (160, 40, 200, 80),
        "hand": (110, 300, 140, 330),
        "halfbody": (100, 0, 300, 300),
        "head": (140, 0, 240, 100),
        "person": (100, 0, 300, 700),
    }
    [person] = people_on([crop(kind, box) for kind, box in places.items()])
    assert [it["kind"] for it in person] == ["person", "halfbody", "head", "face"]


def test_head_and_body_count_once_each_however_many_crops_they_are_and_however_long_their_vectors():
    crops = [
        crop("person", (100, 0, 300, 700)),
        crop("halfbody", (100, 0, 300, 300)),
        crop("head", (140, 0, 240, 100)),
    ]
    vectors = [10 * axis(0), 0.1 * axis(0), 3 * axis(1)]
    found = appearances_of(crops, {it["image_id"]: vector for it, vector in zip(crops, vectors, strict=True)})
    np.testing.assert_allclose(found.vectors, [(axis(0) + axis(1)) / np.sqrt(2)], atol=1e-6)
    np.testing.assert_allclose(found.bodies, [axis(0)], atol=1e-6)
    assert found.crops == [tuple(it["image_id"] for it in crops)]
    assert found.stills == [(STILL,)]


def test_a_head_alone_has_no_body_and_people_without_a_vector_are_left_out():
    head, unmeasured = crop("head", (140, 0, 240, 100)), crop("person", (500, 0, 700, 700))
    small = crop("person", (800, 0, 820, 90), kept=False)
    found = appearances_of([head, unmeasured, small], {head["image_id"]: axis(2), small["image_id"]: axis(1)})
    assert found.ids == [head["image_id"]]
    assert not found.bodies.any()
    np.testing.assert_allclose(found.vectors, [axis(2)])
    assert len(appearances_of([unmeasured], {})) == 0


def test_people_beside_one_another_are_rivals_and_one_found_twice_is_none():
    crops = [crop("person", (100, 0, 300, 700)), crop("person", (120, 0, 320, 700)), crop("person", (600, 0, 800, 700))]
    crops.append(crop("person", (600, 0, 800, 700), still="show.e1/00000002"))
    found = appearances_of(crops, {it["image_id"]: axis(0) for it in crops})
    assert found.rivals.tolist() == [[0, 2], [1, 2]]


def test_on_a_panorama_one_person_may_be_seen_twice_and_on_a_plate_not():
    boxes, pan = [(100, 0, 300, 700), (600, 0, 800, 700)], "pan-00000001-00000900"
    for still, rivals in ((f"show.e1/{pan}", []), ("show.e1/plate-00000001-00000900-with-00000040", [[0, 1]])):
        crops = [crop("person", box, still) for box in boxes]
        assert appearances_of(crops, {it["image_id"]: axis(0) for it in crops}).rivals.tolist() == rivals


def test_the_stills_of_a_track_are_one_appearance_and_a_second_person_on_it_is_another():
    stills = [f"show.e1/0000000{number}" for number in (1, 2)]
    crops = [crop("person", (100, 0, 300, 700), still) for still in stills]
    crops.append(crop("person", (600, 0, 800, 700), stills[0]))
    vectors = dict(zip((it["image_id"] for it in crops), [axis(0), axis(1), axis(2)], strict=True))
    found = appearances_of(crops, vectors, Tracked(dict.fromkeys(vectors, "track")))
    assert [len(crops) for crops in found.crops] == [2, 1]
    assert found.stills == [tuple(stills), (stills[0],)]
    np.testing.assert_allclose(found.vectors[0], (axis(0) + axis(1)) / np.sqrt(2), atol=1e-6)
    assert found.rivals.tolist() == [[0, 1]]


def test_a_track_lends_its_samples_vectors_by_the_same_weights_to_the_crops_that_lie_on_it():
    row = crop("person", (100, 0, 300, 700)) | {"image_id": f"{STILL}#person-100-0-200-700"}
    box = {"x0_px": 100.0, "y0_px": 0.0, "x1_px": 300.0, "y1_px": 700.0}
    sample = {"pts": 0, "pts_s": 0.0, "held_until_s": 0.0, "head": None, "score": 0.9, "sharpness": 1.0, **box}
    track = {
        "track_id": "show.e1/track",
        "episode": "show.e1",
        "start_s": 0.0,
        "end_s": 1.0,
        "width_px": 1000,
        "height_px": 1000,
        "samples": [sample],
        "vectors": [
            {"sample": 0, "kind": kind, "embedding": axis(i + 1).tolist()} for i, kind in enumerate(("person", "head"))
        ],
        "model_sha256": "weights",
    }
    tracks = [SCHEMAS["tracks"].table([track]), SCHEMAS["tracks"].empty()]
    by_tracks = tracked([row], tracks, "weights")
    assert by_tracks.track_of == {row["image_id"]: "show.e1/track"}
    vectors = {row["image_id"]: axis(0)}
    found = appearances_of([row], vectors, by_tracks)
    np.testing.assert_allclose(found.bodies, [(axis(0) + axis(1)) / np.sqrt(2)], atol=1e-6)
    np.testing.assert_allclose(found.vectors[0] @ axis(2), 1 / np.sqrt(2), atol=1e-6)
    other = appearances_of([row], vectors, tracked([row], tracks, "other weights"))
    np.testing.assert_allclose(other.vectors, [axis(0)])


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_crops_changes_nothing(seed: int):
    rng = np.random.default_rng(seed)
    boxes = [(int(x), int(y), int(x + 200), int(y + 500)) for x, y in rng.integers(0, 800, (6, 2))]
    heads = [(x0 + 60, y0, x0 + 140, y0 + 80) for x0, y0, _, _ in boxes]
    crops = [crop("person", box) for box in boxes] + [crop("head", box) for box in heads]
    vectors = {it["image_id"]: rng.normal(size=8).astype(np.float32) for it in crops}
    one = appearances_of(crops, vectors)
    other = appearances_of([crops[i] for i in rng.permutation(len(crops))], vectors)
    assert one.crops == other.crops
    np.testing.assert_array_equal(one.vectors, other.vectors)
    np.testing.assert_array_equal(one.rivals, other.rivals)
