"""Sets for super-resolution as folders, beside the store. Nothing here runs by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_pipeline.assets.native_size import beside
from dataset_pipeline.assets.releases import LOW, of_releases
from dataset_pipeline.assets.training import left_alone_markdown, models_behind
from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.base.progress import track
from dataset_pipeline.graph.catalog import pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import hash_of
from dataset_pipeline.repeated.near_duplicates import as_matrix
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.media import full_size
from dataset_pipeline.stitching.alignment import FramesAt
from dataset_pipeline.stitching.once import Once
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.super_resolution.assembling import (
    Held,
    begun_in,
    content_of,
    earlier_in,
    first_of,
    parts_of,
    told,
)
from dataset_pipeline.super_resolution.card import MANIFEST
from dataset_pipeline.super_resolution.configs import SetFacts, configs
from dataset_pipeline.super_resolution.databases import write_databases
from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION, Tile
from dataset_pipeline.super_resolution.ranking import higher_is_better
from dataset_pipeline.super_resolution.recode import neighbours
from dataset_pipeline.super_resolution.set_files import Around, Earlier, LowQuality, set_files, write_zip
from dataset_pipeline.super_resolution.signatures import as_vectors
from dataset_pipeline.training.exporters.folder import File, write_folder

SELECTION_TABLES = "selection.md"  # of a set: what its selection cost
LEFT_ALONE = "left alone"  # the note on folders of the same content
NAME = "-sr-"  # between a set's show and its content


def through_codecs(settings: Settings) -> bool:
    """Whether frames of the shots go through a video codec for the set."""
    return settings.sr_set.through_codecs


@pipeline_asset(
    kind=Kind.EXPORT,
    reads=[
        "video_probe",
        "keyframes",
        "shots",
        "release_pairs",
        "sr_sources",
        "sr_tiles",
        "sr_tile_signals",
        "sr_tile_embeddings",
        "sr_selection",
    ],
    reads_if={
        **dict.fromkeys(("video_probe", "keyframes", "shots"), through_codecs),
        "sr_tile_signals": lambda settings: not settings.sr_set.by_embeddings,
        "sr_tile_embeddings": lambda settings: settings.sr_set.by_embeddings,
        "release_pairs": of_releases,
    },
    settings=["sr_set", "sr_selection", "keyframes", "video"],
    settings_if=dict.fromkeys(("keyframes", "video"), through_codecs),
    group="super_resolution",
    labels=["file"],
    on_demand=True,
)
def sr_set(step: Step) -> Result:
    """The super-resolution set as a folder: the tiles that were selected, their low-quality pictures by `[sr_set]`, and
    lists and settings for trainers. Tiles that an earlier set holds are copied from there, and a set that was
    interrupted goes on where it stopped.

    A folder that somebody changed is left alone."""
    if not any(row["selected"] for row in step.rows("sr_selection")):
        step.log.warning("no tile was selected: no set was written")
        return Result(SCHEMAS["sr_set"].empty(), {"tiles": 0})
    settings = step.settings.sr_set
    parts = _parts(step)
    episodes = sorted({episode_of(tile.row["image_id"]) for tile in parts})
    lows = _lows(step, episodes)
    own = hash_of(sorted(row["pixel_sha256"] for row in lows.values())) if lows else ""
    how = LowQuality(tuple(settings.scales), settings.filter, tuple(settings.recipe), settings.seed, own)
    content = content_of(parts, how)
    shows = {show_of(episode) for episode in episodes}
    name = f"{min(shows) if len(shows) == 1 else 'set'}{NAME}{content[:8]}"
    held_out = any(tile.split == VALIDATION for tile in parts)
    facts = SetFacts(name, parts[0].row["side_px"], how.scales, held_out, settings.lmdb)
    about = step.origin("sr_selection") | {
        "content": content,
        "drawn": told(how),
        "metric": step.settings.sr_selection.metric,
        "models": models_behind(step, episodes),
        **({"held_out_by": _held_out_by(step)} if held_out else {}),
        **_origin_of_pictures(step, episodes),
    }
    folder, is_reused, size_bytes, changed = write_folder(
        step.export_root,
        name,
        lambda partial: _files(step, parts, how, about, facts, partial),
        lambda it: configs(facts, it.as_posix()),
        lambda it: [],
        resumes=True,
    )
    if settings.lmdb:
        write_databases(folder)
    archive = folder.with_name(f"{folder.name}.zip")
    if settings.zip and not (is_reused and archive.exists()):
        write_zip(folder, archive)
    return _written(step, folder, content, [tile.split for tile in parts], size_bytes, changed)


def _parts(step: Step) -> list[Tile]:
    """The tiles of the set with their names."""
    settings, metric = step.settings.sr_set, step.settings.sr_selection.metric
    selection = step.rows("sr_selection")
    episodes = sorted({episode_of(row["image_id"]) for row in selection})
    tiles = {row["tile_id"]: row for row in step.read("sr_tiles", episodes).to_pylist()}
    held = Held(settings.validation_tiles, settings.max_likeness)
    vectors = _vectors(step, episodes) if held.count else {}
    return parts_of(selection, tiles, vectors, held, higher_is_better(metric))


def _vectors(step: Step, episodes: Sequence[str]) -> dict[str, np.ndarray]:
    """What tells how alike tiles are, by tile id."""
    if step.settings.sr_set.by_embeddings:
        table = step.read("sr_tile_embeddings")
        return dict(zip(table["image_id"].to_pylist(), as_matrix(table), strict=True))
    table = step.read("sr_tile_signals", episodes)
    return dict(zip(table["image_id"].to_pylist(), as_vectors(table["signature"].to_pylist()), strict=True))


def _held_out_by(step: Step) -> str:
    """What told how alike the tiles are that are held out, for people."""
    pointer = step.pointer("sr_tile_embeddings") if step.settings.sr_set.by_embeddings else None
    if pointer is None:
        return "small copies in grey, without a model"
    told = (
        f"{it['model']} (sha256 {it['sha256'][:16]}{', a demo model' * it['demo']})" for it in pointer.provenance.models
    )
    return f"the embedder {', '.join(told)}"


def _files(
    step: Step, parts: Sequence[Tile], how: LowQuality, about: dict[str, Any], facts: SetFacts, partial: Path
) -> Iterator[File]:
    episodes = sorted({episode_of(tile.row["image_id"]) for tile in parts})
    paths = {row["image_id"]: row["path"] for row in step.read("sr_sources", episodes).to_pylist()}
    earlier = _earlier(step, how, partial)
    around = _around(step, {tile.row["image_id"] for tile in parts})
    lows = _lows(step, episodes)
    low_of = (lambda it: step.picture(lows[it]["path"])) if lows else None
    pictures = set_files(parts, lambda it: step.picture(paths[it]), how, around, about, earlier=earlier, low_of=low_of)
    yield from track(pictures, step.declaration.name, len(parts) * (1 + len(how.scales)))
    yield File(SELECTION_TABLES, _notes(step).encode())
    for path, text in configs(facts, "").items():
        yield File(path, text.encode())


def _lows(step: Step, episodes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The low pictures of pairs of releases, by the id of the high one; none where they are drawn."""
    if "release_pairs" not in step.declaration.reads:
        return {}
    return {row["of"]: row for row in step.read("release_pairs", episodes).to_pylist() if row["part"] == LOW}


