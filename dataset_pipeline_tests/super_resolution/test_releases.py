from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dataset_pipeline.settings import load_settings
from dataset_pipeline.super_resolution.releases import (
    Match,
    alignment_row,
    alignments_markdown,
    at_full_size,
    chosen,
    for_geometry,
    matches_in,
    own_low,
    paired,
    where_both_agree,
)

BD, DVD, OTHER = "show.e01-0a1b2c3d", "show.e01", "show.e02"
AREAS = {BD: 1920 * 1080, DVD: 720 * 480, OTHER: 720 * 480}


def test_releases_are_found_by_the_episode_that_their_names_say_and_the_largest_is_the_high_one():
    assert paired(AREAS, [], by_name=True).pairs == {DVD: BD}
    assert paired(AREAS, [], by_name=False).pairs == {}
    assert paired(AREAS | {BD: 720 * 480}, [], by_name=True).pairs == {}  # neither is the high one
    third = "show.e01-ffffffff"
    assert paired(AREAS | {third: 1280 * 720}, [], by_name=True).pairs == {DVD: BD, third: BD}


def test_what_settings_name_goes_before_names_and_faults_in_it_are_told():
    named = [[OTHER, DVD], ["gone.e9", OTHER]]
    found = paired(AREAS, named, by_name=True)
    assert found.pairs == {DVD: OTHER}
    assert found.absent == ("gone.e9",)
    twice = paired(AREAS, [[BD, DVD], [OTHER, DVD]], by_name=True)
    assert (twice.pairs, twice.ambiguous) == ({}, (DVD,))


def match(frame: int, shot: int, likeness: float = 0.9) -> Match:
    return Match(frame, 2 * frame, frame / 24, shot, likeness)


def test_of_each_shot_the_frames_that_are_most_alike_are_paired_and_none_at_its_edges():
    matches = [match(frame, frame // 20, 0.5 + (frame % 7) / 100) for frame in range(60)]
    matches[0] = match(0, 0, 1.0)
    found = chosen(matches, 1, 0)
    assert [it.shot for it in found] == [0, 1, 2]
    assert all(2 <= it.low_pts % 20 < 18 and it.likeness == pytest.approx(0.56) for it in found)
    assert len(chosen(matches, 3, 0)) == 9
    assert len(chosen(matches, 3, 4)) == 4
    assert chosen([match(5, 0)], 2, 0) == [match(5, 0)]
    assert chosen([], 1, 5) == []


def test_sixteen_frames_tell_how_releases_lie_of_as_many_shots_as_there_are():
    many = [match(frame, frame // 10) for frame in range(400)]
    assert len({it.shot for it in for_geometry(many)}) == len(for_geometry(many)) == 16
    few = for_geometry([match(frame, frame // 50) for frame in range(100)])
    assert (len(few), len({it.shot for it in few})) == (16, 2)
    assert for_geometry([]) == []


def shots(signatures: np.ndarray, first_pts: int) -> list[dict[str, Any]]:
    """Two shots, the second one first in the table."""
    rows = []
    for number, part in enumerate(np.array_split(np.arange(len(signatures)), 2)):
        times = [round(frame * 1001 / 24000, 3) for frame in part]
        pts = [first_pts + 10 * int(frame) for frame in part]
        row = {"number": number, "frame_pts": pts, "frame_pts_s": times, "signatures": signatures[part].tobytes()}
        rows.append(row)
    return rows[::-1]


def test_an_alignment_names_frames_by_their_timestamps_and_what_the_low_release_lacks():
    rng = np.random.default_rng(3)
    high = rng.integers(0, 255, (240, 18, 32), dtype=np.uint8)
    low = np.delete(high, np.arange(100, 130), axis=0)
    row = alignment_row(shots(high, 1000), shots(low, 5))
    assert row["matched_share"] == 1.0
    assert row["low_pts"] == [5 + 10 * frame for frame in range(210)]
    assert row["high_pts"] == [1000 + 10 * frame for frame in (*range(100), *range(130, 240))]
    assert row["low_shot"] == [0] * 105 + [1] * 105
    assert row["missing"] == [pytest.approx({"start_s": 100 * 1001 / 24000, "end_s": 129 * 1001 / 24000}, abs=0.001)]
    told = alignments_markdown([row | {"episode": DVD, "high": BD}]).splitlines()
    assert told[2] == f"| {DVD} | {BD} | 100.0% | 1.0000 | 2 | 4.2 to 5.4 s |"
    assert matches_in(row)[100] == Match(1005, 2300, row["low_s"][100], 0, row["likeness"][100])
    nothing = alignment_row([], shots(low, 5))
    assert (nothing["matched_share"], matches_in(nothing)) == (0.0, [])


def test_no_tile_is_cut_where_the_pictures_of_a_pair_show_something_else():
    differs = np.zeros((5, 7), bool)  # of a low picture of 110 x 78 pixels
    differs[4, 2] = True
    pair = {"image_id": "a.a/pair-00000001", "scale": 2, "height_px": 156, "differs": np.packbits(differs).tobytes()}
    pair |= {"differs_columns": 7, "correlation": 0.9, "differs_share": 1 / 35}
    low = pair | {"image_id": "a.a/pair-00000001-low", "differs": None}
    places = [(0, 0), (64, 92), (0, 92), (96, 92)]
    tiles = [{"image_id": pair["image_id"], "x_px": x, "y_px": y, "side_px": 64} for x, y in places]
    kept = where_both_agree(tiles, [pair, low])
    assert [(tile["x_px"], tile["y_px"]) for tile in kept] == [(0, 0), (0, 92), (96, 92)]
    picture = np.arange(78 * 110 * 3).reshape(78, 110, 3)
    assert (own_low(tiles[3], picture, 2) == picture[46:78, 48:80]).all()


def test_tiles_of_pairs_have_the_pictures_own_scale():
    settings = at_full_size(load_settings(sr_tiles__shortest_edge_px=400).sr_tiles)
    assert (settings.scales, settings.shortest_edge_px) == ([1.0], 0)
