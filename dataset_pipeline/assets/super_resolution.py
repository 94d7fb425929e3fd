"""From pictures to sets for super-resolution. Nothing here runs by itself: `dataset-pipeline sr` asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.assets.frames import pictures_of_table
from dataset_pipeline.assets.native_size import upscale_of
from dataset_pipeline.assets.releases import HIGH, of_releases
from dataset_pipeline.assets.scores import with_terms
from dataset_pipeline.assets.strata import ASKED_BY_QUERIES, asks_for, strata_behind
from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.base.progress import track
from dataset_pipeline.characters.names import named, stored_names
from dataset_pipeline.graph.catalog import MEASURING, Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.measuring import EVERY_PICTURE_WAS_MEASURED
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.signals import signals_of
from dataset_pipeline.images.stills import FRAME, PICTURE
from dataset_pipeline.settings import OF_ANY_MODEL, Settings
from dataset_pipeline.sources.media import full_size
from dataset_pipeline.store.left_out import UNMEASURED, answered, first_reasons, reason_of
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.super_resolution.assembling import compared
from dataset_pipeline.super_resolution.ranking import higher_is_better, ranked
from dataset_pipeline.super_resolution.reading import TileReader
from dataset_pipeline.super_resolution.releases import at_full_size, where_both_agree
from dataset_pipeline.super_resolution.signatures import signature
from dataset_pipeline.super_resolution.sources import (
    Excluded,
    Look,
    decide_pairs,
    decide_sources,
    excluded_in,
    looked_at,
    repeated_among,
    with_pictures,
    with_upscale,
    without_excluded_pixels,
)
from dataset_pipeline.super_resolution.tile_contents import crops_on_tiles
from dataset_pipeline.super_resolution.tiles import plan_tiles
from dataset_pipeline.training.cut_tables import ladder_curve, ladder_markdown, losses_markdown
from dataset_pipeline.training.score_cut import check_metric

CHUNK_TILES = 128  # handed to a model at a time; what is measured is saved in between
LADDER, CURVE, STRATA = "ladder", "mean score by size", "strata"  # notes of `sr_selection`
NOT_TILED = "every copy of it is smaller than a tile"


def of_stills(settings: Settings) -> bool:
    """Whether those pictures are tiled that the training set is made of."""
    return settings.sr_sources.of == "stills"


def minds_upscales(settings: Settings) -> bool:
    """Whether anything is done with pictures that were upscaled."""
    return settings.sr_sources.on_upscaled != "keep" and not of_releases(settings)


@pipeline_asset(
    kind=Kind.RENDER,
    reads=["video_probe", "keyframes", "stills", "burnt_in_text", "native_size", "release_pairs"],
    reads_if={
        "keyframes": lambda settings: not of_releases(settings),
        "stills": of_stills,
        "burnt_in_text": of_stills,
        "native_size": minds_upscales,
        "release_pairs": of_releases,
    },
    settings=["sr_sources", "frame_defects", "keyframes", "video"],
    group="super_resolution",
    labels=["opencv"],
    on_demand=True,
    checks={
        "every_source_has_its_picture": Check("Each picture that stays could be read at full size."),
        "every_excluded_picture_was_read": Check("Each picture of `[sr_sources] excluded` could be compared."),
    },
    shows=pictures_of_table,
)
def sr_sources(step: Step) -> Result:
    """Which pictures are fit for super-resolution: without bars, combing, lettering, near-duplicates and what is
    excluded; each left out with its reason."""
    settings = step.settings.sr_sources
    excluded = excluded_in(settings.excluded_folder)
    by_source = {"keyframes": _of_keyframes, "stills": _of_stills, "releases": _of_pairs}
    rows, left_out = by_source[settings.of](step, excluded)
    rows = without_excluded_pixels(rows, excluded)
    reasons = Counter(row["reason"] for row in rows)
    unread = f"{reasons['unreadable']} pictures could not be read" if reasons["unreadable"] else ""
    return Result(
        SCHEMAS["sr_sources"].table(rows),
        {"kept": 0, **reasons},
        {"every_source_has_its_picture": unread, "every_excluded_picture_was_read": first_reasons(excluded.unread)},
        left_out=left_out,
    )


def _of_keyframes(step: Step, excluded: Excluded) -> tuple[list[dict], dict[str, str]]:
    """Rows with their full-size pictures, and why some have none."""
    settings = step.settings
    frames = {row["image_id"]: row for row in step.rows("keyframes")}
    rows = decide_sources(
        frames.values(), _looks(step, frames.values()), excluded, settings.sr_sources, settings.frame_defects
    )
    return _rendered(step, with_upscale(rows, upscale_of(step), settings.sr_sources.on_upscaled), frames)


def _rendered(
    step: Step, rows: list[dict], frames: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict], dict[str, str]]:
    """The rows with their pictures, those of an upscale that is undone at their native height. frames: their rows of
    `keyframes`."""
    settings, upscale = step.settings, upscale_of(step)

    def draw(absent: list[dict]) -> Iterator[tuple[str, np.ndarray]]:
        for is_descaled in (False, True):
            its = {it["image_id"]: frames[it["image_id"]] for it in absent if bool(it["kernel"]) == is_descaled}
            how = step.row("video_probe"), settings.keyframes, settings.video.hardware
            for image_id, picture in full_size(step.source, its, *how, with_bars=is_descaled) if its else ():
                of_it = upscale.of(its[image_id]["width_px"], its[image_id]["height_px"]) if upscale else None
                yield image_id, of_it.undone(picture) if is_descaled and of_it else picture

    return step.render(rows, same=("image_id", "native_px", "kernel"), given="keyframes", draw=draw)


def _of_stills(step: Step, excluded: Excluded) -> tuple[list[dict], dict[str, str]]:
    """Rows with the pictures of the frames among the stills: panoramas and plates are drawn, not taken."""
    settings = step.settings
    stills = {row["image_id"]: row for row in step.rows("stills") if row["kind"] in (FRAME, PICTURE)}
    frames = [row for row in step.rows("keyframes") if row["image_id"] in stills]
    text = {row["image_id"] for row in step.rows("burnt_in_text") if row["burnt_in"]}
    looks = _looks(step, frames)
    rows = decide_sources(frames, looks, excluded, settings.sr_sources, settings.frame_defects, text, are_distinct=True)
    rows = with_upscale(rows, upscale_of(step), settings.sr_sources.on_upscaled)
    if any(row["kept"] and row["kernel"] for row in rows):
        return _rendered(step, rows, {row["image_id"]: row for row in frames})
    return with_pictures(rows, stills.values()), {}


def _of_pairs(step: Step, excluded: Excluded) -> tuple[list[dict], dict[str, str]]:
    """Rows with the high pictures of pairs of releases."""
    settings = step.settings
    pairs = [row for row in step.rows("release_pairs") if row["part"] == HIGH]
    rows = decide_pairs(pairs, _looks(step, pairs), excluded, settings.sr_sources, settings.frame_defects)
    return with_pictures(rows, pairs), {}


def _looks(step: Step, frames: Iterable[dict]) -> dict[str, Look]:
    paths = {row["image_id"]: row["path"] for row in frames}
    read = zip(paths, step.readable(paths.values()), strict=True)
    return {image_id: looked_at(it) for image_id, it in read if not isinstance(it, Exception)}


@pipeline_asset(
    kind=Kind.DECIDE,
    reads=["sr_sources", "release_pairs"],
    reads_if={"release_pairs": of_releases},
    settings=["sr_tiles"],
    group="super_resolution",
    labels=["python"],
    on_demand=True,
)
def sr_tiles(step: Step) -> Result:
    """Where tiles may be cut from the pictures and from smaller copies of them; of pairs of releases from the pictures
    alone, where both show the same. Nothing is drawn."""
    sources = [row for row in step.rows("sr_sources") if row["kept"]]
    of_pairs = "release_pairs" in step.declaration.reads
    copies, tiles = plan_tiles(sources, at_full_size(step.settings.sr_tiles) if of_pairs else step.settings.sr_tiles)
    tiled = {row["image_id"] for row in tiles}
    left_out = {
        row["image_id"]: f"{NOT_TILED}: {row['width_px']}x{row['height_px']} px"
        for row in sources
        if row["image_id"] not in tiled
    }
    reasons = Counter(f"copies_{row['reason']}" for row in copies)
    same = where_both_agree(tiles, step.rows("release_pairs")) if of_pairs else tiles
    numbers: dict[str, Number] = {"tiles": len(same), "pictures": len(tiled), "pictures_too_small": len(left_out)}
    if of_pairs:
        numbers["tiles_that_differ"] = len(tiles) - len(same)
    return Result(SCHEMAS["sr_tiles"].table(same), numbers | reasons, left_out=left_out)


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["sr_sources", "sr_tiles"],
    group="super_resolution",
    labels=["opencv"],
    on_demand=True,
    checks=MEASURING,
)
def sr_tile_signals(step: Step) -> Result:
    """How blocky, sharp, noisy, banded and complex each tile is, and a small copy of it in grey. No model is asked."""

    def look(tiles: Iterator[np.ndarray]) -> Iterable[dict]:
        return map_ahead(lambda it: signals_of(it) | {"signature": signature(it)}, tiles, threads=2, ahead=6)

    return _measured(step, look, "", str(step.declaration.algorithm), step.read("sr_sources"), step.rows("sr_tiles"))


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["sr_sources", "sr_tiles"],
    settings=["quality_scores"],
    models=["quality"],
    group="super_resolution",
    labels=["torch"],
    on_demand=True,
    checks=MEASURING,
)
def sr_tile_scores(step: Step) -> Result:
    """How good each tile looks to the model of `[models] quality`, higher is better. Where `[sr_selection] metric` asks
    for no model, nobody needs it."""
    model = step.model("quality")
    algorithm = f"{step.declaration.algorithm}-{step.settings.quality_scores.short_side_px}"
    result = _measured(
        step,
        lambda tiles: ({"score": float(score)} for score in model.score(tiles)),
        model.fingerprint().sha256,
        algorithm,
        step.read("sr_sources"),
        step.rows("sr_tiles"),
    )
    result.table = with_terms(result.table, model)
    return result


def _measured(
    step: Step,
    ask: Callable[[Iterator[np.ndarray]], Iterable[dict]],
    sha256: str,
    algorithm: str,
    sources: pa.Table,
    tile_rows: Iterable[Mapping[str, Any]],
) -> Result:
    """What is said of each tile that was not looked at yet. Tiles are cut in memory, all of a picture at a time.

    sources: of `sr_sources`. tile_rows: of `sr_tiles`."""
    paths = {row["image_id"]: row["path"] for row in sources.to_pylist() if row["kept"]}
    tiles = {row["tile_id"]: row for row in tile_rows}
    reader = TileReader(tiles, lambda image_id: step.picture(paths[image_id]))
    left_out: dict[str, str] = {}

    def missing(tile_ids: list[str]) -> Iterable[dict | None]:
        def payloads() -> Iterator[dict | None]:
            for chunk in reader.in_chunks(tile_ids, CHUNK_TILES):
                answers = answered(chunk, reader.tile, reader.tiles, ask)
                failed = zip(chunk, answers, strict=False)  # too few answers are told of by who takes them
                left_out.update((tile_id, reason_of(it)) for tile_id, it in failed if isinstance(it, Exception))
                yield from (None if isinstance(answer, Exception) else answer for answer in answers)

        yield from track(payloads(), step.declaration.name, len(tile_ids))

    wanted = [{"image_id": tile_id, "pixel_sha256": row["pixel_sha256"]} for tile_id, row in tiles.items()]
    table, reuse = step.measure_once(wanted, sha256, algorithm, missing)
    numbers: dict[str, Number] = {"measured": reuse.measured, "reused": reuse.reused}
    if left_out:
        numbers[UNMEASURED] = len(left_out)
    return Result(table, numbers, {EVERY_PICTURE_WAS_MEASURED: first_reasons(left_out)}, left_out=left_out)


@pipeline_asset(
    kind=Kind.JOIN,
    reads=["sr_sources", "sr_tiles", "sr_tile_signals", "sr_tile_scores", "shots", "images", *ASKED_BY_QUERIES],
    reads_if={
        "sr_tile_scores": lambda settings: settings.sr_selection.by_model,
        "shots": asks_for("sr_selection", "shot"),
        "images": asks_for("sr_selection", "character", "crop"),
    }
    | dict.fromkeys(ASKED_BY_QUERIES, asks_for("sr_selection", "query"))
    | dict.fromkeys(("clusters", "character_gallery"), asks_for("sr_selection", "query", "character")),
    settings=["super_resolution", "sr_sources", "sr_selection", "tag_thresholds"],
    settings_if={"tag_thresholds": asks_for("sr_selection", "query")},
    group="super_resolution",
    labels=["python"],
    on_demand=True,
)
def sr_selection(step: Step) -> Result:
    """Which tiles of `[super_resolution] episodes` stay, by `[sr_selection]`: all but the worst or the best, of each
    stratum its share; none of a picture that looks like one of another episode, and of tiles that look alike at one
    place of an episode's pictures the best.

    Shows what sets of other sizes would be, and what each stratum loses."""
    settings = step.settings.sr_selection
    episodes = step.settings.super_resolution.of(step.episodes)
    scores = step.read("sr_tile_scores", episodes) if settings.by_model else None
    if scores is not None and settings.metric != OF_ANY_MODEL:
        check_metric(scores, settings.metric, "sr_selection")
    sources = step.read("sr_sources", episodes)
    similarity = step.settings.sr_sources.similarity
    repeated = repeated_among(sources.filter(sources["kept"]).to_pylist(), similarity)
    tiles, signals = step.read("sr_tiles", episodes), step.read("sr_tile_signals", episodes)
    found = ranked(tiles, signals, scores, settings, _strata(step, tiles), repeated, similarity)
    rows = found.selection.to_pylist()
    reasons = Counter(row["reason"] for row in rows)
    notes = {
        LADDER: ladder_markdown(found.ladder),
        CURVE: ladder_curve(found.ladder),
        STRATA: losses_markdown(found.lost, settings.strata, found.mean_lost),
    }
    return Result(
        SCHEMAS["sr_selection"].table(rows),
        {"selected": 0, **reasons, "mean_lost": found.mean_lost},
        notes={title: text for title, text in notes.items() if text},
    )


def _strata(step: Step, tiles: pa.Table) -> dict[str, Any]:
    """What the strata of `[sr_selection]` go by: of a tile's picture its shot and the queries that it meets, of a tile
    the characters and the kinds of crops that it shows."""
    settings = step.settings.sr_selection
    found = strata_behind(step, settings, settings.strata, tiles["image_id"].to_pylist())
    if not {"character", "crop"}.isdisjoint(settings.strata):
        shown = dict(crops_on_tiles(tiles.to_pylist(), step.rows("images")))
        found["crop"] = {tile_id: sorted({it["kind"] for it in crops}) for tile_id, crops in shown.items()}
        if "character" in settings.strata:
            found["character"] = _characters(step, shown)
    return found


def _characters(step: Step, shown: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[str]]:
    """The names of those on each tile. shown: the crops on it."""
    names, clusters = stored_names(step.read("character_gallery")), step.read("clusters")
    who = dict(zip(clusters["image_id"].to_pylist(), clusters["characters"].to_pylist(), strict=True))
    return {
        tile_id: named((it for crop in crops for it in who.get(crop["image_id"], ())), names)
        for tile_id, crops in shown.items()
    }


@pipeline_asset(
    kind=Kind.JOIN,
    reads=["sr_sources", "sr_tiles", "sr_selection"],
    settings=["sr_set", "sr_selection"],
    models=["embedder"],
    group="super_resolution",
    labels=["torch"],
    on_demand=True,
    checks=MEASURING,
)
def sr_tile_embeddings(step: Step) -> Result:
    """CLIP vectors of the tiles that were selected and of those next to them, which tell what may be held out for
    validation. Where `[sr_set]` holds nothing out, nobody needs them."""
    model, better = step.model("embedder"), higher_is_better(step.settings.sr_selection.metric)
    selection = step.rows("sr_selection")
    episodes = sorted({episode_of(row["image_id"]) for row in selection})
    tiles = {row["tile_id"]: row for row in step.read("sr_tiles", episodes).to_pylist()}
    chosen, free = compared(selection, tiles, step.settings.sr_set.validation_tiles, better)
    wanted = sorted({row["tile_id"] for row in (*chosen, *free)})
    return _measured(
        step,
        lambda pictures: ({"embedding": vector} for vector in model.embed(pictures)),
        model.fingerprint().sha256,
        str(step.declaration.algorithm),
        step.read("sr_sources", episodes),
        (tiles[it] for it in wanted),
    )
