from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.regularization.stills import evenly, of_nobody, unfit_stills
from dataset_pipeline.settings import RegularizationClass
from dataset_pipeline.store.schemas import SCHEMAS

STYLE = RegularizationClass(name="style", source="stills", caption="scenery")


def still(image_id: str, start_s: float | None = None, **changes: Any) -> dict[str, Any]:
    size = {"width_px": 1280, "height_px": 720}
    return {"image_id": image_id, "start_s": start_s, "path": f"{image_id}.png", **size, **changes}


def box(image_id: str, kind: str = "person", score: float = 0.9) -> dict[str, Any]:
    corners = {"x0_px": 1.0, "y0_px": 1.0, "x1_px": 9.0, "y1_px": 9.0}
    return {"image_id": image_id, "kind": kind, **corners, "score": score, "model_sha256": "m"}


def unfit(
    boxes: list[dict] = [], clusters: list[dict] = [], tags: list[dict] = [], text: list[dict] = [], **more: Any  # noqa: B006
) -> dict[str, str]:  # fmt: skip
    tables = zip(("detections", "clusters", "tags", "burnt_in_text"), (boxes, clusters, tags, text), strict=True)
    return unfit_stills(*(SCHEMAS[name].table(rows) for name, rows in tables), min_score=0.3, **more)


def test_a_box_of_anybody_or_of_a_piece_of_somebody_is_somebody():
    kinds = ("person", "halfbody", "head", "face", "hand", "eye")
    assert unfit([box(f"s.e/{at:08d}", kind) for at, kind in enumerate(kinds)]) == {
        f"s.e/{at:08d}": "somebody" for at in range(6)
    }
    assert unfit([box("s.e/00000001", score=0.29)]) == {}


def test_who_is_known_or_counted_on_a_crop_is_on_its_still():
    crop = "s.e/00000001#head-1-1-9-9"
    assert unfit(clusters=[{"image_id": crop, "characters": ["fern"]}]) == {"s.e/00000001": "somebody"}
    assert unfit(clusters=[{"image_id": crop, "characters": []}]) == {}
    assert unfit(tags=[{"image_id": crop, "tags": ["1girl"], "n_people": 0}]) == {"s.e/00000001": "somebody"}
    assert unfit(tags=[{"image_id": "s.e/00000001", "tags": ["outdoors"], "n_people": 1}]) == {
        "s.e/00000001": "somebody"
    }
    assert unfit(tags=[{"image_id": "s.e/00000001", "tags": ["no_humans", "outdoors"], "n_people": 0}]) == {}


def test_a_still_that_is_lettered_over_some_of_its_area_is_no_place():
    """Two lines of 60 x 20 px on 400 x 300 are 2 % of it."""
    line = {"image_id": "s.e/00000001", "kind": "sign", "score": 0.9, "found_by": "lettering", "burnt_in": False}
    lines = [line | {"x0_px": 0.0, "x1_px": 60.0, "y0_px": 40.0 * at, "y1_px": 40.0 * at + 20} for at in range(2)]
    of_size = {"areas_px": {"s.e/00000001": 400 * 300}}
    assert unfit(text=lines, max_text_share=0.019, **of_size) == {"s.e/00000001": "text"}
    assert unfit(text=lines, max_text_share=0.02, **of_size) == {}
    assert unfit(text=lines[:1], max_text_share=0.019, **of_size) == {}


def test_text_and_bars_are_left_out_where_they_are_known():
    corners = {"x0_px": 1.0, "y0_px": 1.0, "x1_px": 9.0, "y1_px": 9.0, "score": 1.0, "found_by": "", "kind": "sign"}
    lines = [{"image_id": f"s.e/0000000{at}", **corners, "burnt_in": at == 1} for at in (1, 2)]
    tags = [
        {"image_id": "s.e/00000003", "tags": ["subtitled"], "n_people": 0},
        {"image_id": "s.e/00000004", "tags": ["letterboxed"], "n_people": 0},
        {"image_id": "s.e/00000005#clothesdetail-1-1-9-9", "tags": ["english_text"], "n_people": 0},
    ]
    assert unfit(tags=tags, text=lines) == {"s.e/00000001": "text", "s.e/00000003": "text", "s.e/00000004": "bars"}


