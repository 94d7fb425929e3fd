"""The settings that a lineage tells, as far as they can be some: anybody may have edited a manifest since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import ValidationError

from dataset_pipeline.settings import DEFAULTS, Section, load_settings
from dataset_pipeline.store.lineage import Lineage, Made


def fitting(lineage: Lineage) -> tuple[Lineage, tuple[str, ...]]:
    """The lineage without the sections whose values fit no setting, which are unknown then, and these in words. Keys
    of other versions stay, as they are only ever compared."""
    faults: dict[str, None] = {}
    kept: dict[int, Made] = {}  # most episodes of a step share one
    steps: dict[str, dict[str, Made]] = {}
    for asset, by_episode in lineage.steps.items():
        for episode, made in by_episode.items():
            if id(made) not in kept:
                found = {section: _fault(section, values) for section, values in made.settings.items()}
                settings = {section: values for section, values in made.settings.items() if not found[section]}
                faults |= dict.fromkeys(f"recorded for {asset}: {fault}" for fault in found.values() if fault)
                kept[id(made)] = replace(made, settings=settings)
            steps.setdefault(asset, {})[episode] = kept[id(made)]
    return replace(lineage, steps=steps), tuple(faults)


def _fault(section: str, values: Mapping[str, Any]) -> str:
    """The first value that its section would not take; empty if it takes all."""
    found = _usual(section)
    if found is None:
        return ""
    usual = found.model_dump()
    known = {name: value for name, value in values.items() if name in usual}
    try:
        type(found).model_validate({**usual, **known})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        return f"[{section}] {'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
    return ""


@cache
def _usual(section: str) -> Section | None:
    found = getattr(load_settings(DEFAULTS), section, None)
    return found if isinstance(found, Section) else None
