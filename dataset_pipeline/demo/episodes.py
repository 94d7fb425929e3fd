"""Episodes of made-up shows: planned from a seed, drawn, encoded, and written down beside the videos."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.base.paths import replace, write_whole
from dataset_pipeline.demo.backdrops import DEMO_BACKDROP_SEEDS, KINDS, TEST_BACKDROP_SEEDS
from dataset_pipeline.demo.characters import DEMO_CAST, TEST_CAST, Character, random_character
from dataset_pipeline.demo.hard_shots import ALL_SHOTS
from dataset_pipeline.demo.staging import Cel, Stage, held_cels
from dataset_pipeline.demo.truth import (
    Drawing,
    EpisodeTruth,
    Exposure,
    ShotTruth,
    load_truth,
    save_truth,
)

__all__ = [
    "DEMO_SHOW",
    "TEST_SHOW",
    "EpisodeTruth",
    "ShowPlan",
    "draw_episode",
    "load_truth",
    "plan_episode",
    "with_episodes",
    "write_show",
]


@dataclass(frozen=True)
class ShowPlan:
    """A show. A script line is `kind seconds` of each shot in turn; `opening` and `ending` stand where they come.

    Somebody with several outfits stands in the cast once for each. `stranger` draws those who only pass by.
    """

    title: str
    cast: tuple[Character, ...]
    seed: int
    size: tuple[int, int]
    backdrop_seeds: range
    scripts: tuple[str, ...]  # one for each episode
    opening_s: float
    opening_entrances: int  # how many of the cast are introduced one by one
    ending_s: float
    gop_frames: int
    fps: int = 24
    stranger: Callable[[random.Random, str], Character] = random_character

    def file_stem(self, number: int) -> str:
        return f"{self.title} - S01E{number:02d} [{self.size[1]}p]"


@dataclass(frozen=True)
class Shot:
    """One planned shot; `kind` is what the truth calls it, `staging` how it is drawn."""

    kind: str
    staging: str
    frames: int
    seed: int
    backdrop_seed: int
    cast: tuple[Character, ...]


DEMO_SHOW = ShowPlan(
    title="Paper Comet Club",
    cast=DEMO_CAST,
    seed=11,
    size=(1280, 720),
    backdrop_seeds=DEMO_BACKDROP_SEEDS,
    scripts=(
        "opening, establish 1.5, talk 4.5, pair 3, solo 2, talk 3.5, pan 5, trio 2.5, dark 2.5, blur 1.5, talk 3, "
        "locked 4.5, focus 1.5, walk 2, group 2.5, whip 1.5, zoom 2.5, pair 2, ending",
        "talk 3.5, walk 2, pair 2.5, opening, establish 1.5, trio 2.5, solo 2, talk 4.5, locked 4.5, dark 2.5, talk 3, "
        "whip 1.5, pair 2, pan 5, blur 1.5, group 2.5, focus 1.5, zoom 2.5, ending",
        "establish 1.5, solo 2, opening, pair 3, talk 4, pan 5, walk 2, focus 1.5, trio 2.5, talk 3, dark 2.5, "
        "locked 4.5, blur 1.5, talk 4.5, zoom 2.5, group 2.5, whip 1.5, pair 2, ending",
    ),
    opening_s=5.0,
    opening_entrances=5,
    ending_s=4.0,
    gop_frames=48,
)
TEST_SHOW = ShowPlan(
    title="Tin Robin Days",
    cast=TEST_CAST,
    seed=23,
    size=(640, 360),
    backdrop_seeds=TEST_BACKDROP_SEEDS,
    scripts=(
        "opening, talk 2, pair 1, solo 0.8, pan 2, dark 0.8, locked 2, blur 0.7, trio 1, focus 0.8, whip 0.7, ending",
        "solo 1, talk 1.6, opening, pair 1, locked 2, talk 0.8, dark 0.8, pan 2, group 1, blur 0.7, focus 0.8, ending",
        "establish 1, opening, talk 2, trio 1, pan 2, whip 0.7, walk 1, blur 0.7, locked 2, dark 0.8, solo 1, ending",
    ),
    opening_s=1.9,
    opening_entrances=2,
    ending_s=1.0,
    gop_frames=12,
)


def plan_episode(show: ShowPlan, number: int) -> tuple[Shot, ...]:
    """The shots of episode `number` (from 1). Everybody in the cast gets a turn alone before anybody gets a second."""
    if not 1 <= number <= len(show.scripts):
        raise ValueError(f"{show.title!r} has episodes 1 to {len(show.scripts)}, asked for {number}")
    rng = random.Random(show.seed * 1009 + number)
    block = _places_of(show, number)
    places = [rng.choice(block[kind :: len(KINDS)]) for kind in rng.sample(range(len(KINDS)), len(KINDS))]
    turns = dict.fromkeys(show.cast, 0.0)
    shots: list[Shot] = []
    scene, stayed = 0, 0
    for line in show.scripts[number - 1].split(","):
        kind, *seconds = line.split()
        if kind == "opening":
            shots += _opening(show)
            continue
        if kind == "ending":
            shots.append(_shared(show, "ending", "credits_roll", show.ending_s, 90, show.cast))
            continue
        wanted = ALL_SHOTS[kind][1]
        cast = _next_in_turn(rng, turns, len(show.cast) if wanted is None else wanted, alone=wanted == 1)
        # A scene stays in one place for at most three shots; moves and clean plates begin a new one.
        stayed += 1
        if kind in ("pan", "locked", "zoom", "establish") or stayed > 2 or rng.random() < 0.4:
            scene, stayed = scene + 1, 0
        seed = show.seed * 1_000_003 + number * 1009 + len(shots)
        frames = round(float(seconds[0]) * show.fps)
        shots.append(Shot(kind, kind, frames, seed, places[scene % len(places)], cast))
    return tuple(shots)


def _places_of(show: ShowPlan, number: int) -> range:
    """Seeds of the places of episode `number`. Openings own the first place of every kind; an episode four of each."""
    first = len(KINDS) * (1 + 4 * number)
    block = show.backdrop_seeds[first : first + 4 * len(KINDS)]
    if len(block) < 4 * len(KINDS):
        raise ValueError(
            f"{show.title!r} has {len(show.backdrop_seeds)} backdrop seeds, episode {number} needs the first "
            f"{first + 4 * len(KINDS)}: give the show more, as `with_episodes` does"
        )
    return block


def with_episodes(show: ShowPlan, episodes: int) -> ShowPlan:
    """The same show with that many episodes: its scripts over and over, in places of their own."""
    seeds = range(show.backdrop_seeds.start, show.backdrop_seeds.start + len(KINDS) * (5 + 4 * episodes))
    scripts = tuple(show.scripts[it % len(show.scripts)] for it in range(episodes))
    return dataclasses.replace(show, scripts=scripts, backdrop_seeds=seeds)


def _next_in_turn(rng: random.Random, turns: dict[Character, float], count: int, alone: bool) -> tuple[Character, ...]:
    """The people of a shot: those who had the fewest turns, nobody in two outfits; their turns are then counted."""
    waiting: dict[str, Character] = {}
    for character in sorted(turns, key=lambda character: (turns[character], rng.random())):
        waiting.setdefault(character.name, character)
    cast = tuple(rng.sample(list(waiting.values())[:count], count))
    for character in cast:
        turns[character] += 1.0 if alone else 0.01
    return cast


def _shared(show: ShowPlan, kind: str, staging: str, seconds: float, part: int, cast: tuple[Character, ...]) -> Shot:
    """A shot that is the same in every episode: nothing in it depends on the episode's number."""
    place = show.backdrop_seeds[part % len(KINDS)]
    return Shot(kind, staging, round(seconds * show.fps), show.seed * 7907 + part, place, cast)


