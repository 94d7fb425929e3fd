"""`find`: the images that a question picks out."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from dataset_pipeline.cli.common import JsonOption, ModelsOption, SettingsOption, settings_from, stop
from dataset_pipeline.cli.console import FOR_PATHS, err


def find(
    question: Annotated[
        str, typer.Argument(help="Such as: 1girl and not 1boy and red_hair >= 0.5 and character:fern and quality > 0.4")
    ],
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the images whose tags, characters and quality answer a question: id and path, a line each."""
    from dataset_pipeline.graph.project import demo_hint, store_of
    from dataset_pipeline.reports.find import find as search
    from dataset_pipeline.settings.query import QueryError

    settings = settings_from(settings_file, models)
    store = store_of(settings)
    try:
        matches = list(search(store, question, settings.tag_thresholds))
    except QueryError as error:
        stop(str(error))
    if as_json:
        print(json.dumps([asdict(match) for match in matches], indent=1))
        return
    for match in matches:
        print(f"{match.image_id}\t{match.path}")
    if matches or store.episodes("tag_scores"):
        err.print(f"{len(matches)} images", highlight=False)
    else:
        err.print(f"there is nothing in {store.root} yet: `{settings.run_command}` fills it", **FOR_PATHS)
        if hint := demo_hint(settings, store):
            err.print(hint, **FOR_PATHS)