def _origin_of_pictures(step: Step, episodes: Sequence[str]) -> dict[str, Any]:
    """Of which episodes an upscale was undone, by the height that they were drawn at, which high release pairs of an
    episode are made with, and to what of their width and height its low pictures were shrunk for that."""
    kept = (row for row in step.read("sr_sources", episodes).to_pylist() if row["kept"] and row["native_px"])
    native = {row["episode"]: row["native_px"] for row in kept}
    lows = _lows(step, episodes).values()
    highs = {row["episode"]: row["high"] for row in lows}
    shares = {row["episode"]: [row["low_width_share"], row["low_height_share"]] for row in lows}
    shrunk = {episode: its for episode, its in shares.items() if min(its) < 1}
    told = {"descaled_to_px": native, "high_releases": highs, "low_releases_shrunk_to": shrunk}
    return {name: of for name, of in told.items() if of}


def _earlier(step: Step, how: LowQuality, partial: Path) -> Earlier:
    """What need not be drawn: what was begun, and what sets beside it hold, the latest first."""
    manifests = step.export_root.glob(f"*{NAME}*/{MANIFEST}")
    latest_first = sorted(manifests, key=lambda it: it.stat().st_mtime, reverse=True)
    return first_of([begun_in(partial, how), *(earlier_in(it.parent, how) for it in latest_first)])


