"""Frames that follow one another, for trainers of upscalers of video. Nothing here runs by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

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
from dataset_pipeline.super_resolution.sequence_files import sequence_card, sequence_files
from dataset_pipeline.super_resolution.sequences import TAKEN, FrameRun, change_of, judged, sequences_of
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline.training.exporters.folder import File, content_hash, write_folder
from dataset_pipeline.video.color import Conversion

LEFT_ALONE = "left alone"  # the note on a folder that somebody changed
HELD = "nothing_moves"  # what becomes of a stretch of a shot, beside what `judged` says


@pipeline_asset(
    kind=Kind.EXPORT,
    algorithm=2,
    reads=["video_probe", "shots"],
    settings=["super_resolution", "sr_sequences", "sr_set", "keyframes", "video"],
    group="super_resolution",
    labels=["file"],
    on_demand=True,
)
def sr_sequences(step: Step) -> Result:
    """A folder of sequences of frames, each of one shot, with their low-quality ones by `[sr_set]`, under the names
    that the trainers of `[sr_sequences] layout` ask for. Shots in which nothing moves have none; left out are sequences
    with a frame that cannot be decoded, or of another size than most have, as scenes that fill a letterboxed frame.
    All frames are decoded once before any is written.

    A folder that somebody changed is left alone."""
    settings, made = step.settings.sr_sequences, step.settings.sr_set
    how = LowQuality(tuple(made.scales), made.filter, tuple(made.recipe), made.seed)
    found, reasons = _found(step)
    if not found:
        step.log.warning("no shot has a sequence: no set was written")
        return Result(SCHEMAS["sr_sequences"].empty(), {"sequences": 0, **reasons})
    episodes = sorted({it.episode for it in found})
    shows = {show_of(it) for it in episodes}
    sources = [_pixels_of(step, it) for it in episodes]
    facts = [step.declaration.algorithm, told(how), settings.layout, sources, [vars(it) for it in found]]
    content = content_hash(facts)
    pts = {it: [at for row in step.rows_of("shots", it) for at in row["frame_pts"]] for it in episodes}

    def read(run: FrameRun) -> Iterator[np.ndarray]:
        frames = frames_of_video(step, run.episode)([pts[run.episode][number] for number in run.frames])
        yield from (frame for _, frame in frames)

    def files(partial: Path) -> Iterator[File]:
        pictures = sequence_files(found, settings.layout, read, how)
        yield from track(pictures, step.declaration.name, len(found) * settings.length * (1 + len(how.scales)))
        yield File("README.md", sequence_card(found, settings.layout, how).encode())

    name = f"{min(shows) if len(shows) == 1 else 'set'}-sequences-{settings.layout}-{content[:8]}"
    folder, _, size_bytes, changed = write_folder(step.export_root, name, files, lambda it: {}, lambda it: [])
    return Result(
        SCHEMAS["sr_sequences"].table([{"name": name, "sequences": len(found), "content_sha256": content}]),
        {"folder": str(folder), "sequences": len(found), "size_mb": size_bytes / 1e6, **reasons},
        notes={LEFT_ALONE: left_alone_markdown(changed)} if changed else {},
    )


def _pixels_of(step: Step, episode: str) -> list[str]:
    """What decides the pixels of an episode's frames."""
    [probe], how = step.rows_of("video_probe", episode), step.settings.keyframes
    return [probe["source_sha256"], str(Conversion.of(probe, how.chroma_upsampling, how.alpha_background))]


def _found(step: Step) -> tuple[list[FrameRun], dict[str, int]]:
    """The sequences of all episodes, and how many stretches of shots became what."""
    settings, held = step.settings.sr_sequences, 0
    runs: list[FrameRun] = []
    sizes: dict[str, dict[int, tuple[int, ...]]] = {}
    for episode in step.settings.super_resolution.of(step.episodes):
        shots = step.rows_of("shots", episode) if step.pointer("shots", episode) else []
        its = sequences_of(episode, shots, settings.length, most_of_shot=settings.most_of_shot)
        signatures = np.frombuffer(b"".join(row["signatures"] for row in shots), np.uint8)
        moving = [it for it in its if change_of(it, signatures) >= settings.min_change]
        held += len(its) - len(moving)
        runs += moving
        sizes[episode] = _sizes(step, episode, [at for row in shots for at in row["frame_pts"]], moving)
    found = judged(runs, sizes)
    return found[TAKEN], {HELD: held} | {reason: len(its) for reason, its in found.items()}


def _sizes(step: Step, episode: str, frame_pts: Sequence[int], runs: Sequence[FrameRun]) -> dict[int, tuple[int, ...]]:
    """Height and width of the frames of these sequences, by the frame's number, less those that cannot be decoded."""
    numbers = {frame_pts[number]: number for it in runs for number in it.frames}
    frames = frames_of_video(step, episode)(list(numbers)) if runs else ()
    return {numbers[at]: frame.shape[:2] for at, frame in frames}
