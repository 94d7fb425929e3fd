"""Seconds of everything after measuring, for a project of many drawn episodes: joined assets and projections alone.

    python dataset_pipeline_tests/benchmarks/thousand_episodes.py [--episodes 1000] [--shows 84] [--root FOLDER]

Measured tables are drawn, not measured, and written with the provenance the framework gives them; what comes after a
join is made by the runs of the command line, in a Dagster instance on disk. Each drawn picture is a few pixels large,
so rendering counts for next to nothing, and identity vectors are as far apart as the demo model wants them. `--root`
keeps the project. Store: tables, pointers and listings, with waiting for the disk. Dagster: the rest of a run's wall
time.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import os
import sys
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import dagster as dg
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from dataset_pipeline.base import timing
from dataset_pipeline.base.ids import crop_id, file_name, frame_id, show_of
from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.project import location_prefix, partitions_name, store_of
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.resize import encode
from dataset_pipeline.images.stills import images_of, stills_of
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import Failure, materialize_all, materialize_assets, phases
from dataset_pipeline.reports.status.judging import status_of
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

CANDIDATES, STILLS = 120, 100  # frames an episode, and those that stay; each of these has one crop of a person
CHARACTERS = 6  # a show
VECTOR_LENGTH, NOISE = 768, 0.55  # differences under 0.17 within a character and above 0.4 between two
TAGS = 40  # an image
KINDS = ("model", "decode and encode", "store", "rules", "Dagster", "wall")
STORE_CALLS = ("read", "find", "previous", "missing_pictures", "read_many", "pointer", "write", "episodes")
COLOURS = ("red", "blue", "green", "black", "white", "blonde", "pink", "grey")
THINGS = ("hair", "eyes", "dress", "ribbon", "hat", "shirt", "gloves", "boots", "coat", "bow", "cape", "skirt")
VOCABULARY = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]
VOCABULARY += ["1girl", "2girls", "solo", "smile", "outdoors", "indoors", *THINGS]
INSTANCE = """
telemetry: {{enabled: false}}
event_log_storage:
  module: dataset_pipeline.orchestration.event_log
  class: BatchedSqliteEventLog
  config: {{base_dir: "{history}/runs"}}
"""
NOTHING_OF = (  # what may be without rows
    *("shots", "tracks", "hand_edited_tags", "screen_marks", "burnt_in_text", "details"),
    *("alignments", "panoramas", "backdrops", "stitched_embeddings", "matched_corrections"),
)
POSTGRESQL = """
telemetry: {{enabled: false}}
run_storage: {{module: dagster_postgres.run_storage, class: PostgresRunStorage, config: {{postgres_url: "{url}"}}}}
schedule_storage:
  module: dagster_postgres.schedule_storage
  class: PostgresScheduleStorage
  config: {{postgres_url: "{url}"}}
event_log_storage:
  module: dataset_pipeline.orchestration.postgres_log
  class: BatchedPostgresEventLog
  config: {{postgres_url: "{url}"}}