def _around(step: Step, image_ids: Collection[str]) -> Around:
    """The frames before and after an image in its shot; images are asked for in their order."""
    readers: dict[str, Around] = {}

    def around(image_id: str) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
        episode = episode_of(image_id)
        if episode not in readers:
            readers.clear()
            readers[episode] = _around_in(step, episode, [it for it in image_ids if episode_of(it) == episode])
        return readers[episode](image_id)

    return around


def _around_in(step: Step, episode: str, image_ids: Sequence[str]) -> Around:
    shots = [row["frame_pts"] for row in step.rows_of("shots", episode)]
    pts = {row["image_id"]: row["pts"] for row in step.rows_of("keyframes", episode)}
    near = {it: neighbours(shots, pts[it]) if shots else ((), ()) for it in image_ids}
    sources = {row["image_id"]: row for row in step.rows_of("sr_sources", episode)}
    with_bars = any(row["kept"] and row["kernel"] for row in sources.values())
    once = Once(frames_of_video(step, episode, with_bars), [at for its in near.values() for side in its for at in side])
    [probe] = step.rows_of("video_probe", episode)

    def around(image_id: str) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
        before, after = near[image_id]
        given = {at: beside(sources[image_id], frame, probe) for at, frame in once.of(())([*before, *after])}
        found = {at: picture for at, picture in given.items() if picture is not None}
        return [found[at] for at in before if at in found], [found[at] for at in after if at in found]

    return around


def frames_of_video(step: Step, episode: str, with_bars: bool = False) -> FramesAt:
    """Frames of a video by their timestamps, with the pixels that its pictures have, or with the bars too."""
    settings = step.settings
    source, probe = step.source_of(episode), step.rows_of("video_probe", episode)[0]

    def frames_at(pts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        wanted = {str(at): {"pts": at} for at in pts}
        for at, frame in full_size(source, wanted, probe, settings.keyframes, settings.video.hardware, with_bars):
            yield int(at), frame

    return frames_at


def _notes(step: Step) -> str:
    """The tables of `sr_selection` for people."""
    pointer = step.pointer("sr_selection")
    notes = pointer.provenance.notes if pointer else {}
    return "\n\n".join(f"## {title.capitalize()}\n\n{text}" for title, text in notes.items())


def _written(
    step: Step, folder: Path, content: str, splits: Sequence[str], size_bytes: int, changed: Sequence[str]
) -> Result:
    counts = Counter(splits)
    notes = {LEFT_ALONE: left_alone_markdown(changed)} if changed else {}
    for note in notes.values():
        step.log.warning(note)
    row = {
        "name": folder.name,
        "tiles": counts[TRAIN],
        "validation_tiles": counts[VALIDATION],
        "content_sha256": content,
    }
    numbers: dict[str, Number] = {
        "folder": step.published(folder),
        "tiles": counts[TRAIN],
        "size_mb": size_bytes / 1e6,
    }
    return Result(SCHEMAS["sr_set"].table([row]), numbers, notes=notes)
