"""Drawn episodes and their truth agree frame by frame."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dataset_pipeline.demo.episodes import (
    DEMO_SHOW,
    TEST_SHOW,
    draw_episode,
    drawing_id,
    load_truth,
    plan_episode,
    with_episodes,
    write_episode,
    write_show,
)
from dataset_pipeline.demo.truth import EpisodeTruth

SHORT_SHOW = replace(
    TEST_SHOW,
    scripts=("opening, talk 1, pan 1, locked 0.6, dark 0.4, ending", "solo 0.5, opening, blur 0.5, zoom 0.4, ending"),
    opening_s=0.7,
    ending_s=0.3,
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[EpisodeTruth]]:
    videos = write_show(tmp_path_factory.mktemp("show") / "episodes", SHORT_SHOW, workers=1)
    return videos, [load_truth(video.parent.parent / "truth" / f"{video.stem}.json") for video in videos]


@pytest.fixture(scope="module")
def frames(drawn: tuple[list[Path], list[EpisodeTruth]]) -> list[list[np.ndarray]]:
    return [decoded(video) for video in drawn[0]]


def decoded(video: Path) -> list[np.ndarray]:
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * float(np.log10(255**2 / max(1e-9, ((a.astype(float) - b.astype(float)) ** 2).mean())))


def read_png(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def test_only_videos_lie_among_the_episodes(drawn: tuple[list[Path], list[EpisodeTruth]]) -> None:
    names = sorted(path.name for path in drawn[0][0].parent.iterdir())
    assert names == ["Tin Robin Days - S01E01 [360p].mp4", "Tin Robin Days - S01E02 [360p].mp4"]


def test_truth_and_video_agree_on_frames_shots_and_exposures(
    drawn: tuple[list[Path], list[EpisodeTruth]], frames: list[list[np.ndarray]]
) -> None:
    for truth, pictures in zip(drawn[1], frames, strict=True):
        assert truth.frame_count == len(pictures)
        assert pictures[0].shape == (360, 640, 3)
        for runs in (truth.shots, truth.exposures):
            assert runs[0].first_frame == 0
            assert runs[-1].last_frame == truth.frame_count - 1
            for before, after in pairwise(runs):
                assert after.first_frame == before.last_frame + 1
        for shot in truth.shots:
            assert truth.shot_at(shot.first_frame) == truth.shot_at(shot.last_frame) == shot
            assert shot.end_s == pytest.approx((shot.last_frame + 1) / 24)
        with pytest.raises(IndexError, match="frames 0 to"):
            truth.drawing_at(truth.frame_count)


def test_the_video_shows_the_drawings_and_is_marked_bt709(
    drawn: tuple[list[Path], list[EpisodeTruth]], frames: list[list[np.ndarray]]
) -> None:
    with av.open(str(drawn[0][0])) as container:
        context = container.streams.video[0].codec_context
        marks = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        assert marks == (1, 1, 1, 1)
        first = next(container.decode(video=0))
        picture = first.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
    shot, _, cels = next(draw_episode(SHORT_SHOW, 1))
    assert shot.kind == "opening"
    cel, _ = next(cels)
    assert psnr(picture, cel.image) > 30
    assert drawing_id(cel.image) == drawn[1][0].drawing_at(0).id
    assert np.abs(picture.astype(float).mean((0, 1)) - cel.image.mean((0, 1))).max() < 2


def test_held_frames_show_one_picture(
    drawn: tuple[list[Path], list[EpisodeTruth]], frames: list[list[np.ndarray]]
) -> None:
    truth, pictures = drawn[1][0], frames[0]
    held = [exposure for exposure in truth.exposures if exposure.last_frame > exposure.first_frame]
    assert len(held) > 10
    for exposure in held:
        first = pictures[exposure.first_frame]
        for frame in range(exposure.first_frame + 1, exposure.last_frame + 1):
            assert psnr(first, pictures[frame]) > 33
    counts = Counter(e.last_frame - e.first_frame + 1 for e in truth.exposures)
    assert counts[2] > 5
    assert counts[3] > 5


def test_the_opening_and_the_ending_are_the_same_drawings_in_all_episodes_at_different_times() -> None:
    for kind in ("opening", "ending"):
        sheets, starts = [], []
        for number in (1, 2):
            frame, sheet, start = 0, [], None
            for shot, _, cels in draw_episode(SHORT_SHOW, number):
                if shot.kind == kind:
                    start = frame if start is None else start
                    sheet += [(drawing_id(cel.image), held) for cel, held in cels]
                frame += shot.frames
            sheets.append(sheet)
            starts.append(start)
        assert sheets[0] == sheets[1]
        assert len(sheets[0]) > 2
        assert starts[0] != starts[1]


def test_a_pan_frame_is_the_recorded_piece_of_the_canvas(
    drawn: tuple[list[Path], list[EpisodeTruth]], frames: list[list[np.ndarray]]
) -> None:
    truth = drawn[1][0]
    (shot,) = (shot for shot in truth.shots if shot.kind == "pan")
    assert shot.canvas_file is not None
    canvas = read_png(drawn[0][0].parent.parent / "truth" / shot.canvas_file)
    assert canvas.shape == (360, 1280, 3)
    offsets = []
    for frame in range(shot.first_frame, shot.last_frame + 1):
        offset = truth.drawing_at(frame).pan_x_px
        assert offset is not None
        offsets.append(offset)
        if frame % 5 == 0:
            assert psnr(frames[0][frame], canvas[:, int(offset) : int(offset) + 640]) > 27
    assert {min(offsets), max(offsets)} == {0, 640}


def test_the_clean_plate_is_the_locked_shot_without_its_people(
    drawn: tuple[list[Path], list[EpisodeTruth]], frames: list[list[np.ndarray]]
) -> None:
    truth = drawn[1][0]
    (shot,) = (shot for shot in truth.shots if shot.kind == "locked")
    assert shot.plate_file is not None
    plate = read_png(drawn[0][0].parent.parent / "truth" / shot.plate_file)
    walked = 0
    for frame in range(shot.first_frame, shot.last_frame + 1):
        outside = np.ones(plate.shape[:2], bool)
        for person in truth.drawing_at(frame).people:
            x0, y0, x1, y1 = (round(v) for v in person.person)
            outside[max(0, y0 - 6) : y1 + 6, max(0, x0 - 6) : x1 + 6] = False
            walked += 1
        assert psnr(frames[0][frame][outside], plate[outside]) > 27
    assert walked > 10


def test_effects_are_written_down(drawn: tuple[list[Path], list[EpisodeTruth]]) -> None:
    def drawings(number: int, kind: str) -> list:
        truth = drawn[1][number - 1]
        return [truth.drawing_at(shot.first_frame) for shot in truth.shots if shot.kind == kind]

    assert all(0.5 < drawing.darkness < 0.8 for drawing in drawings(1, "dark"))
    assert all(drawing.blur_sigma_px > 1 for drawing in drawings(2, "blur"))
    assert all(drawing.zoom == pytest.approx(2 / 3) for drawing in drawings(2, "zoom"))


def test_an_episode_has_the_same_bytes_on_every_run_and_in_every_process(tmp_path: Path) -> None:
    show = replace(SHORT_SHOW, scripts=("talk 0.5, pair 0.4", "dark 0.4"))
    alone = write_show(tmp_path / "a" / "episodes", show, workers=1)
    counted: list[tuple[int, int]] = []
    spread = write_show(tmp_path / "b" / "episodes", show, lambda done, of: counted.append((done, of)), workers=2)
    assert [video.read_bytes() for video in alone] == [video.read_bytes() for video in spread]
    assert counted == [(1, 2), (2, 2)]
    for name in ("a", "b"):
        assert len(list((tmp_path / name / "truth").glob("*.json"))) == 2


def test_plans_hold_what_the_shows_promise() -> None:
    for show, shortest_s, fewest, most in ((DEMO_SHOW, 45, 16, 40), (TEST_SHOW, 12, 12, 16)):
        for number in (1, 2, 3):
            shots = plan_episode(show, number)
            assert sum(shot.frames for shot in shots) / show.fps >= shortest_s
            assert fewest <= len(shots) <= most
            kinds = {shot.kind for shot in shots}
            assert {"opening", "ending", "talk", "pan", "locked", "blur", "solo"} <= kinds
            story = [shot for shot in shots if shot.kind not in ("opening", "ending")]
            assert {character for shot in story for character in shot.cast} == set(show.cast)
            alone = {shot.cast[0] for shot in story if len(shot.cast) == 1}
            assert len(alone) >= (5 if show is DEMO_SHOW else 4)
            assert {shot.backdrop_seed for shot in shots} <= set(show.backdrop_seeds)


@pytest.mark.parametrize("episodes", [1, 4, 26])
def test_a_longer_show_begins_like_the_show_and_no_two_episodes_share_a_place(episodes: int) -> None:
    longer = with_episodes(TEST_SHOW, episodes)
    plans = [plan_episode(longer, number) for number in range(1, episodes + 1)]
    assert plans[:3] == [plan_episode(TEST_SHOW, number) for number in (1, 2, 3)][:episodes]
    places = [{shot.backdrop_seed for shot in plan if shot.kind not in ("opening", "ending")} for plan in plans]
    assert all(places)
    assert sum(map(len, places)) == len(set().union(*places))


def test_an_episode_without_places_of_its_own_is_refused_with_the_seeds_it_needs() -> None:
    short = replace(with_episodes(TEST_SHOW, 2), scripts=TEST_SHOW.scripts)
    assert plan_episode(short, 2)
    with pytest.raises(ValueError, match="has 143 backdrop seeds, episode 3 needs the first 187"):
        plan_episode(short, 3)


def test_a_failed_episode_leaves_no_video_behind(tmp_path: Path) -> None:
    show = replace(SHORT_SHOW, scripts=("talk 0.2, juggle 1",))
    with pytest.raises(KeyError, match="juggle"):
        write_episode(tmp_path, tmp_path, show, 1)
    assert not list(tmp_path.glob("*.mp4"))


def test_truth_among_the_episodes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder of its own"):
        write_show(tmp_path, SHORT_SHOW, truth_folder=tmp_path)


def test_a_truth_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"version": 0}')
    with pytest.raises(ValueError, match="version 0"):
        load_truth(path)