"""
RATINGS = ("general", "sensitive", "questionable", "explicit")


@dataclass(frozen=True)
class Project:
    """A project under `root` with its store, its Dagster instance and what its models are."""

    root: Path
    settings: Settings
    instance: dg.DagsterInstance

    @functools.cached_property
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.settings)

    @functools.cached_property
    def store(self) -> Store:
        return store_of(self.settings)

    @property
    def registered(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(partitions_name(self.settings)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--shows", type=int, help="a twelfth of the episodes unless given")
    parser.add_argument("--root", type=Path, help="keep the project here; drawn again only if there is none")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with contextlib.ExitStack() as stack:
        root = given.root or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (root / "dagster").mkdir(parents=True, exist_ok=True)
        (root / "dagster" / "dagster.yaml").write_text(INSTANCE.format(history=root.absolute() / "dagster" / "history"))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(root / "dagster")))
        run(Project(root, settings_of(root), instance), given.episodes, given.shows or max(1, given.episodes // 12))


def settings_of(root: Path, **changes: Any) -> Settings:
    return load_settings(
        models__pack="demo", store__root=str(root / "store"), exported_set__root=str(root / "exports"), **changes
    )


def run(project: Project, episodes: int, shows: int) -> None:
    time_store_calls()
    names = [f"show-{number % shows:03d}.e{number // shows:02d}" for number in range(episodes)]
    if absent := sorted(set(names) - set(project.registered)):
        start_s = time.perf_counter()
        add(project, absent, CHARACTERS)
        print(f"{len(absent)} episodes drawn in {time.perf_counter() - start_s:.0f} s", flush=True)
    report("first build", project)
    report("nothing changed", project)
    report("nothing changed, every projection of every episode asked for", project, all_asked_for=True)
    cursor = tick("first", project)
    cursor = tick("quiet", project, cursor)
    look_at_status(project)
    again = len(project.registered) // shows
    add(project, [f"show-000.e{again + 1:02d}"], 0)
    tick("an episode was measured", project, cursor)
    report("one new episode of strangers: no gallery changes", project)
    add(project, [f"show-000.e{again + 2:02d}"], CHARACTERS)
    report("one new episode: the gallery of its show changes", project)
    weights = [{"pattern": "1_character", "weight": 2.0 + len(project.registered)}]
    changed = settings_of(project.root, concept_balance__weights=weights)
    report("balance weights changed", Project(project.root, changed, project.instance))


def tick(title: str, project: Project, cursor: Any = None) -> Any:
    """Evaluate the automation conditions of all assets and episodes, as the daemon does, without running anything."""
    registered = project.registered  # which the daemon's queryer remembers for a tick
    start_s = time.perf_counter()
    with mock.patch.object(project.instance, "get_dynamic_partitions", return_value=registered):
        result = dg.evaluate_automation_conditions(project.definitions, project.instance, cursor=cursor)
    seconds = time.perf_counter() - start_s
    print(f"automation tick, {title}: {seconds:.1f} s, asks for {result.total_requested}", flush=True)
    return result.cursor


def look_at_status(project: Project) -> None:
    start_s = time.perf_counter()
    status = status_of(project.settings, project.store, project.instance)
    print(f"status: {time.perf_counter() - start_s:.1f} s, {status.counts()}", flush=True)


def report(title: str, project: Project, all_asked_for: bool = False) -> None:
    """Make everything after measuring that is due, and say what it took. all_asked_for: projections of all episodes,
    due or not, as Dagster's automation asks for them after a join."""
    reset_memory_peak()
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    everything = mock.patch(
        "dataset_pipeline.orchestration.runs.due", lambda assets, *_: [(tuple(assets), set(project.registered))]
    )
    with everything if all_asked_for else contextlib.nullcontext():
        seconds = made(project)
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    total: dict[str, float] = defaultdict(float)
    for spent in seconds.values():
        for kind, value in spent.items():
            total[kind] += value
    table = Table("runs of", *KINDS, title=title)
    for asset, spent in [*seconds.items(), ("all", total)]:
        table.add_row(asset, *(f"{spent.get(kind, 0.0):.2f}" for kind in KINDS))
    console = Console(width=120)
    console.print(table)
    console.print(f"{len(project.registered)} episodes, {wall_s:.0f} s, {cpu_s:.0f} s of CPU, {memory_peak()}\n")


