"""Measuring what a run will cost: the real graph, on excerpts, in a store and a Dagster instance that are thrown away.

Three passes. The first two are of the same short excerpt: what the first costs more is what is paid once (imports,
weights). The third is as long as the time that is left allows: its difference to the second tells what grows with the
work from what every step costs. Slow models look at a few pictures only.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg

from dataset_pipeline.images.pictures import list_pictures
from dataset_pipeline.orchestration.history import lay_out
from dataset_pipeline.repeated.near_duplicates import decide_distinct
from dataset_pipeline.reports.estimate.costs import Estimate, Measured, nothing_due, scaled
from dataset_pipeline.reports.estimate.excerpts import Excerpt, copied, cut, key_frames_of, spread
from dataset_pipeline.reports.estimate.passes import Bench, Pass, bytes_in, reasons
from dataset_pipeline.reports.estimate.scaling import (
    Units,
    distinct_of,
    whole_of,
)
from dataset_pipeline.reports.estimate.subjects import NothingToMeasure, Subject, due_of, sampled, subjects_of
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.media import probe_source
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.store import Store

FIRST_SHARE = 1 / 10  # of the time for measuring: so long is the excerpt of the first two passes ...
FIRST_PICTURES = 6  # ... or so many pictures of a folder
LEAST_GROWTH = 2.5  # the third pass is so much longer than the second, whatever time is left
WINDOW_S = 8.0  # shortest window of the third pass: long enough for neighbours to be near-duplicates
MOST_WINDOWS = 12
LOOK_SHARE = 1 / 12  # of the time for measuring, one model may look for so long in the third pass


def _halves(store: Store, episode: str, settings: Settings) -> list[int]:
    """How many stay of either half of an excerpt's candidates, each on its own."""
    frames = store.read("keyframes", episode).sort_by([("pts", "ascending"), ("image_id", "ascending")])
    embeddings = store.read("frame_embeddings", episode)
    middle = frames.num_rows // 2
    if not middle:
        return []
    halves = [frames.slice(0, middle), frames.slice(middle)]
    return [
        sum(row["kept"] for row in decide_distinct(half, embeddings, settings.distinct_frames, settings.frame_defects))
        for half in halves
    ]


