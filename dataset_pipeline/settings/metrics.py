"""The metrics that settings may name: the quality models of resources/models.toml, and what takes no model."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence

from dataset_pipeline.settings.folders import resources_folder
from dataset_pipeline.settings.section import SettingsError

SIGNALS = ("blockiness", "sharpness", "noise", "banding", "complexity")  # of tiles; no model is asked
OF_ANY_MODEL = "quality"  # whichever `[models] quality` names


@functools.cache
def _in_registry() -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of models of quality, and why other metrics of pyiqa are not served. Raises SettingsError."""
    path = resources_folder() / "models.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    names = (name for name, entry in table.get("models", {}).items() if entry.get("role") == "quality")
    return tuple(names), table.get("refused_metrics", {})


def check_metric_is_known(setting: str, metric: str, besides: Sequence[str] = ()) -> None:
    """That `setting` names a model of quality, or one of `besides`. Raises SettingsError with what is known, or with
    why this metric is not served and what to do."""
    known, refused = _in_registry()
    if metric in known or metric in besides:
        return
    if metric in refused:
        raise SettingsError(f"{setting} = {metric!r} is not served: {refused[metric]}")
    raise SettingsError(f"{setting} = {metric!r} is no metric that is known: {', '.join((*besides, *known))}")
