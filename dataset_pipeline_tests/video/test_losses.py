"""Holes in time lines, and what counts as damage of a packet."""

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

from dataset_pipeline.video.losses import Gaps, damage_of

MS = Fraction(1, 1000)


def packet(
    pts: int | None, duration: int = 40, dts: int | None = None, key: bool = False, corrupt: bool = False
) -> Any:
    return SimpleNamespace(
        pts=pts, dts=pts if dts is None else dts, duration=duration, is_keyframe=key, is_corrupt=corrupt
    )


def holes(*stamps_ms: int, duration: int = 40) -> tuple[list[int], list[str]]:
    """The timestamps before which there is a hole, and what is said of it."""
    gaps = Gaps(MS)
    return [stamp for stamp in stamps_ms if gaps.before(packet(stamp, duration))], gaps.found


STEADY = tuple(range(0, 2000, 40))


def test_a_second_that_is_missing_in_a_steady_stream_is_a_hole():
    assert holes(*STEADY, 3000, 3040) == ([3000], ["no frames from 2.0 s to 3.0 s"])


def test_of_many_holes_the_first_are_named_and_the_others_counted():
    at, said = holes(*(stretch * 10_000 + stamp for stretch in range(9) for stamp in STEADY))
    assert len(at) == 8
    assert said[0] == "no frames from 2.0 s to 10.0 s"
    assert said[5:] == ["3 more stretches without frames"]


def test_a_few_dropped_frames_are_no_hole():
    assert holes(*STEADY, 2400, 2440) == ([], [])


def test_pictures_that_last_as_long_as_they_say_leave_no_hole():
    gaps = Gaps(MS)
    for stamp in STEADY[:-1]:
        gaps.before(packet(stamp))
    assert not gaps.before(packet(STEADY[-1], duration=3000))
    assert not gaps.before(packet(STEADY[-1] + 3000))


def test_streams_that_say_no_durations_have_no_holes():
    assert holes(*STEADY, 9000, duration=0) == ([], [])


def test_a_stream_of_long_and_short_steps_has_no_holes():
    slides = (0, 40, 900, 940, 1900, 1940, 2900, 2940, 3900, 3940, 5900, 5940)
    assert holes(*slides) == ([], [])


def test_pictures_out_of_order_are_no_hole():
    in_decoding_order = [stamp for start in range(0, 4000, 160) for stamp in (start + 160, start + 80, start + 40)]
    assert holes(*in_decoding_order)[0] == []


def test_a_recording_that_starts_over_goes_on_from_there():
    assert holes(*range(0, 8000, 40), *STEADY, 3000) == ([3000], ["no frames from 2.0 s to 3.0 s"])


def test_the_packet_before_a_hole_is_suspect_and_what_follows_it_leans_on_what_is_missing():
    assert damage_of([(packet(0), False), (packet(900), True)]) == "own"
    assert damage_of([(packet(900), True), (packet(940), False)]) == "spreads"
    assert damage_of([(packet(900, key=True), True), (packet(940), False)]) == "none"
    assert damage_of([(packet(0), False), (packet(40), False)]) == "none"


def test_a_packet_that_its_container_calls_damaged_is_so_unless_recordings_were_joined_there():
    assert damage_of([(packet(7000, corrupt=True), False), (packet(7040), False)]) == "spreads"
    assert damage_of([(packet(7000, corrupt=True), False), (packet(7040), False), (packet(0), False)]) == "none"
