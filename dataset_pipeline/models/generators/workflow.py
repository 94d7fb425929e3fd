"""Workflows of ComfyUI as templates: files in its API format whose values may be slots, as `"seed": "{seed}"`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.models.generators.backend import unknown

Workflow = dict[str, dict[str, Any]]

SLOTS = (
    "prompt", "negative_prompt", "seed", "width_px", "height_px", "steps", "guidance", "sampler", "scheduler", "model",
    "picture", "mask", "strength",
)  # fmt: skip
_SLOT = re.compile(rf"\{{({'|'.join(SLOTS)})\}}")
_OF_SETTINGS = ("model", "sampler", "scheduler")  # slots that [generator] fills


class Value(NamedTuple):
    """One value that a workflow holds. slot: whose value it is, empty for one of its own."""

    node: str
    kind: str
    name: str
    value: Any
    slot: str

    @property
    def where(self) -> str:
        if self.slot in _OF_SETTINGS:
            return f"[generator] {self.slot}"
        return f"node {self.node} ({self.kind}) {self.name}"


def read_workflow(path: Path, needed: tuple[str, ...]) -> Workflow:
    """A template. Raises PermanentError where it is none or lacks a slot that is needed, naming the file."""
    try:
        workflow = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PermanentError(f"the workflow {path} cannot be read: {error}") from None
    if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list):
        raise PermanentError(f"the workflow {path} is not in the API format: in ComfyUI take Export (API)")
    if not (isinstance(workflow, dict) and workflow and all(_is_node(node) for node in workflow.values())):
        raise PermanentError(f"the workflow {path} is none: it wants nodes with class_type and inputs, as Export (API)")
    held = {slot for text in _texts(workflow) for slot in _SLOT.findall(text)}
    if absent := [slot for slot in needed if slot not in held]:
        slots = ", ".join(f"{{{slot}}}" for slot in absent)
        raise PermanentError(f"the workflow {path} lacks the slots {slots}: without them all pictures would be alike")
    return workflow


def filled(workflow: Workflow, values: Mapping[str, Any]) -> Workflow:
    """The workflow with its slots filled: a value that is a slot takes the value as it is, text around one its text."""

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: fill(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [fill(inner) for inner in value]
        if not isinstance(value, str):
            return value
        if (slot := _slot_of(value)) in values:
            return values[slot]
        return _SLOT.sub(lambda found: str(values.get(found[1], found[0])), value)

    return fill(workflow)


def values_of(workflow: Workflow, values: Mapping[str, Any]) -> Iterator[Value]:
    """What a filled workflow gives to its nodes, but for links between them."""
    for node, made in filled(workflow, values).items():
        for name, value in made["inputs"].items():
            if not isinstance(value, list):
                slot = _slot_of(workflow[node]["inputs"][name])
                yield Value(node, made["class_type"], name, value, slot)


def fault_of(workflow: Workflow, values: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """What a server will not take of a workflow, on one line; empty if it takes it. known: by kind of node what
    `/object_info/<kind>` answers, empty for a kind that it does not have."""
    for node, made in workflow.items():
        if made["class_type"] not in known.get(made["class_type"], {}):
            return (
                f"node {node}: the server has no node {made['class_type']!r}; install what brings it, or take another"
            )
    for it in values_of(workflow, values):
        choices = _choices(known[it.kind][it.kind], it.name)
        if choices is not None and it.value not in choices:
            return unknown(it.where, str(it.value), map(str, choices))
    return ""


def _choices(info: Mapping[str, Any], name: str) -> list[Any] | None:
    """Among what a node's input chooses; None where that is free, or a file that is uploaded."""
    given = info.get("input", {})
    spec = {**given.get("required", {}), **given.get("optional", {})}.get(name)
    if not isinstance(spec, list) or not spec:
        return None
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
    if options.get("image_upload"):
        return None
    choices = spec[0] if isinstance(spec[0], list) else options.get("options") if spec[0] == "COMBO" else None
    return choices if isinstance(choices, list) else None


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def _slot_of(value: Any) -> str:
    match = _SLOT.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else ""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
