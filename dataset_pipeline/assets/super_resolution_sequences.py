"""Frames that follow one another, for trainers of upscalers of video. Nothing here runs by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dataset_pipeline.assets.super_resolution_sets import frames_of_video
from dataset_pipeline.assets.training import left_alone_markdown
from dataset_pipeline.base.ids import show_of
from dataset_pipeline.base.progress import track
from dataset_pipeline.graph.catalog import pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.super_resolution.assembling import told
from dataset_pipeline.super_resolution.held_out_sequences import Parts, looks_of, parted
from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION
from dataset_pipeline.super_resolution.sequence_configs import SequenceFacts, sequence_configs
from dataset_pipeline.super_resolution.sequence_files import sequence_card, sequence_files, unit_of
from dataset_pipeline.super_resolution.sequences import (
    TAKEN,
    FrameRun,
    change_of,
    judged,
    sequences_of,
    signatures_of,
)
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline.training.exporters.folder import File, content_hash, write_folder
from dataset_pipeline.video.color import Conversion

LEFT_ALONE = "left alone"  # the note on a folder that somebody changed
HELD = "nothing_moves"  # what becomes of a stretch of a shot, beside what `judged` says
HELD_OUT, BESIDE = "held_out", "beside_held_out"


@dataclass(frozen=True)
class Found:
    """The sequences of all episodes, the size of their frames, height and width, and how many stretches of shots became
    what."""

    parts: Parts
    size_px: tuple[int, int]
    reasons: dict[str, int]


@pipeline_asset(
    kind=Kind.EXPORT,
    algorithm=3,
    reads=["video_probe", "shots"],
    settings=["super_resolution", "sr_sequences", "sr_set", "keyframes", "video"],
    group="super_resolution",
    labels=["file"],
    on_demand=True,
)
def sr_sequences(step: Step) -> Result:
    """A folder of sequences of frames, each of one shot, with their low-quality ones by `[sr_set]`, under the names
    that the trainers of `[sr_sequences] layout` ask for, and settings for those. Shots in which nothing moves have
    none; left out are sequences with a frame that cannot be decoded, or of another size than most have, as scenes that
    fill a letterboxed frame. What is held out for validation looks like nothing that is trained on. All frames are
    decoded once before any is written.

    A folder that somebody changed is left alone."""
    found, how = _found(step), _low_quality(step)
    trained, held_out = found.parts.trained, found.parts.held_out
    if not trained:
        step.log.warning("no shot has a sequence: no set was written")
        return Result(SCHEMAS["sr_sequences"].empty(), {"sequences": 0, **found.reasons})
    if len(held_out) < (wanted := step.settings.sr_sequences.validation_sequences):
        step.log.warning(f"{len(held_out)} sequences are held out, not {wanted}: all others look like one of those")
    layout, content = step.settings.sr_sequences.layout, _content(step, found.parts, how)
    shows = {show_of(it.episode) for it in (*trained, *held_out)}
    name = f"{min(shows) if len(shows) == 1 else 'set'}-sequences-{layout}-{content[:8]}"
    height, width = (side // unit_of(how.scales) * unit_of(how.scales) for side in found.size_px)
    facts = SequenceFacts(name, layout, len(trained[0].frames), width, height, how.scales, len(held_out))
    folder, _, size_bytes, changed = write_folder(
        step.export_root,
        name,
        lambda partial: _files(step, found.parts, how, facts),
        lambda it: sequence_configs(facts, it.as_posix()),
        lambda it: [],
    )
    counts = {"sequences": len(trained), "validation_sequences": len(held_out)}
    return Result(
        SCHEMAS["sr_sequences"].table([{"name": name, **counts, "content_sha256": content}]),
        {"folder": step.published(folder), **counts, "size_mb": size_bytes / 1e6, **found.reasons},
        notes={LEFT_ALONE: left_alone_markdown(changed)} if changed else {},
    )


def _low_quality(step: Step) -> LowQuality:
    made = step.settings.sr_set
    return LowQuality(tuple(made.scales), made.filter, tuple(made.recipe), made.seed)


def _content(step: Step, parts: Parts, how: LowQuality) -> str:
    """A hash of all that the frames of a set and their names depend on."""
    runs = [[vars(it) for it in its] for its in (parts.trained, parts.held_out)]
    sources = [_pixels_of(step, it) for it in sorted({it.episode for it in (*parts.trained, *parts.held_out)})]
    return content_hash([step.declaration.algorithm, told(how), step.settings.sr_sequences.layout, sources, runs])


def _pixels_of(step: Step, episode: str) -> list[str]:
    """What decides the pixels of an episode's frames."""
    [probe], how = step.rows_of("video_probe", episode), step.settings.keyframes
    return [probe["source_sha256"], str(Conversion.of(probe, how.chroma_upsampling, how.alpha_background))]


