from __future__ import annotations

from typing import Any

from dataset_pipeline.super_resolution.tile_contents import crops_on_tiles

STILL = "a.e/00000001"


def image(kind: str, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    image_id = STILL if kind == "still" else f"{STILL}#{kind}-{x}-{y}-{width}-{height}"
    return {"image_id": image_id, "still_id": STILL, "kind": kind} | {
        "x_px": x, "y_px": y, "width_px": width, "height_px": height
    }  # fmt: skip


def tile(name: str, x: int, y: int, scale: float = 1.0, still: str = STILL) -> dict[str, Any]:
    size = {"copy_width_px": int(400 * scale), "copy_height_px": int(200 * scale)}
    return {"tile_id": name, "image_id": still, "x_px": x, "y_px": y, "side_px": 100, **size}


def shown(*tiles: dict[str, Any]) -> dict[str, list[str]]:
    images = [image("still", 0, 0, 400, 200), image("person", 0, 0, 150, 200), image("head", 60, 20, 60, 60)]
    return {name: [crop["kind"] for crop in crops] for name, crops in crops_on_tiles(tiles, images)}


def test_a_tile_shows_the_crops_of_which_half_lies_on_it_and_those_that_half_of_it_lies_on():
    assert shown(tile("left", 0, 0), tile("middle", 100, 0), tile("right", 300, 100)) == {
        "left": ["person", "head"],  # 40 of the 60 px of the head
        "middle": ["person"],  # of the head a third; the person lies on half of the tile
        "right": [],
    }


def test_a_tile_of_a_smaller_copy_shows_what_lies_there_on_the_still():
    assert shown(tile("half", 0, 0, 0.5), tile("beside", 100, 0, 0.5)) == {"half": ["person", "head"], "beside": []}


def test_tiles_of_pictures_on_which_nothing_was_found_show_nothing():
    assert shown(tile("other", 0, 0, still="a.e/00000002")) == {"other": []}
