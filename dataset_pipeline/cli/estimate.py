"""`estimate`: how long a run will take here, and how much disk, from a minute of measuring."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import psutil
import typer

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.cli.common import (
    FAILED,
    PARTLY,
    JsonOption,
    ModelsOption,
    SettingsOption,
    SourcesArgument,
    settings_from,
    stop,
)
from dataset_pipeline.cli.console import FOR_PATHS, duration, err, out, showing_progress, table_of
from dataset_pipeline.cli.run import find_in

if TYPE_CHECKING:
    from dataset_pipeline.reports.estimate.costs import Estimate

LEAST_SHARE = 0.005  # stages of less than that are summed up


def estimate(
    paths: SourcesArgument = None,
    seconds: Annotated[float, typer.Option(help="About how long to measure.", min=1.0, max=3600.0)] = 60.0,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """How long `run` will take for the same paths on this machine, and how much disk: measured on excerpts of them.

    Nothing is kept of it. What is done already costs nothing; with too little room on a disk the exit code is 1. Where
    images are to be described, the service is asked about those of the excerpts."""
    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.reports.estimate.measuring import estimate as measure
    from dataset_pipeline.sources.roots import roots_of

    settings = settings_from(settings_file, models)
    places = paths or roots_of(settings)
    found = find_in(places, settings, folders_of_shows=not paths)
    faults = {str(entry.path): entry.reason for entry in found.rejected}
    if not found.sources:
        for path, reason in faults.items():
            err.print(f"{path}: {reason}", style="red", **FOR_PATHS)
        stop(f"no episodes in {', '.join(map(str, places))}")
    try:
        with showing_progress(as_json, inner=False) as show:
            told = measure(
                settings, found.sources, build_definitions, seconds, psutil.Process().create_time(), show.outer
            )
    except PermanentError as error:
        stop(str(error))
    told.faults.update(faults)
    if as_json:
        print(json.dumps(asdict(told) | {"lacking_bytes": told.lacking_bytes}, indent=1))
    else:
        print_estimate(told)
    if told.lacking_bytes:
        raise typer.Exit(FAILED)
    if told.faults:
        raise typer.Exit(PARTLY)


def print_estimate(told: Estimate) -> None:
    if told.done:
        out.print(f"{len(told.done)} episodes are done and cost nothing more.")
    if told.episodes:
        table = table_of("stage", "time", "disk", "for", title="What a run will cost", title_justify="left")
        small_s = small_bytes = 0.0
        for stage in sorted(told.stages, key=lambda stage: -stage.seconds):
            if stage.seconds < LEAST_SHARE * told.seconds and stage.disk_bytes < LEAST_SHARE * sum(
                told.disk_bytes.values()
            ):
                small_s, small_bytes = small_s + stage.seconds, small_bytes + stage.disk_bytes
                continue
            table.add_row(
                stage.asset, duration(stage.seconds), size(stage.disk_bytes), f"{stage.units:.0f} {stage.driver}"
            )
        table.add_row("the others", duration(small_s), size(small_bytes), "")
        out.print(table)
        rests = told.rests_on
        of = f"{rests['seconds_of_video']:.0f} s of video" if rests["seconds_of_video"] else "pictures"
        looks = ", ".join(f"{role} {count}" for role, count in rests["looked_at"].items())
        out.print(
            f"Measured for {rests['took_s']:.0f} s on {rests['windows']} windows of {len(rests['episodes'])} episodes: "
            f"{of}, {rests['units']['candidates']:.0f} candidates, {rests['units']['stills']:.0f} stills. "
            f"Pictures that models looked at: {looks}.",
            **FOR_PATHS,
        )
        out.print("Models on " + ", ".join(f"{device} ({role})" for role, device in told.devices.items()) + ".")
        out.print(f"Memory: at least {size(told.peak_memory_bytes)}.")
    for path, reason in told.faults.items():
        err.print(f"{path}: {reason}; it is not counted", style="yellow", **FOR_PATHS)
    need = ", ".join(f"{size(much)} {place}" for place, much in told.disk_bytes.items())
    out.print(
        f"{told.episodes} episodes: about {duration(told.seconds)} "
        f"({duration(told.core_seconds)} of one core); {need}.",
        **FOR_PATHS,
    )
    for disk, lacking in told.lacking_bytes.items():
        err.print(f"{disk}: {size(lacking)} more than is free there", style="red", **FOR_PATHS)


def size(size_bytes: float) -> str:
    for unit, power in (("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= power:
            return f"{size_bytes / power:.1f} {unit}"
    return f"{size_bytes / 1e3:.0f} kB"
