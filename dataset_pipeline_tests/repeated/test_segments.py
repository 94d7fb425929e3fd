"""Episodes of a small drawn show: every shot moves, every episode is sampled at its own phase and coded with noise."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from dataset_pipeline.demo.backdrops import draw_backdrop
from dataset_pipeline.repeated.copies import decide_repeated
from dataset_pipeline.repeated.runs import find_runs
from dataset_pipeline.repeated.segments import Segment, segments
from dataset_pipeline.repeated.tracks import Track, fingerprints, track_of_fingerprints

FRAME_RATE = 4.0
WIDTH, HEIGHT = 64, 36
OPENING, ENDING, EYECATCH = range(10_000, 10_012), range(20_000, 20_008), range(30_000, 30_003)
EPISODE_S = 110.0


@dataclass(frozen=True)
class Shot:
    seed: int
    duration_s: float
    skipped_s: float = 0.0  # from the shot's own beginning, where only a part of it is shown
    held: bool = False  # as a still picture


@functools.cache
def place(seed: int) -> np.ndarray:
    return draw_backdrop(seed, (2 * WIDTH, HEIGHT))


@functools.cache
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(-3, 4, (64, HEIGHT, WIDTH, 3), dtype=np.int16)


def picture(shot: Shot, time_s: float) -> np.ndarray:
    """A pan to one side, to the other or none, with somebody walking through."""
    time_s = shot.skipped_s + (0.0 if shot.held else time_s)
    x = (0, 16 + 3 * time_s, 32 - 3 * time_s)[shot.seed % 3]
    drawn = place(shot.seed)[:, round(x) : round(x) + WIDTH].copy()
    walked = round(8 + 5 * time_s) % (WIDTH - 8)
    drawn[14:, walked : walked + 7] = (40 + 37 * shot.seed % 180, 30, 200 - 29 * shot.seed % 150)
    return drawn


@dataclass(frozen=True)
class Drawn:
    name: str
    shots: tuple[Shot, ...]
    phase_s: float

    @property
    def duration_s(self) -> float:
        return sum(shot.duration_s for shot in self.shots)

    def frames(self, rate: float = FRAME_RATE) -> Iterator[tuple[float, np.ndarray]]:
        begin_s = 0.0
        starts = []
        for shot in self.shots:
            starts.append(begin_s)
            begin_s += shot.duration_s
        for number in range(int(begin_s * rate) - 1):
            time_s = self.phase_s + number / rate
            at = int(np.searchsorted(starts, time_s, side="right")) - 1
            coded = picture(self.shots[at], time_s - starts[at]) + noise()[(number * 7 + len(self.name)) % 64]
            yield time_s, coded.clip(0, 255).astype(np.uint8)

    def track(self, chapters: tuple[dict, ...] = ()) -> Track:
        return track_of_fingerprints(self.name, fingerprints(self.frames()), self.duration_s, chapters)

    def where(self, seeds: range) -> tuple[float, float]:
        begin_s, inside = 0.0, []
        for shot in self.shots:
            if shot.seed in seeds:
                inside += [begin_s, begin_s + shot.duration_s]
            begin_s += shot.duration_s
        return min(inside), max(inside)


def story(number: int, part: int, length_s: float) -> list[Shot]:
    """Shots that no other episode has."""
    rng = np.random.default_rng([number, part])
    shots: list[Shot] = []
    while length_s > 0:
        duration_s = min(length_s, round(float(rng.uniform(1.5, 4.0)), 2))
        shots.append(Shot(100_000 + 1000 * number + 100 * part + len(shots), duration_s))
        length_s -= duration_s
    return shots


def theme(seeds: range, length_s: float) -> list[Shot]:
    shares = np.random.default_rng(seeds.start).uniform(0.5, 1.5, len(seeds))
    return [Shot(seed, float(share)) for seed, share in zip(seeds, shares / shares.sum() * length_s, strict=True)]


@functools.cache
def episode(number: int, recap: bool = False) -> Drawn:
    """Before the opening stand some seconds of story, others in each episode; a recap shows three shots of before."""
    cold_open_s = 3.0 + 2.7 * (number * 5 % 7)
    shots: list[Shot] = []
    if recap:
        before = episode(number - 1).shots
        told = [shot for shot in before if shot.seed >= 100_000 and shot.duration_s > 2][-9::3]
        shots += [Shot(shot.seed, 2.0, skipped_s=0.4) for shot in told]
    shots += story(number, 0, cold_open_s)
    shots += theme(OPENING, 24.0)
    shots += story(number, 1, 24.0)
    shots += theme(EYECATCH, 4.0)
    shots += story(number, 2, EPISODE_S - 24 - 24 - 4 - 20 - 5 - cold_open_s)
    shots += theme(ENDING, 20.0)
    shots += story(number, 3, 5.0)
    return Drawn(f"show.e{number:02d}", tuple(shots), phase_s=0.013 + 0.06 * (number * 3 % 4))


@functools.cache
def tracked(number: int, recap: bool = False) -> Track:
    return episode(number, recap).track()


def truth(drawn: Drawn) -> list[tuple[str, float, float]]:
    return [
        (kind, *drawn.where(seeds))
        for kind, seeds in (("opening", OPENING), ("eyecatch", EYECATCH), ("ending", ENDING))
    ]


def assert_found(found: list[Segment], drawn: Drawn, expected: list[tuple[str, float, float]]) -> None:
    own = [segment for segment in found if segment.episode == drawn.name]
    assert [segment.kind for segment in own] == [kind for kind, *_ in expected]
    for segment, (_, start_s, end_s) in zip(own, expected, strict=True):
        assert (segment.start_s, segment.end_s) == (pytest.approx(start_s, abs=0.5), pytest.approx(end_s, abs=0.5))


@pytest.mark.parametrize("count", [2, 5])
def test_a_shifted_opening_an_eyecatch_and_an_ending_are_found_within_half_a_second(count: int):
    tracks = [tracked(number) for number in range(1, count + 1)]
    found = segments(tracks, find_runs(tracks))
    for number in range(1, count + 1):
        assert_found(found, episode(number), truth(episode(number)))
    assert found[0].matched == tuple(track.episode for track in tracks[1:])
    assert {segment.found for segment in found} == {"frames"}


def test_a_recap_of_several_shots_is_found_in_the_later_episode_only():
    drawn = [episode(1), episode(2), episode(3, recap=True)]
    tracks = [one.track() for one in drawn]
    found = segments(tracks, find_runs(tracks))
    for one in drawn[:2]:
        assert_found(found, one, truth(one))
    assert_found(found, drawn[2], [("recap", 0.0, 6.0), *truth(drawn[2])])
    assert next(segment for segment in found if segment.kind == "recap").matched == ("show.e02",)


def test_episodes_that_share_nothing_have_no_segments():
    tracks = [Drawn(f"other.e{n}", tuple(story(50 + n, 0, 60.0)), 0.01 * n).track() for n in range(4)]
    assert segments(tracks, find_runs(tracks)) == []


def test_one_held_picture_in_two_episodes_is_no_segment():
    card = [Shot(90_000, 6.0, held=True)]
    tracks = [
        Drawn(f"other.e{n}", (*story(60 + n, 0, 20.0), *card, *story(60 + n, 1, 20.0)), 0.01 * n).track()
        for n in range(3)
    ]
    assert segments(tracks, find_runs(tracks)) == []


def test_chapter_names_say_the_kind_and_frames_the_borders():
    opening_s, ending_s = episode(1).where(OPENING), episode(1).where(ENDING)
    chapters = (
        {"start_s": 0.0, "end_s": opening_s[0], "title": "Prologue"},
        {"start_s": opening_s[0] - 0.9, "end_s": opening_s[1] + 0.4, "title": "Ending"},  # a wrong name is believed
        {"start_s": ending_s[1], "end_s": EPISODE_S, "title": "Next Episode Preview"},
    )
    tracks = [episode(1).track(chapters), tracked(2)]
    found = [segment for segment in segments(tracks, find_runs(tracks)) if segment.episode == "show.e01"]
    assert [(segment.kind, segment.found) for segment in found] == [
        ("ending", "chapter+frames"),
        ("eyecatch", "frames"),
        ("ending", "frames"),
        ("preview", "chapter"),
    ]
    assert found[0].start_s == pytest.approx(opening_s[0], abs=0.5)
    assert (found[3].start_s, found[3].end_s) == (ending_s[1], EPISODE_S)


def embedded(image: np.ndarray) -> np.ndarray:
    """What stands for an embedder: a coarse picture, 9 x 16 in colour, of length 1."""
    coarse = image.reshape(9, HEIGHT // 9, 16, WIDTH // 16, 3).mean(axis=(1, 3)).ravel().astype(np.float32)
    coarse -= coarse.mean()
    return coarse / np.linalg.norm(coarse)


@functools.cache
def candidates(number: int) -> tuple[list[dict], np.ndarray]:
    """An I frame at most every 1.5 s, at a phase of the episode's own, and at most cuts."""
    drawn = episode(number)
    rng = np.random.default_rng(number)
    rows, vectors, due, cut = [], [], 0.0, None
    ends = np.cumsum([shot.duration_s for shot in drawn.shots])
    for time_s, image in drawn.frames():
        shot = int(np.searchsorted(ends, time_s, side="right"))
        if time_s < due and (shot == cut or rng.random() < 0.1):
            cut = shot
            continue
        due, cut = time_s + 1.5, shot
        image_id = f"{drawn.name}/{round(time_s * 1000):08d}"
        sharp = 100.0 * 1.2 ** float(rng.uniform(-1, 1))
        rows.append({"image_id": image_id, "episode": drawn.name, "pts_s": time_s, "sharpness": sharp})
        vectors.append(embedded(image))
    return rows, np.array(vectors)


