"""New captions (`recaption`) and multiplies (`rebalance`) for an exported folder, computed from its manifest.

Only the folder is needed, wherever it was copied: no store, no graph, no models.
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
from dataset_pipeline.training.exporters.exported_folder import Rows
from dataset_pipeline.training.exporters.folder import ExportError
from dataset_pipeline.training.exporters.image_set import TRAIN
from dataset_pipeline.training.exporters.rewrite import RewriteReport, rewrite

NEEDS_PICTURES = ("face_min_score",)  # keys of [captions] that need the pictures; a manifest is not enough


def recaption(folder: Path, changes: Mapping[str, Any], drop_missing: bool = False) -> RewriteReport:
    """Render the captions of an exported folder again, by the settings it was made with and `changes` to [captions].

    Captions that a person edited are kept, and those of regularization images. Raises ExportError for a
    folder that cannot be rewritten, and SettingsError for wrong settings.
    """

    def change(rows: Rows, recipe: Mapping[str, Any]) -> tuple[Rows, Mapping[str, Any]]:
        made, wanted = captions_of(folder, recipe, {}), captions_of(folder, recipe, changes)
        for name in NEEDS_PICTURES:
            if getattr(made, name) != getattr(wanted, name):
                raise ExportError(f"captions.{name} decides what is found on pictures: change it where the set is made")
        rules = rules_of(recipe["tag_kinds"])
        captioned = [_captioned(row, made, wanted, rules) for row in rows]
        return captioned, {**recipe, "captions": wanted.model_dump(mode="json")}

    return rewrite(folder, change, drop_missing)


def rebalance(folder: Path, changes: Mapping[str, Any], drop_missing: bool = False) -> RewriteReport:
    """Balance the concepts that an exported folder trains on, by the settings it was made with and `changes` to
    [concept_balance]. Held-out images keep their multiplies, regularization classes get as many slots as the images
    beside them then have; clips get the multiplies of the images of their concept. Raises as `recaption`."""

    def change(rows: Rows, recipe: Mapping[str, Any]) -> tuple[Rows, Mapping[str, Any]]:
        if "balance" not in recipe:
            raise ExportError(f"{folder} does not say how it was balanced: run, then export the set again")
        settings = settings_of(folder, "concept_balance", recipe["balance"], changes).concept_balance
        trained = [row["split"] == TRAIN and not row["is_reg"] for row in rows]
        counts = Counter(
            row["concept"] for row in rows if row["split"] == TRAIN and not (row["is_reg"] or row["frames"])
        )
        shares = balance(counts, settings.weights, settings.min_multiply, settings.max_multiply)
        multiplies = {share.concept: share.multiply for share in shares}
        balanced = [
            row | ({"multiply": multiplies.get(row["concept"], row["multiply"])} if is_trained else {})
            for row, is_trained in zip(rows, trained, strict=True)
        ]
        return balanced, {**recipe, "balance": settings.model_dump(mode="json")}

    return rewrite(folder, change, drop_missing)


def recipe_of(
    captions: Mapping[str, Any] | None, balance: Mapping[str, Any] | None, tags: set[str], rules: Rules
) -> dict[str, Any]:
    """What captions and multiplies can be computed from again: [captions] and [concept_balance], None if the set was
    made with several of them, and the kinds of its tags."""
    kinds: dict[str, list[str]] = {}
    for tag in sorted(tags):
        if kind := rules.kind_of(tag):
            kinds.setdefault(kind, []).append(tag)
    known = {"captions": captions, "balance": balance}
    return {name: value for name, value in known.items() if value is not None} | {"tag_kinds": kinds}


def captions_of(folder: Path, recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> CaptionsSettings:
    """The [captions] that a folder's recipe says, and then changed. Raises ExportError where it says none."""
    if "captions" not in recipe:
        raise ExportError(
            f"{folder} does not say by which settings its captions were made, as they were several: "
            "`dataset-pipeline status` names stale episodes; run, then export the set again"
        )
    made_with = recipe["captions"]
    if "picture_type" not in made_with and "image_type" in made_with:  # pictures were called as frames are
        made_with = {**made_with, "picture_type": made_with["image_type"]}
        changes = {"picture_type": changes["image_type"], **changes} if "image_type" in changes else changes
    return settings_of(folder, "captions", made_with, changes).captions


def settings_of(folder: Path, section: str, made_with: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    """The settings with this section as the set was made with it, and then changed. Raises SettingsError for wrong
    changes, and ExportError if the section itself is not valid."""
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
    if row["is_reg"]:
        return {**row}  # they say what the picture was made from, or what it came with
    changed = {**row, **_changed_fields(row, made, wanted)}
    return changed | {"caption": _caption(changed, wanted, rules)}


def _caption(row: Mapping[str, Any], settings: CaptionsSettings, rules: Rules) -> str:
    return render({**row, "show": row["show_title"]}, settings, rules)


def _changed_fields(row: Mapping[str, Any], made: CaptionsSettings, wanted: CaptionsSettings) -> dict[str, Any]:
    """The caption fields of an image that depend on settings, where these changed."""
    fields: dict[str, Any] = {}
    if image_type_of(row["image_id"], made) != image_type_of(row["image_id"], wanted):
        fields["image_type"] = image_type_of(row["image_id"], wanted)
    if made.quality_words != wanted.quality_words:
        fields["quality_word"] = quality_word(row["quality"], wanted)
    return fields


def rules_of(tag_kinds: Mapping[str, Sequence[str]]) -> Rules:
    """Rules that know only the kinds of these tags."""
    none = dict.fromkeys(MATCHES, ())
    known = {tag: kind for kind, tags in tag_kinds.items() for tag in tags}
    return Rules(frozenset(), {}, {kind: phrases_of(**none) for kind in KINDS}, known)
