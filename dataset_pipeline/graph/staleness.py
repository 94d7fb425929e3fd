"""What of a table is not as it would be if it were made now, and why: one answer for the runs that make tables and for
what `status` says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dataset_pipeline.graph.declaration import Declaration
from dataset_pipeline.graph.versions import NO_ROWS
from dataset_pipeline.models.device import runs_on_gpu
from dataset_pipeline.models.injected import NOT_PULLED
from dataset_pipeline.settings import CONTENT, Section, Settings
from dataset_pipeline.settings.changes import told_change
from dataset_pipeline.store.condition import Condition
from dataset_pipeline.store.left_out import UNMEASURED
from dataset_pipeline.store.provenance import Provenance

UNANSWERED = "unanswered"  # the number of an asset that says how often a service gave no answer
UNREADABLE = "unreadable"  # the same of pictures that could not be read
WITHOUT_GPU = "without_gpu"  # whether an asset that needs a GPU made nothing because there was none
READABLE = "readable"  # whether there was a picture to be had from a source


@dataclass(frozen=True)
class Verdict:
    """Why a table is not current, in words; with nothing said it is.

    `missing`: why there is none that can be used. `stale`: what differs from what it was made from. `again`: what could
    not be had when it was made, and is tried once more by each run. `follows`: what the tables that it reads put right
    when they are made again.
    """

    missing: str = ""
    stale: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()

    @property
    def current(self) -> bool:
        """Whether a run keeps the table as it is."""
        return not (self.missing or self.stale or self.again or self.follows)


@dataclass
class Present:
    """The settings and the weights (sha256 by model role) of now. It remembers the versions that follow from them."""

    settings: Settings
    weights: Mapping[str, str]
    _versions: dict[tuple[Declaration, tuple[str, ...]], str] = field(default_factory=dict)
    _sections: dict[str, dict[str, Any]] = field(default_factory=dict)

    def code_version(self, declaration: Declaration, weights: Sequence[str]) -> str:
        """The version of an asset whose models, in the order declared, have these weights."""
        key = (declaration, tuple(weights))
        if key not in self._versions:
            by_role = dict(zip(declaration.models, weights, strict=True))
            self._versions[key] = declaration.code_version(self.settings, by_role)
        return self._versions[key]

    @cached_property
    def runs_on_gpu(self) -> bool:
        """Whether the networks that look for people run on a GPU."""
        return runs_on_gpu(self.settings.models.device)

    def counted(self, section: str) -> dict[str, Any]:
        """What counts of a section of the settings."""
        if section not in self._sections:
            self._sections[section] = getattr(self.settings, section).counted()
        return self._sections[section]


def verdict_on(declaration: Declaration, found: Condition, present: Present, inputs: Mapping[str, str]) -> Verdict:
    """Judge one table.

    inputs: the versions of what the asset reads, by table, empty for one that is not there. Models whose weights are
    not here are taken for those that the table was made with.
    """
    if found.pointer is None or found.fault:
        return Verdict(missing=found.fault or "never made")
    made_from, own = found.pointer.provenance, f"{declaration.name}/"
    gone = sum(path.startswith(own) for path in found.gone)
    elsewhere = len(found.gone) - gone
    return Verdict(
        stale=(
            *_other_code(declaration, present, made_from),
            *_other_inputs(made_from.inputs, inputs),
            *([f"{_pictures(gone)} gone"] if gone else ()),
        ),
        again=tuple(_tried_again(made_from.numbers, present)),
        follows=(
            *(f"{read} is missing" for read, version in inputs.items() if not version),
            *([f"{_pictures(elsewhere)} gone that other assets made"] if elsewhere else ()),
        ),
    )


def _other_code(declaration: Declaration, present: Present, made_from: Provenance) -> list[str]:
    recorded = {model.get("role"): model["sha256"] for model in made_from.models}
    now = {role: present.weights[role] for role in declaration.models}
    known = {role: recorded.get(role, sha256) if sha256 == NOT_PULLED else sha256 for role, sha256 in now.items()}
    version = made_from.code_version
    if version == present.code_version(declaration, list(known.values())):
        return []
    changes = (_changed(present, section, made_from.settings.get(section, {})) for section in declaration.settings)
    reasons = [change for change in changes if change]
    reasons += [f"{role}: other weights" for role, sha256 in known.items() if recorded.get(role) != sha256]
    if not reasons or not version.startswith(f"{declaration.algorithm}-"):
        reasons.append("newer version of the step")
    return reasons


def _other_inputs(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """An input that is absent now is not counted here: its own place tells of it. A new one without rows is as good as
    none."""
    changed = [read for read, version in now.items() if version and read in before and before[read] != version]
    added = [read for read, version in now.items() if version not in ("", NO_ROWS) and read not in before]
    dropped = [read for read in before if read not in now]
    words = (("{} changed", changed), ("now reads {}", added), ("no longer reads {}", dropped))
    return [told.format(", ".join(reads)) for told, reads in words if reads]


def _tried_again(numbers: Mapping[str, Any], present: Present) -> Iterable[str]:
    if numbers.get(WITHOUT_GPU) and present.runs_on_gpu:
        yield "left out for want of a GPU, and there is one"
    if numbers.get(READABLE) is False:
        yield "the source could not be read: tried again"
    if count := numbers.get(UNREADABLE):
        yield f"{count} picture{'s' if count > 1 else ''} could not be read: tried again"
    if count := numbers.get(UNMEASURED):
        yield f"{count} picture{'s' if count > 1 else ''} could not be measured: tried again"
    if count := numbers.get(UNANSWERED):
        yield f"{count} image{'s' if count > 1 else ''} unanswered: asked again"


def _pictures(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count} pictures are"


def _changed(present: Present, section: str, before: Mapping[str, Any]) -> str:
    """E.g. `[crops] person_min_side_px 160 -> 320`; empty if nothing that counts has changed."""
    now = present.counted(section)
    values: Section = getattr(present.settings, section)
    # Tables of earlier versions recorded what counts for nothing, and not their files.
    names = {**now, **before}.keys() - values.marked() - ({CONTENT} - before.keys())
    changes = [told_change(name, before, now) for name in {**now, **before} if name in names]
    told = ", ".join(change for change in changes if change)
    return f"[{section}] {told}" if told else ""