def made(project: Project) -> dict[str, dict[str, float]]:
    """Seconds by run (of the assets it makes) and kind of work, and those between runs."""
    table: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def book(label: str, wall_s: float) -> None:
        spans = timing.take()
        for kind, seconds in {**spans, "Dagster": wall_s - sum(spans.values()), "wall": wall_s}.items():
            table[label][kind] += seconds

    def run(defs: Any, instance: Any, settings: Any, assets: Sequence[str], **partition: Any) -> list[Failure]:
        nonlocal ended_s
        start_s = time.perf_counter()
        book("between runs", start_s - ended_s)
        failures = materialize_assets(defs, instance, settings, assets, **partition)
        ended_s = time.perf_counter()
        book(", ".join(assets), ended_s - start_s)
        return failures

    timing.take()
    ended_s = time.perf_counter()
    with mock.patch("dataset_pipeline.orchestration.runs.materialize_assets", run):
        outcome = materialize_all(
            project.definitions, project.instance, project.settings, [], leave_out=["exported_set"]
        )
    book("between runs", time.perf_counter() - ended_s)
    if outcome.failures:
        sys.exit(f"{outcome.failures[0].asset}: {outcome.failures[0].error}")
    return table


def time_store_calls() -> None:
    """Count every call of the store, as the framework's own are outside the spans of assets."""

    def timed(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*args, **named)
            with timing.span("store"):
                return function(*args, **named)

        return call

    for name in STORE_CALLS:
        setattr(Store, name, timed(getattr(Store, name)))


def reset_memory_peak() -> None:
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def memory_peak() -> str:
    if sys.platform != "linux":
        return "memory peak known on Linux only"
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_kb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return f"memory peak {peak_kb / 1e3:.0f} MB"


def add(project: Project, episodes: Sequence[str], characters: int) -> None:
    """Register and draw episodes. characters: how many of the show's are in them; without any, strangers alone."""
    register(project.instance, project.store, project.settings, [source(project.root, name) for name in episodes])
    bundle = bundle_of(project.settings)
    shared: dict[str, dict[str, Any]] = defaultdict(dict)
    prefix = location_prefix(project.settings)
    for episode in episodes:
        tables = dict(drawn(project, episode, characters))
        measured = {name for name, it in DECLARATIONS.items() if not (it.joined or it.projection or it.on_demand)}
        if undrawn := measured - tables.keys():
            sys.exit(f"this benchmark draws no tables of {', '.join(sorted(undrawn))} yet: add them to drawn()")
        for asset in phases()[0].assets:
            table = tables[asset]
            step = Step(DECLARATIONS[asset], bundle, episode, None, [episode], shared[asset])
            pointer, _ = materialize(replace(ASSETS[asset], function=lambda step, table=table: Result(table)), step)
            project.instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=[*prefix, asset],
                    partition=episode,
                    metadata={"dagster/row_count": pointer.rows},
                    tags={
                        "dagster/data_version": pointer.data_version,
                        "dagster/code_version": pointer.provenance.code_version,
                    },
                )
            )


def bundle_of(settings: Settings) -> SimpleNamespace:
    """Resources by name, as a run hands them to its steps."""
    return SimpleNamespace(settings=settings, store=store_of(settings), **model_resources(settings))


def source(root: Path, episode: str) -> Source:
    """A file with a video's name, as the sensor of arrivals finds it."""
    show, _, number = episode.partition(".")
    path = root / "episodes" / show / f"{number}.mkv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(episode.encode())
    [found] = find_sources([path]).sources
    assert found.key == episode, found.key
    return found