def estimate(
    settings: Settings,
    sources: Sequence[Source],
    build: Callable[..., dg.Definitions],
    seconds: float = 60.0,
    began_s: float | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Estimate:
    """What a run over these sources will cost on this machine, from about so many `seconds` of measuring.

    `build` makes the definitions (`build_definitions`); `began_s`: when the process began, by the system's clock.
    Raises NothingToMeasure, and what the models raise.
    """
    until_s = time.monotonic() + seconds
    start_s, start_core_s = (time.time() - began_s, time.process_time()) if began_s else (0.0, 0.0)
    subjects, faults = subjects_of(sources)
    due = due_of(settings, [subject.source for subject in subjects])
    done = [key for key, assets in due.items() if not assets]
    to_do = [subject for subject in subjects if due[subject.source.key]]
    if not to_do:
        if faults:
            raise NothingToMeasure("; ".join(f"{path}: {reason}" for path, reason in faults.items()))
        return nothing_due(settings, done)
    chosen = sampled(to_do)
    with (
        tempfile.TemporaryDirectory(prefix="dataset-pipeline-", ignore_cleanup_errors=True) as temporary,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        root = Path(temporary)
        lay_out(root / "home")
        opened_s, opened_core_s = time.monotonic(), time.process_time()
        with dg.DagsterInstance.from_config(str(root / "home")) as instance:
            bench = Bench(root, instance, settings, build)
            start_s += time.monotonic() - opened_s
            start_core_s += time.process_time() - opened_core_s
            measured_all = _measured(bench, chosen, until_s, seconds, progress)
    return scaled(settings, subjects, to_do, due, done, faults, measured_all, start_s, start_core_s)


def _measured(
    bench: Bench,
    chosen: Sequence[Subject],
    until_s: float,
    seconds: float,
    progress: Callable[[str, int, int], None],
) -> Measured:
    begun_s, first = time.monotonic(), chosen[0]
    short = _excerpt(first, bench.root / "short", FIRST_PICTURES if first.is_folder else seconds * FIRST_SHARE)
    progress("loading models", 0, 3)
    bench.let_look(0.0)
    cold = bench.warmed(bench.run("cold", [_as_source(first, short)]))
    progress("measuring a short excerpt", 1, 3)
    bench.let_look(seconds * LOOK_SHARE / 2)
    small = bench.run("small", [_as_source(first, short)])
    progress("measuring longer excerpts", 2, 3)
    core_s, probe_s = time.process_time(), {subject.source.key: _seconds_of_probe(subject) for subject in chosen}
    core_s = time.process_time() - core_s
    steps = list(small.wall.steps.values())
    growing_s = max(0.1, sum(steps) - len(steps) * min(steps))
    left_s = until_s - time.monotonic() - (small.wall.total_s - growing_s)
    length = _length(first, short)
    affordable = length * max(LEAST_GROWTH, 0.8 * left_s / growing_s)
    excerpts, large = {first.source.key: short}, small
    if short.path != first.source.path or len(chosen) > 1:
        share = max(affordable / len(chosen), length)
        excerpts = {
            subject.source.key: _excerpt(subject, bench.root / f"long{number}", share)
            for number, subject in enumerate(chosen)
        }
        bench.let_look(seconds * LOOK_SHARE)
        large = bench.run("large", [_as_source(subject, excerpts[subject.source.key]) for subject in chosen])
    within_s = max(1.0, until_s - time.monotonic()) / len(chosen)
    wholes = {subject.source.key: _whole(bench.settings, large, subject, excerpts, within_s) for subject in chosen}
    return Measured(cold, small, large, excerpts, list(chosen), wholes, probe_s, core_s, time.monotonic() - begun_s)


def _length(subject: Subject, excerpt: Excerpt) -> float:
    return float(len(list_pictures(excerpt.path))) if subject.is_folder else excerpt.seconds


def _excerpt(subject: Subject, folder: Path, length: float) -> Excerpt:
    """An excerpt of about that length; the source itself where it is little longer."""
    path = subject.source.path
    share = length / subject.length
    if share > 0.8:
        return Excerpt(path, 1, subject.seconds, 0)
    if subject.is_folder:
        return copied(subject.pictures, folder / path.name, round(length))
    folder.mkdir()
    return cut(path, folder / f"{path.stem}.mkv", spread(subject.seconds, share, MOST_WINDOWS, WINDOW_S))


def _as_source(subject: Subject, excerpt: Excerpt) -> Source:
    size = bytes_in(excerpt.path) if subject.is_folder else excerpt.path.stat().st_size
    return replace(subject.source, path=excerpt.path, size_bytes=size)


def _seconds_of_probe(subject: Subject) -> float:
    """How long it takes to probe a whole video; a folder's pictures cost one by one."""
    if subject.is_folder:
        return 0.0
    start_s = time.perf_counter()
    probe_source({"episode": subject.source.key, "path": str(subject.source.path), "kind": subject.source.kind})
    return time.perf_counter() - start_s


def _whole(
    settings: Settings, large: Pass, subject: Subject, excerpts: Mapping[str, Excerpt], within_s: float
) -> Units:
    """The units of a whole source of which an excerpt went through the graph."""
    key, excerpt = subject.source.key, excerpts[subject.source.key]
    sample = large.units[key]
    if excerpt.path == subject.source.path:
        return sample
    if subject.is_folder:
        candidates = sample.candidates * len(subject.pictures) / max(1, len(list_pictures(excerpt.path)))
    elif settings.keyframes.mode == "iframes" and excerpt.key_frames:
        frames = key_frames_of(subject.source.path, subject.seconds, within_s)
        candidates = sample.candidates * frames / excerpt.key_frames
    else:
        candidates = sample.candidates * subject.seconds / max(sample.seconds, 1e-9)
    halves = _halves(large.store, key, settings)
    stills = distinct_of(candidates, int(sample.candidates), int(sample.stills), halves)
    # Few crops show nobody often enough to be known; the whole may, so these images count as selected there.
    unknown = reasons(large.store, key).count("nobody_known")
    sample = replace(sample, selected=sample.selected + unknown)
    return whole_of(sample, subject.seconds, candidates, stills)