def joined(numbers: range, earlier: frozenset[str] = frozenset(), **changed: float) -> tuple[list[dict], list[Segment]]:
    """Decisions over episodes; changed: image id -> sharpness."""
    tracks = [tracked(number) for number in numbers]
    runs = find_runs(tracks)
    found = segments(tracks, runs)
    rows = [
        row | {"sharpness": changed.get(row["image_id"], row["sharpness"])} for n in numbers for row in candidates(n)[0]
    ]
    vectors = np.concatenate([candidates(number)[1] for number in numbers])
    decisions = decide_repeated(
        rows, vectors, runs, found, similarity=0.97, aligned_similarity=0.85, limits={}, earlier_choice=earlier
    )
    return decisions, found


def kept(decisions: list[dict]) -> frozenset[str]:
    return frozenset(row["image_id"] for row in decisions if row["kept"])


def test_twelve_episodes_keep_one_copy_of_what_they_share_and_a_thirteenth_changes_no_choice():
    decisions, found = joined(range(1, 13))
    for number in range(1, 13):
        assert_found(found, episode(number), truth(episode(number)))
    themes = [row for row in decisions if row["segment"] in ("opening", "ending")]
    stories = [row for row in decisions if row["segment"] == ""]
    true_themes = {
        row["image_id"]
        for number in range(1, 13)
        for row in candidates(number)[0]
        for seeds in (OPENING, ENDING)
        if episode(number).where(seeds)[0] <= row["pts_s"] < episode(number).where(seeds)[1]
    }
    assert len(true_themes & {row["image_id"] for row in themes}) >= 0.95 * len(true_themes)
    one_episode = len(true_themes) / 12
    assert sum(row["kept"] for row in themes) <= 1.6 * one_episode
    assert sum(row["kept"] for row in stories) >= 0.97 * len(stories)

    later, _ = joined(range(1, 14), earlier=kept(decisions))
    assert kept(decisions) <= kept(later)
    assert (
        not {row["image_id"] for row in later if row["kept"]}
        - kept(decisions)
        - {row["image_id"] for row in candidates(13)[0]}
    )
    new_themes = [row for row in later if row["episode"] == "show.e13" and row["segment"] in ("opening", "ending")]
    assert sum(row["kept"] for row in new_themes) <= 0.2 * len(new_themes)


