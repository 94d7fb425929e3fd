"""A changed setting in words: `min_quality 0.2 -> 0.3`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dataset_pipeline.settings.section import CONTENT

LONGEST_CHANGE = 100


def told_change(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How one key of a section changed; empty if it did not. before, now: what counts of the section."""
    if name == CONTENT:
        return "its files" if before.get(name) != now.get(name) else ""
    if name not in now:
        return f"{name} is gone"
    if name not in before:
        return f"{name} is new"
    old, new = before[name], now[name]
    if old == new:
        return ""
    if isinstance(old, list) and isinstance(new, list):
        parts = [f"+{json.dumps(entry)}" for entry in new if entry not in old]
        parts += [f"-{json.dumps(entry)}" for entry in old if entry not in new]
        if parts:
            return _shortened(f"{name} {' '.join(parts)}")
    return _shortened(f"{name} {json.dumps(old)} -> {json.dumps(new)}")


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_CHANGE else text[: LONGEST_CHANGE - 2] + " …"