def _bars(step: Step, episode: str) -> tuple[float, ...]:
    """Left, top, right and bottom, as shares of an episode's width and height."""
    [probe] = step.rows_of("video_probe", episode)
    how = Conversion.of(probe)
    return tuple(bar / max(side, 1) for bar, side in zip(how.bars_px, how.bars_size_px * 2, strict=True))


def _files(step: Step, parts: Parts, how: LowQuality, facts: SequenceFacts) -> Iterator[File]:
    by_part = {TRAIN: parts.trained, VALIDATION: parts.held_out}
    episodes = {it.episode for its in by_part.values() for it in its}
    pts = {it: [at for row in step.rows_of("shots", it) for at in row["frame_pts"]] for it in episodes}

    def read(run: FrameRun) -> Iterator[np.ndarray]:
        frames = frames_of_video(step, run.episode)([pts[run.episode][number] for number in run.frames])
        yield from (frame for _, frame in frames)

    pictures = (it for split, its in by_part.items() for it in sequence_files(its, facts.layout, read, how, split))
    count = sum(map(len, by_part.values())) * facts.frames * (1 + len(how.scales))
    yield from track(pictures, step.declaration.name, count)
    settings = sequence_configs(facts, "")
    yield File("README.md", sequence_card(by_part, facts.layout, how, settings).encode())
    yield from (File(path, text.encode()) for path, text in settings.items())


def _found(step: Step) -> Found:
    settings, held = step.settings.sr_sequences, 0
    runs: list[FrameRun] = []
    looks: dict[FrameRun, np.ndarray] = {}
    sizes: dict[str, dict[int, tuple[int, ...]]] = {}
    for episode in step.settings.super_resolution.of(step.episodes):
        shots = step.rows_of("shots", episode) if step.pointer("shots", episode) else []
        its = sequences_of(episode, shots, settings.length, most_of_shot=settings.most_of_shot)
        copies = signatures_of(shots)
        moving = [it for it in its if change_of(it, copies) >= settings.min_change]
        held += len(its) - len(moving)
        runs += moving
        bars = _bars(step, episode) if moving else ()
        looks |= {it: looks_of(it, copies, bars) for it in moving}
        sizes[episode] = _sizes(step, episode, [at for row in shots for at in row["frame_pts"]], moving)
    found = judged(runs, sizes)
    parts = parted(found[TAKEN], looks, settings.validation_sequences, step.settings.sr_set.max_likeness)
    height, width = next((sizes[it.episode][it.frames[0]] for it in parts.trained), (0, 0))
    reasons = {HELD: held} | {reason: len(its) for reason, its in found.items()}
    reasons |= {TAKEN: len(parts.trained), HELD_OUT: len(parts.held_out), BESIDE: len(parts.beside)}
    return Found(parts, (height, width), reasons)


def _sizes(step: Step, episode: str, frame_pts: Sequence[int], runs: Sequence[FrameRun]) -> dict[int, tuple[int, ...]]:
    """Height and width of the frames of these sequences, by the frame's number, less those that cannot be decoded."""
    numbers = {frame_pts[number]: number for it in runs for number in it.frames}
    frames = frames_of_video(step, episode)(list(numbers)) if runs else ()
    return {numbers[at]: frame.shape[:2] for at, frame in frames}
