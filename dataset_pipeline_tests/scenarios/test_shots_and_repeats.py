"""Three drawn episodes with one opening at three places: cuts, segments, one copy of what they share."""

from __future__ import annotations

import pytest

from dataset_pipeline.demo.truth import EpisodeTruth

CLOSE_S = 0.5


def span_of(truth: EpisodeTruth, kind: str) -> tuple[float, float]:
    """Where the shots of a kind lie, in seconds."""
    shots = [shot for shot in truth.shots if shot.kind == kind]
    return shots[0].start_s, shots[-1].end_s


def test_the_opening_is_found_to_half_a_second_and_nothing_else(watched):
    project, truths = watched
    for row in project.rows("repeated_frames"):
        truth = truths[row["episode"]]
        [segment] = row["segments"]
        start_s, end_s = span_of(truth, "opening")
        assert segment["kind"] == "opening"
        assert segment["start_s"] == pytest.approx(start_s, abs=CLOSE_S)
        assert segment["end_s"] == pytest.approx(end_s, abs=CLOSE_S)


def test_of_every_shared_frame_one_copy_stays(watched):
    project, _ = watched
    rows = project.rows("repeated_frames")
    frames = [frame for row in rows for frame in row["frames"]]
    stills = {row["image_id"]: row for row in project.rows("distinct_frames") if row["kept"]}
    stills |= {row["image_id"]: row for row in project.rows("panoramas") if row["verdict"] == "keep"}
    assert {frame["image_id"] for frame in frames} == stills.keys()
    openings = [[frame for frame in row["frames"] if frame["segment"] == "opening"] for row in rows]
    kept = sum(frame["kept"] for opening in openings for frame in opening)
    assert kept <= 1.2 * max(map(len, openings))
    for frame in frames:
        if not frame["kept"]:
            assert frame["group"] in stills
            assert frame["group"] != frame["image_id"]


def test_cuts_are_where_they_were_drawn(watched):
    project, truths = watched
    for episode, truth in truths.items():
        rows = project.store.read("shots", episode).to_pylist()
        found = [round(row["start_s"] * truth.fps) for row in rows[1:]]
        drawn = [shot.first_frame for shot in truth.shots[1:]]
        near = sum(any(abs(frame - other) <= 1 for other in drawn) for frame in found)
        met = sum(any(abs(frame - other) <= 1 for other in found) for frame in drawn)
        assert near >= 0.9 * len(found)
        assert met >= 0.9 * len(drawn)
        assert sum(row["frames"] for row in rows) == truth.frame_count


def test_a_drawn_pan_is_seen_as_one(watched):
    project, truths = watched
    for episode, truth in truths.items():
        pans = [shot for shot in truth.shots if shot.kind == "pan"]
        rows = project.store.read("shots", episode).to_pylist()
        for pan in pans:
            middle_s = (pan.start_s + pan.end_s) / 2
            row = next(row for row in rows if row["start_s"] <= middle_s < row["end_s"])
            assert row["motion"] == "pan"