def test_an_earlier_choice_gives_way_only_to_a_clearly_better_copy():
    decisions, _ = joined(range(1, 3))
    dropped = next(
        row for row in decisions if not row["kept"] and row["segment"] == "opening" and row["similarity"] > 0.975
    )
    chosen = next(row for n in (1, 2) for row in candidates(n)[0] if row["image_id"] == dropped["group"])
    slightly, _ = joined(range(1, 3), kept(decisions), **{dropped["image_id"]: 1.4 * chosen["sharpness"]})
    clearly, _ = joined(range(1, 3), kept(decisions), **{dropped["image_id"]: 2.0 * chosen["sharpness"]})
    assert dropped["group"] in kept(slightly)
    assert dropped["image_id"] not in kept(slightly)
    assert dropped["image_id"] in kept(clearly)
    assert dropped["group"] not in kept(clearly)


def test_deciding_again_with_its_own_choice_changes_nothing():
    decisions, _ = joined(range(1, 4))
    again, _ = joined(range(1, 4), kept(decisions))
    assert kept(again) == kept(decisions)


def test_episodes_without_fingerprints_or_of_flat_frames_match_nothing():
    empty = track_of_fingerprints("show.a", fingerprints([]), 0.0)
    flat = track_of_fingerprints(
        "show.b", fingerprints((n / 4, np.full((36, 64), 80, np.uint8)) for n in range(400)), 100.0
    )
    assert find_runs([empty, flat, tracked(1)]) == []
    assert find_runs([]) == []
