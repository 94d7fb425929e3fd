"""Captions and multiplies of an exported folder made again, from what its manifest says of each image.

Works on the folder alone, wherever it was copied: no store, no graph, no models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset_pipeline.settings import DEFAULTS, CaptionsSettings, Settings, SettingsError, load_settings
from dataset_pipeline.settings.tag_rules import KINDS, MATCHES, Rules, phrases_of
from dataset_pipeline.tags.captions import image_type_of, quality_word
from dataset_pipeline.tags.templates import render
from dataset_pipeline.training.balance import balance
from dataset_pipeline.training.exporters.folder import ExportError
from dataset_pipeline.training.exporters.image_set import TRAIN
from dataset_pipeline.training.exporters.rewrite import Rewritten, Rows, rewrite

NEEDS_PICTURES = ("face_min_score",)  # of [captions]; what they change is not in a manifest


def recaption(folder: Path, changes: Mapping[str, Any], drop_missing: bool = False) -> Rewritten:
    """Render the captions of an exported folder by the settings it was made with and `changes` to [captions].

    Captions that a person edited are kept, and those that regularization images came with. Raises ExportError for a
    folder that cannot be made again, and SettingsError for settings that there are not.
    """

    def change(rows: Rows, recipe: Mapping[str, Any]) -> tuple[Rows, Mapping[str, Any]]:
        made, wanted = _captions(folder, recipe, {}), _captions(folder, recipe, changes)
        for name in NEEDS_PICTURES:
            if getattr(made, name) != getattr(wanted, name):
                raise ExportError(f"captions.{name} decides what is found on pictures: change it where the set is made")
        rules = _rules(recipe["tag_kinds"])
        captioned = [_captioned(row, made, wanted, rules) for row in rows]
        return captioned, {**recipe, "captions": wanted.model_dump(mode="json")}

    return rewrite(folder, change, drop_missing)


def rebalance(folder: Path, changes: Mapping[str, Any], drop_missing: bool = False) -> Rewritten:
    """Balance the concepts that an exported folder trains on, by the settings it was made with and `changes` to
    [concept_balance]. Held-out and regularization images keep their multiplies. Raises as `recaption`."""

    def change(rows: Rows, recipe: Mapping[str, Any]) -> tuple[Rows, Mapping[str, Any]]:
        if "balance" not in recipe:
            raise ExportError(f"{folder} does not say how it was balanced: run, then export the set again")
        settings = _settings(folder, "concept_balance", recipe["balance"], changes).concept_balance
        trained = [row["split"] == TRAIN and not row["is_reg"] for row in rows]
        counts = Counter(row["concept"] for row, is_trained in zip(rows, trained, strict=True) if is_trained)
        shares = balance(counts, settings.weights, settings.min_multiply, settings.max_multiply)
        multiplies = {share.concept: share.multiply for share in shares}
        balanced = [
            row | ({"multiply": multiplies[row["concept"]]} if is_trained else {})
            for row, is_trained in zip(rows, trained, strict=True)
        ]
        return balanced, {**recipe, "balance": settings.model_dump(mode="json")}

    return rewrite(folder, change, drop_missing)


def recipe_of(
    captions: Mapping[str, Any] | None, balance: Mapping[str, Any] | None, tags: set[str], rules: Rules
) -> dict[str, Any]:
    """What an export says so that it can be made again: [captions] and [concept_balance], None where the set was not
    made by one of each, and of which kind its tags are."""
    kinds: dict[str, list[str]] = {}
    for tag in sorted(tags):
        if kind := rules.kind_of(tag):
            kinds.setdefault(kind, []).append(tag)
    known = {"captions": captions, "balance": balance}
    return {name: value for name, value in known.items() if value is not None} | {"tag_kinds": kinds}


def _captions(folder: Path, recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> CaptionsSettings:
    if "captions" not in recipe:
        raise ExportError(
            f"{folder} does not say by which settings its captions were made, as they were several: "
            "`dataset-pipeline status` names stale episodes; run, then export the set again"
        )
    made_with = recipe["captions"]
    if "picture_type" not in made_with and "image_type" in made_with:  # pictures were called as frames are
        made_with = {**made_with, "picture_type": made_with["image_type"]}
        changes = {"picture_type": changes["image_type"], **changes} if "image_type" in changes else changes
    return _settings(folder, "captions", made_with, changes).captions


def _settings(folder: Path, section: str, made_with: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    """The settings with this section as the set was made with it, and changed. Raises SettingsError for changes that
    cannot be, and ExportError where the section itself is none of ours."""
    try:
        made = _defaults_with(section, made_with)
    except SettingsError as error:
        raise ExportError(f"{folder} was exported by another version of dataset-pipeline: {error}") from None
    return _defaults_with(section, {**made_with, **changes}) if changes else made


def _defaults_with(section: str, values: Mapping[str, Any]) -> Settings:
    return load_settings(DEFAULTS, **{f"{section}__{key}": value for key, value in values.items()})


def _captioned(
    row: Mapping[str, Any], made: CaptionsSettings, wanted: CaptionsSettings, rules: Rules
) -> dict[str, Any]:
    if row["is_reg"] and row["caption"] != _caption(row, made, rules):
        return {**row}  # regularization pictures may come with captions of their own
    said = {**row, **_changed_fields(row, made, wanted)}
    return said | {"caption": _caption(said, wanted, rules)}


def _caption(row: Mapping[str, Any], settings: CaptionsSettings, rules: Rules) -> str:
    return render({**row, "show": row["show_title"]}, settings, rules)


def _changed_fields(row: Mapping[str, Any], made: CaptionsSettings, wanted: CaptionsSettings) -> dict[str, Any]:
    """What of an image's fields comes from settings that changed."""
    said: dict[str, Any] = {}
    if image_type_of(row["image_id"], made) != image_type_of(row["image_id"], wanted):
        said["image_type"] = image_type_of(row["image_id"], wanted)
    if made.quality_words != wanted.quality_words:
        said["quality_word"] = quality_word(row["quality"], wanted)
    return said


def _rules(tag_kinds: Mapping[str, Sequence[str]]) -> Rules:
    """Rules that know of these tags what kind they are, and nothing else."""
    none = dict.fromkeys(MATCHES, ())
    known = {tag: kind for kind, tags in tag_kinds.items() for tag in tags}
    return Rules(frozenset(), {}, {kind: phrases_of(**none) for kind in KINDS}, known)