def test_on_a_clean_plate_is_nobody_and_where_nobody_looked_nobody_knows():
    plate, frame = "s.e/plate-00000001-00000002", "s.e/00000001"
    assert unfit([box(plate)], not_looked_at=[plate, frame]) == {frame: "not_looked_at"}
    subject = f"{plate}-with-00000001"
    with pytest.raises(PermanentError, match="none of 1 stills is one \\(somebody 1\\)"):
        of_nobody([still(subject, 1.0)], {}, [], STYLE, 5, 0)


def test_stills_are_taken_evenly_over_shows_episodes_and_shots():
    """Show a: 2 episodes of 3 shots with 4 stills each; show b: 1 episode, 1 shot with 4."""
    shots = [{"episode": f"a.e{e}", "start_s": 10.0 * at} for e in (1, 2) for at in range(3)]
    shots.append({"episode": "b.e1", "start_s": 0.0})
    stills = [
        still(f"a.e{e}/{1000 * s:08d}", float(s))
        for e in (1, 2)
        for at in range(3)
        for s in range(10 * at, 10 * at + 4)
    ]
    stills += [still(f"b.e1/{1000 * s:08d}", float(s)) for s in range(4)]
    rows = of_nobody(stills, {}, shots, STYLE, 6, 0)
    of = [row["mirrors"] for row in rows]
    assert Counter(map(show_of, of)) == {"a": 3, "b": 3}
    assert sorted(Counter(map(episode_of, of)).values()) == [1, 2, 3]
    assert len({(episode_of(it), int(it[-8:]) // 10_000) for it in of}) == 4  # three of a, each of another shot
    assert len(of_nobody(stills, {}, shots, STYLE, 100, 0)) == 28
    assert {row["mirrors"] for row in of_nobody(stills, {}, shots, STYLE, 6, 1)} != set(of)


def test_more_of_them_takes_none_of_the_others_away():
    stills = [still(f"a.e1/{at:08d}", at / 1000) for at in range(50)]
    few, many = ({row["image_id"] for row in of_nobody(stills, {}, [], STYLE, number, 3)} for number in (10, 30))
    assert len(few) == 10
    assert few < many


def test_a_row_of_a_still_says_where_its_picture_lies_and_that_nobody_is_on_it():
    plate = "s.e/plate-00000001-00000002"
    rows = {it["mirrors"]: it for it in of_nobody([still("s.e/00000001", 1.0), still(plate, 2.0)], {}, [], STYLE, 9, 0)}
    row = rows["s.e/00000001"]
    assert row == {
        "image_id": row["image_id"], "source": "stills", "prompt": "", "negative_prompt": "", "seed": 0,
        "width_px": 1280, "height_px": 720, "people": 0, "caption": "scenery", "mirrors": "s.e/00000001",
        "path": "s.e/00000001.png",
    }  # fmt: skip
    assert rows[plate]["people"] is None


def test_a_class_takes_stills_of_its_shows_alone():
    only = STYLE.model_copy(update={"shows": ["B"]})
    stills = [still("a.e1/00000001", 1.0), still("b.e1/00000001", 1.0)]
    assert [row["mirrors"] for row in of_nobody(stills, {}, [], only, 9, 0)] == ["b.e1/00000001"]
    with pytest.raises(PermanentError, match="there are no stills of B"):
        of_nobody(stills[:1], {}, [], only, 9, 0)


def test_the_order_over_groups_is_even_at_every_length():
    rows = [{"show": show, "shot": at // 2, "at": at} for show, count in (("a", 7), ("b", 3)) for at in range(count)]
    order = list(evenly(rows, (lambda row: row["show"], lambda row: row["shot"]), 5))
    assert sorted(map(str, order)) == sorted(map(str, rows))
    for length in range(7):
        counts = Counter(row["show"] for row in order[:length])
        assert abs(counts["a"] - counts["b"]) <= 1