def drawn(project: Project, episode: str, characters: int) -> Iterator[tuple[str, pa.Table]]:
    """The measured tables of an episode."""
    rng = np.random.default_rng(list(hashlib.sha256(episode.encode()).digest()))
    resources: Any = project.definitions.resources
    roles = ("embedder", "detector", "identity", "quality", "tagger", "text_detector")
    weights = {role: resources[role].fingerprint().sha256 for role in roles}
    frames = [frame_id(episode, 1500 * number) for number in range(CANDIDATES)]
    stills = frames[:STILLS]
    boxes = drawn_boxes(rng)
    crops = [crop_id(still, "person", tuple(box), (1920, 1080)) for still, box in zip(stills, boxes, strict=True)]
    pixels = {image: hashlib.sha256(image.encode()).hexdigest() for image in [*frames, *crops]}

    def measured(
        asset: str, images: Sequence[str], role: str, column: str, values: pa.Array, **same: Any
    ) -> tuple[str, pa.Table]:
        same |= {"model_sha256": weights[role], "algorithm": "1"}
        columns = {"image_id": images, "pixel_sha256": [pixels[image] for image in images]}
        columns |= {name: [value] * len(images) for name, value in same.items()}
        return asset, pa.table({**columns, column: values}, schema=SCHEMAS[asset].arrow)

    yield "video_probe", SCHEMAS["video_probe"].table([probe(episode)])
    working = put(project.store, "keyframes", episode, frames)
    yield (
        "keyframes",
        SCHEMAS["keyframes"].table(
            [
                {"image_id": image, "episode": episode, "pts": 1500 * number, "pts_s": 1.5 * number, "source_file": ""}
                | {"width_px": 1920, "height_px": 1080, "sharpness": 0.5, "brightness": 0.5, "contrast": 0.2}
                | {"blackness": 0.0, "path": working[image], "pixel_sha256": pixels[image]}
                | dict.fromkeys(("combing", "blur", "smear", "ghost", "blockiness", "flat", "text"), 0.0)
                for number, image in enumerate(frames)
            ]
        ),
    )
    looks = rng.standard_normal((CANDIDATES, 128))
    unit = as_lists(looks / np.linalg.norm(looks, axis=1, keepdims=True))
    yield measured("frame_embeddings", frames, "embedder", "embedding", unit)
    full = put(project.store, "distinct_frames", episode, stills)
    decided = SCHEMAS["distinct_frames"].table(
        [
            {"image_id": image, "episode": episode, "pts_s": 1.5 * number, "kept": image in full}
            | {"group": image if image in full else stills[-1], "similarity": 0.97}
            | {"reason": "kept" if image in full else "duplicate", "width_px": 1920, "height_px": 1080}
            | {"path": full.get(image, ""), "pixel_sha256": pixels[image] if image in full else ""}
            for number, image in enumerate(frames)
        ]
    )
    yield "distinct_frames", decided
    whole = SCHEMAS["stills"].table(stills_of(decided))
    yield "stills", whole
    corners = ("x0_px", "y0_px", "x1_px", "y1_px")
    faces = boxes[:, [0, 1, 0, 1]] + (boxes[:, 2:] - boxes[:, :2])[:, [0, 1, 0, 1]] * (0.4, 0.05, 0.6, 0.2)
    yield (
        "detections",
        SCHEMAS["detections"].table(
            [
                {"image_id": still, "kind": kind, "score": 0.9, "model_sha256": weights["detector"]}
                | dict(zip(corners, map(float, box), strict=True))
                for kind, found in (("person", boxes), ("face", faces))
                for still, box in zip(stills, found, strict=True)
            ]
        ),
    )
    pieces = put(project.store, "crops", episode, crops)
    cut = SCHEMAS["crops"].table(
        [
            {"image_id": crop, "still_id": still, "still_sha256": pixels[still], "kind": "person", "score": 0.9}
            | {"x_px": int(x0), "y_px": int(y0), "width_px": int(x1 - x0), "height_px": int(y1 - y0)}
            | {"still_share": (x1 - x0) * (y1 - y0) / 1920 / 1080, "kept": True, "reason": "kept"}
            | {"path": pieces[crop], "pixel_sha256": pixels[crop]}
            for crop, still, (x0, y0, x1, y1) in zip(crops, stills, boxes.tolist(), strict=True)
        ]
    )
    yield "crops", cut
    yield "images", SCHEMAS["images"].table(images_of(whole, {"crops": cut}))
    yield measured("crop_embeddings", crops, "identity", "embedding", people(rng, episode, characters))
    images = sorted([*stills, *crops])
    scores = pa.array(rng.uniform(0.2, 0.9, len(images)))
    yield measured("quality_scores", images, "quality", "score", scores, **resources["quality"].terms())
    yield measured("tag_scores", images, "tagger", "tags", scored_tags(rng, len(images)))
    yield measured("text_lines", sorted(stills), "text_detector", "lines", pa.array([[]] * len(stills)))
    for nothing in NOTHING_OF:
        yield nothing, SCHEMAS[nothing].empty()