def _opening(show: ShowPlan) -> list[Shot]:
    each = show.opening_s / (show.opening_entrances + 5)
    shots = [_shared(show, "opening", "title_card", 2.5 * each, 2, ())]
    for k, character in enumerate(show.cast[: show.opening_entrances]):
        shots.append(_shared(show, "opening", "entrance", each, 3 + k, (character,)))
    shots.append(_shared(show, "opening", "line_up_card", 2.5 * each, 15, show.cast))
    return shots


def draw_episode(show: ShowPlan, number: int) -> Iterator[tuple[Shot, Stage, Iterator[tuple[Cel, int]]]]:
    """The shots of an episode with their cels and the frames each is held; take all cels before the next shot."""
    for shot in plan_episode(show, number):
        stage = Stage(show.size, shot.frames, shot.seed, shot.backdrop_seed, shot.cast, show.title, show.stranger)
        yield shot, stage, held_cels(shot.staging, stage, ALL_SHOTS)


def drawing_id(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


def write_episode(folder: Path, truth_folder: Path, show: ShowPlan, number: int) -> Path:
    """Draw and encode one episode and write its truth. The video appears whole, under its last name only."""
    stem = show.file_stem(number)
    video, part = folder / f"{stem}.mp4", folder / f".{stem}.part"
    shots: list[ShotTruth] = []
    exposures: list[Exposure] = []
    drawings: dict[str, Drawing] = {}
    frame = 0
    with _Encoder(part, show) as encoder:
        for shot, stage, cels in draw_episode(show, number):
            first = frame
            known: dict[Cel, tuple[str, av.VideoFrame]] = {}
            for cel, held in cels:
                if cel not in known:
                    known[cel] = drawing_id(cel.image), encoder.picture(cel.image)
                key, picture = known[cel]
                drawings.setdefault(key, _drawing(key, cel))
                encoder.hold(picture, held)
                exposures.append(Exposure(frame, frame + held - 1, key))
                frame += held
            canvas_file, plate_file = (
                _write_picture(truth_folder, f"{stem}.shot{len(shots):02d}.{name}.png", picture)
                for name, picture in (("canvas", stage.canvas), ("plate", stage.plate))
            )
            shots.append(
                ShotTruth(
                    index=len(shots),
                    kind=shot.kind,
                    first_frame=first,
                    last_frame=frame - 1,
                    start_s=first / show.fps,
                    end_s=frame / show.fps,
                    backdrop_seed=None if shot.staging == "entrance" else shot.backdrop_seed,
                    canvas_file=canvas_file,
                    plate_file=plate_file,
                )
            )
    truth = EpisodeTruth(
        show=show.title,
        number=number,
        file=video.name,
        fps=show.fps,
        frame_count=frame,
        size=show.size,
        cast=show.cast,
        shots=tuple(shots),
        exposures=tuple(exposures),
        drawings=drawings,
    )
    save_truth(truth_folder / f"{stem}.json", truth)
    replace(part, video)
    return video


def write_show(
    folder: Path,
    show: ShowPlan = DEMO_SHOW,
    progress: Callable[[int, int], None] | None = None,
    truth_folder: Path | None = None,
    workers: int | None = None,
) -> list[Path]:
    """Draw all episodes of a show into `folder`, and their truth into `truth_folder`, by default `truth` beside it.

    Episodes are drawn in processes of their own, one more than there are cores unless `workers` says otherwise, so
    that three episodes keep two cores busy to the end; their bytes do not depend on that. `progress` is told how many
    episodes of how many are done.
    """
    truth_folder = truth_folder or folder.parent / "truth"
    if truth_folder.resolve() == folder.resolve():
        raise ValueError(f"the truth needs a folder of its own, not that of the episodes: {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    truth_folder.mkdir(parents=True, exist_ok=True)
    numbers = range(1, len(show.scripts) + 1)
    workers = min(len(numbers), workers or usable_cores() + 1)
    if workers == 1:
        written = []
        for number in numbers:
            written.append(write_episode(folder, truth_folder, show, number))
            if progress:
                progress(number, len(numbers))
        return written
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
        jobs = [pool.submit(write_episode, folder, truth_folder, show, number) for number in numbers]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            if progress:
                progress(done, len(jobs))
    return [job.result() for job in jobs]


def _drawing(key: str, cel: Cel) -> Drawing:
    return Drawing(
        id=key,
        people=cel.people,
        blur_sigma_px=cel.blur_sigma_px,
        motion_blur_px=cel.motion_blur_px,
        darkness=cel.darkness,
        pan_x_px=cel.pan_x_px,
        pan_y_px=cel.pan_y_px,
        zoom=cel.zoom,
    )


def _write_picture(folder: Path, name: str, picture: np.ndarray | None) -> str | None:
    """Write a picture as PNG and return its name; None if there is no picture."""
    if picture is None:
        return None
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise OSError(f"could not encode {folder / name}")
    write_whole(folder / name, data.tobytes())
    return name


class _Encoder:
    """H.264 in MP4, BT.709 limited range; one thread, so that the bytes are the same on every run."""

    def __init__(self, path: Path, show: ShowPlan) -> None:
        self.container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        options = {"crf": "20", "preset": "superfast", "threads": "1", "g": str(show.gop_frames)}
        self.stream = self.container.add_stream("libx264", rate=show.fps, options=options)
        self.stream.width, self.stream.height = show.size
        self.stream.pix_fmt = "yuv420p"
        self.stream.time_base = Fraction(1, show.fps)
        context = self.stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
        context.color_range = 1  # limited
        self.fps = show.fps
        self.frame = 0

    def picture(self, image: np.ndarray) -> av.VideoFrame:
        """An H x W x 3 RGB picture as the encoder takes it."""
        rgb = av.VideoFrame.from_ndarray(image, format="rgb24")
        return rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)

    def hold(self, picture: av.VideoFrame, frames: int) -> None:
        """Show a picture for some frames."""
        picture.time_base = Fraction(1, self.fps)
        for _ in range(frames):
            picture.pts = self.frame
            self.container.mux(self.stream.encode(picture))
            self.frame += 1

    def __enter__(self) -> _Encoder:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            self.container.mux(self.stream.encode(None))
        self.container.close()
