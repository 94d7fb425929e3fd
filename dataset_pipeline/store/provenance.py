"""How a table came about: what its pointer says beside where it lies."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Number = int | float | str | bool
# Numbers that are sentences, and speak against nothing: files that move, and what was not looked at.
ANIMATIONS, NOT_LOOKED_AT = "animations", "not_looked_at"


@dataclass(frozen=True)
class Provenance:
    """How a table came about. What was not recorded holds nothing: tables of earlier versions lack some of it, sources
    and side tables most.

    code_version: of the asset that made it. settings_hash, settings: of the sections that it reads, what counts.
    models: fingerprints as plain values, in the order declared. demo: demo models had a part in it. inputs: version by
    table read. numbers: what a person would plot. faults: what speaks against a check, by its name. notes: Markdown by
    title. left_out: by image id, why there is no row or no picture.
    root, path, mtime_ns, fingerprint: of a source, a row of `video`: in which root it lies and where (see
    `sources/roots.py`), when it changed, what versions it.
    holds: of a side table, the names of older tables whose rows it has; None for any other.
    unknown: what only other versions know. recorded: the fields that are recorded even if they hold nothing.
    """

    code_version: str = ""
    settings_hash: str = ""
    settings: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    demo: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    path: str = ""
    mtime_ns: int | None = None
    fingerprint: str = ""
    holds: list[str] | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Provenance:
        """What a pointer records; `to_json` gives the same again."""
        known = {name: value or _nothing(name, value) for name, value in told.items() if name in _NOTHING}
        unknown = {name: value for name, value in told.items() if name not in _NOTHING}
        for name in ("settings", "models"):
            if name in known:
                known[name] = _shared(known[name])
        if known.get("inputs"):
            known["inputs"] = {sys.intern(name): version for name, version in known["inputs"].items()}
        recorded = frozenset(known)
        return cls(**{**_NOTHING, **known}, unknown=unknown or _NONE, recorded=_SHARED.setdefault(recorded, recorded))

    def to_json(self) -> dict[str, Any]:
        """As a pointer records it: what holds something and the fields `recorded`, by their names."""
        told = {name: getattr(self, name) for name in _NOTHING}
        return {
            **self.unknown,
            **{name: value for name, value in told.items() if name in self.recorded or value != _NOTHING[name]},
        }


NOTHING_RECORDED = Provenance()
_NOTHING = {name: value for name, value in vars(NOTHING_RECORDED).items() if name not in ("unknown", "recorded")}
# What is recorded of everything that an asset makes, even if it holds nothing.
OF_AN_ASSET = frozenset(
    ("code_version", "settings_hash", "settings", "models", "demo", "inputs", "numbers", "faults", "notes")
)

_NONE: Mapping[str, Any] = {}
_SHARED: dict[Any, Any] = {}  # by what it says


def _shared(told: Any) -> Any:
    """One object for all that say the same: thousands of tables are made by the same settings and weights."""
    return _SHARED.setdefault(repr(told), told)


def _nothing(name: str, value: Any) -> Any:
    """What stands for an empty value in all provenances, if it is the usual one."""
    usual = _NOTHING[name]
    return usual if type(usual) is type(value) and usual == value else value