def drawn_boxes(rng: np.random.Generator) -> np.ndarray:
    """float [STILLS, 4]: one person on each still, some of them filling it."""
    size = rng.integers((300, 500), (1400, 1000), (STILLS, 2))
    corner = np.floor(rng.uniform(size=(STILLS, 2)) * ((1920, 1080) - size))
    return np.concatenate([corner, corner + size], axis=1)


def people(rng: np.random.Generator, episode: str, characters: int) -> pa.Array:
    """An identity vector for each crop: near one of the show's characters, or a stranger's."""
    if not characters:
        return vectors(rng, STILLS, VECTOR_LENGTH)
    cast = np.random.default_rng(list(show_of(episode).encode())).standard_normal((characters, VECTOR_LENGTH))
    noise = NOISE * rng.standard_normal((STILLS, VECTOR_LENGTH))
    return as_lists((cast[rng.integers(characters, size=STILLS)] + noise) / VECTOR_LENGTH**0.5)


def vectors(rng: np.random.Generator, count: int, length: int) -> pa.Array:
    return as_lists(rng.standard_normal((count, length)))


def as_lists(values: np.ndarray) -> pa.Array:
    offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1])
    return pa.ListArray.from_arrays(offsets, pa.array(values.astype(np.float32).ravel()))


def scored_tags(rng: np.random.Generator, images: int) -> pa.Array:
    """TAGS general tags and the ratings for each image, the most probable first."""
    scores = np.round(rng.beta(1.0, 2.0, (images, len(VOCABULARY))), 4)
    best = np.argsort(-scores, axis=1)[:, :TAGS]
    tags = np.concatenate([np.array(VOCABULARY)[best], np.tile(RATINGS, (images, 1))], axis=1)
    values = np.concatenate([np.take_along_axis(scores, best, 1), rng.dirichlet(np.ones(len(RATINGS)), images)], axis=1)
    categories = np.array(["general"] * TAGS + ["rating"] * len(RATINGS))
    items = pa.StructArray.from_arrays(
        [pa.array(tags.ravel()), pa.array(np.tile(categories, images)), pa.array(values.ravel().astype(np.float32))],
        ["tag", "category", "score"],
    )
    return pa.ListArray.from_arrays(pa.array(np.arange(images + 1, dtype=np.int32) * tags.shape[1]), items)


def put(store: Store, asset: str, episode: str, images: Sequence[str]) -> dict[str, str]:
    """Paths of pictures of a few pixels, which are links to one file."""
    content = encode(np.full((8, 8, 3), 128, np.uint8), "png", 100)
    first = store.put_picture(asset, episode, images[0], content, "png")
    paths = {image: first.replace(file_name(images[0]), file_name(image)) for image in images}
    for path in set(paths.values()) - {first}:
        one, other = store.local_path(first), store.local_path(path)
        assert one is not None
        assert other is not None
        if not other.exists():
            os.link(one, other)
    return paths


def probe(episode: str) -> dict[str, Any]:
    return {
        "episode": episode,
        "readable": True,
        "container": "matroska",
        "codec": "h264",
        "width_px": 1920,
        "height_px": 1080,
        "display_width_px": 1920,
        "display_height_px": 1080,
        "frame_rate": 23.976,
        "duration_s": 1440.0,
        "damage": [],
        "source_sha256": hashlib.sha256(episode.encode()).hexdigest(),
    }


if __name__ == "__main__":
    main()
