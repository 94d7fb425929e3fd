"""Values of a decision and the limits they are held against, as the first screen says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataset_pipeline.reports.explain import Decision

Row = Mapping[str, Any]


def setting_of(decision: Decision, section: str, name: str) -> Any:
    return decision.settings.get(section, {}).get(name)


def limit_of(decision: Decision, section: str, name: str) -> str:
    """`head_min_side_px 96`, with the section before it if it is not the asset's own."""
    value = setting_of(decision, section, name)
    shown = ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else number(value)
    where = "" if section == decision.asset else f"[{section}] "
    return f"{where}{name} {shown}" if value is not None else f"{where}{name}"


def against(value: Any, sign: str, decision: Decision, section: str, name: str) -> str:
    return f"{number(value)} {sign} {limit_of(decision, section, name)}"


def number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def name_of(character: str, names: Mapping[str, str]) -> str:
    name = names.get(character, "")
    return f"{name} ({character})" if name and name != character else character


def plainly(row: Row) -> str:
    """Of a table without words of its own: its short values."""
    plain = {name: value for name, value in row.items() if isinstance(value, (str, int, float)) and value != ""}
    return ", ".join(f"{name} {number(value)}" for name, value in plain.items())
