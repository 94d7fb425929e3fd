"""Reading the settings: the defaults, a user's overlay on them, and what is wrong with either.

Unknown keys, wrong types and impossible values name the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
)

from dataset_pipeline.settings.cut import CutSettings
from dataset_pipeline.settings.folders import DEFAULTS, project_folder
from dataset_pipeline.settings.metrics import OF_ANY_MODEL, SIGNALS, check_metric_is_known
from dataset_pipeline.settings.pictures import CharacterGallerySettings
from dataset_pipeline.settings.section import SettingsError
from dataset_pipeline.settings.sections import Settings
from dataset_pipeline.settings.super_resolution import REDS_MOST_HELD_OUT
from dataset_pipeline.settings.tag_rules import RulesError, load_rules
from dataset_pipeline.settings.training_set import TagRulesSettings

OVERLAY_NAME = "settings.local.toml"
OVERLAY_VARIABLE = "DATASET_PIPELINE_SETTINGS"
NOT_ABOVE = (
    ("keyframes.lo", "keyframes.hi"),
    ("people.doubt_score", "people.seen_score"),
    ("repeated_frames.aligned_similarity", "repeated_frames.similarity"),
    ("concept_balance.min_multiply", "concept_balance.max_multiply"),
    ("alignments.min_travel", "panoramas.min_travel"),
    ("panoramas.doubtful_like_frame", "panoramas.like_frame"),
    ("panoramas.doubtful_known", "panoramas.known"),
    ("backdrops.doubtful_like_frame", "backdrops.like_frame"),
    ("backdrops.doubtful_known", "backdrops.known"),
    ("text_lines.score_floor", "burnt_in_text.min_score"),
    ("details.bucket_step_px", "details.target_px"),
)
KINDS_OF_VALUE = ("str", "list[str]")  # which of its kinds a value was taken for; no part of its name
# Of the project of the demo: its networks are so small that a CPU follows people too, as plates need it.
DEMO_DEFAULTS = {"tracks__mode": "on"}
MOST_SHOWN = 200  # characters of a value in a message


def load_settings(
    overlay: Path | None = None, *, pack_defaults: Mapping[str, Any] | None = None, **changes: Any
) -> Settings:
    """Read the defaults, then `pack_defaults`, the overlay, and `changes` (dotted keys with `__`, e.g.
    `models__pack="demo"`).

    Without `overlay` the file named by DATASET_PIPELINE_SETTINGS is used, else settings.local.toml of the project
    folder if there is one; DEFAULTS takes none. Raises SettingsError.
    """
    merged = _read(DEFAULTS)
    _set(merged, pack_defaults or {})
    overlay = None if overlay == DEFAULTS else overlay or _implied_overlay()
    if overlay is not None:
        _merge(merged, _read(overlay), overlay)
    _set(merged, changes)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_explain(error, overlay)) from None
    try:
        _check(settings)
    except SettingsError as error:
        raise SettingsError(f"{_unusable(overlay)}\n  {error}" if overlay else str(error)) from None
    if not settings.models.cache:
        return settings
    cache = str(project_folder() / Path(settings.models.cache).expanduser())
    return settings.model_copy(update={"models": settings.models.model_copy(update={"cache": cache})})


def _set(merged: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        merged.setdefault(section, {})[key] = value


def _unusable(overlay: Path | None) -> str:
    return f"settings cannot be used ({overlay})" if overlay else "settings cannot be used"


def _check(settings: Settings) -> None:
    """What settings must be to one another and to what they name. Raises SettingsError."""
    _check_bounds(settings)
    _check_outfits(settings.character_gallery)
    _check_rule_files(settings.tag_rules)
    _check_faces(settings)
    _check_details(settings)
    _check_parts(settings)
    _check_panoramas(settings)
    _check_metrics(settings)
    _check_super_resolution(settings)
    if bool(settings.cluster.broker) != bool(settings.cluster.database):
        raise SettingsError("cluster.broker and cluster.database belong together: set both, or none for one machine")
    for section in ("selection", "sr_selection"):
        cut = getattr(settings, section)
        _check_cut(section, cut, cut.strata)
    if settings.keyframes.picks_poses and settings.tracks.mode == "off":
        raise SettingsError('keyframes.mode = "poses" chooses from tracks, and tracks.mode = "off": set it to "on"')
    _ = settings.concept_balance.all_weights  # read before anything is measured
    if names := [name for name, count in Counter(it.name for it in settings.tags.concepts).items() if count > 1]:
        raise SettingsError(f"tags.concepts: more than one is named {names[0]!r}; give each a name of its own")
    if settings.descriptions.enabled and not settings.descriptions.model:
        raise SettingsError("descriptions.model is empty: name the model that the endpoint shall describe images with")
    if "://" in settings.exported_set.root and (settings.sr_set.lmdb or settings.sr_set.zip):
        raise SettingsError(
            f"exported_set.root = {settings.exported_set.root!r} takes sets file by file, and a database or an archive "
            "is one file as large as its set: write sr_set.lmdb = false and sr_set.zip = false, or name a folder"
        )


def _check_bounds(settings: Settings) -> None:
    """Settings of which one must not exceed the other. Raises SettingsError."""
    for low, high in NOT_ABOVE:
        lower, upper = attrgetter(low, high)(settings)
        if lower > upper:
            raise SettingsError(f"{low} = {lower} is above {high} = {upper}")


def _check_outfits(gallery: CharacterGallerySettings) -> None:
    """Outfits lie nearer together than characters, whose limit of 0 is the model's own. Raises SettingsError."""
    if 0 < gallery.max_difference < gallery.outfit_difference:
        raise SettingsError(
            f"character_gallery.outfit_difference = {gallery.outfit_difference} is above "
            f"character_gallery.max_difference = {gallery.max_difference}"
        )


def _check_faces(settings: Settings) -> None:
    """Faces can be asked for only where they are looked for, and not more than are allowed. Raises SettingsError."""
    selection, arrangement = settings.selection, settings.concept_balance.arrangement
    if 0 <= selection.max_faces < selection.min_faces:
        raise SettingsError(
            f"selection.min_faces = {selection.min_faces} is above selection.max_faces = {selection.max_faces}"
        )
    asking = {
        "selection.min_faces": selection.min_faces > 0,
        "selection.max_faces": selection.max_faces >= 0,
        "concept_balance.arrangement": bool({"n_faces", "fh_ratio"}.intersection(arrangement)),
    }
    if "face" not in settings.detections.kinds and (names := [name for name, asks in asking.items() if asks]):
        raise SettingsError(f'{names[0]} counts faces, which detections.kinds does not name: add "face" there')
    if selection.face_min_score < settings.detections.score_floor and any(asking.values()):
        raise SettingsError(
            f"selection.face_min_score = {selection.face_min_score} is below detections.score_floor = "
            f"{settings.detections.score_floor}, under which no face is kept"
        )


def _check_details(settings: Settings) -> None:
    """Details are cut out where their parts are looked for, and heads, so that none is cut through. Raises
    SettingsError."""
    asked = settings.details
    needed = {"head": {"head"}, "face": {"face"}, "hand": {"hand"}, "eyes": {"eye"}, "clothes": {"person"}}
    for kind in asked.kinds if asked.enabled else ():
        for missing in sorted((needed.get(kind, {"person"}) | {"head"}) - set(settings.detections.kinds)):
            raise SettingsError(
                f'details.kinds has "{kind}", for which detections.kinds must name "{missing}": add "{missing}" there'
            )


def _check_parts(settings: Settings) -> None:
    """What crops of persons must have is looked for. Raises SettingsError."""
    for name, asked, kind in (
        ("require_head", settings.crops.require_head, "head"),
        ("require_face", settings.crops.require_face, "face"),
    ):
        if asked and kind not in settings.detections.kinds:
            raise SettingsError(f'crops.{name} asks for what detections.kinds does not name: add "{kind}" there')


def _check_panoramas(settings: Settings) -> None:
    """Frames leave for a panorama only where there are any. Raises SettingsError."""
    if settings.selection.frames_of_panoramas == "thin" and settings.alignments.panoramas == "off":
        raise SettingsError(
            'selection.frames_of_panoramas = "thin" leaves out frames that a panorama shows, and alignments.panoramas '
            '= "off" makes none: set that to "on", or this to "keep"'
        )


def _check_metrics(settings: Settings) -> None:
    """Metrics that are named exist, so that no run measures everything first. Raises SettingsError."""
    if settings.models.quality:
        check_metric_is_known("models.quality", settings.models.quality)
    check_metric_is_known("selection.metric", settings.selection.metric)
    check_metric_is_known("sr_selection.metric", settings.sr_selection.metric, (OF_ANY_MODEL, *SIGNALS))


def _check_cut(section: str, cut: CutSettings, strata: Sequence[str]) -> None:
    """Shares are shares, and strata by queries have queries. Raises SettingsError."""
    if cut.by != "score" and not 0 <= cut.amount <= (100 if cut.by == "percentile" else math.inf):
        raise SettingsError(f"{section}.amount = {cut.amount:g} is no {cut.by}")
    if ("query" in strata) != bool(cut.queries):
        missing = "queries is empty: name some" if "query" in strata else 'strata lacks "query": add it'
        raise SettingsError(f"{section}.strata and {section}.queries belong together, and {section}.{missing}")


def _check_super_resolution(settings: Settings) -> None:
    """What is excluded can be read, shares are shares, and tiles divide by the scales of their pairs. Raises
    SettingsError."""
    folder = settings.sr_sources.excluded_folder
    if folder is not None and not folder.is_dir():
        raise SettingsError(f"sr_sources.excluded = {settings.sr_sources.excluded!r}: there is no folder {folder}")
    tile_px, cut = settings.sr_tiles.tile_px, settings.sr_selection
    found = {"character", "crop", "query"}.intersection(cut.strata)
    if found and settings.sr_sources.of != "stills":
        raise SettingsError(
            f'sr_selection.strata has "{min(found)}", and sr_sources.of = "{settings.sr_sources.of}": no model looks '
            'at those pictures; set it to "stills"'
        )
    if cut.by == "score" and cut.metric == OF_ANY_MODEL:
        raise SettingsError(
            'sr_selection.by = "score" needs a metric that is named, as 0.2 of one means nothing of another: set '
            'sr_selection.metric to that of [models] quality, e.g. "hyperiqa"'
        )
    sequences = settings.sr_sequences
    if sequences.layout == "reds" and sequences.validation_sequences > REDS_MOST_HELD_OUT:
        raise SettingsError(
            f"sr_sequences.validation_sequences = {sequences.validation_sequences} is above {REDS_MOST_HELD_OUT}: "
            "BasicSR has no more names of clips that it keeps out of training"
        )
    if settings.sr_sources.of == "releases":
        _check_pairs(settings)
    for scale in settings.sr_set.scales:
        if tile_px % scale:
            raise SettingsError(f"sr_tiles.tile_px = {tile_px} does not divide by {scale}, which sr_set.scales names")


def _check_pairs(settings: Settings) -> None:
    """What tiles of pairs need: their low-quality pictures are the low release's own. Raises SettingsError."""
    scale = settings.release_pairs.scale
    if settings.sr_set.scales != [scale]:
        raise SettingsError(
            f"sr_set.scales = {settings.sr_set.scales}: pairs of releases have the one scale that release_pairs.scale "
            f"says; set sr_set.scales = [{scale}]"
        )
    if settings.sr_set.recipe:
        raise SettingsError("sr_set.recipe would do nothing: sr_sources.of = 'releases' takes pictures as they are")
    if settings.sr_tiles.step_px % scale:
        raise SettingsError(f"sr_tiles.step_px = {settings.sr_tiles.step_px} does not divide by {scale}, which "
                            "release_pairs.scale names")  # fmt: skip


def _check_rule_files(rules: TagRulesSettings) -> None:
    """Parse the user's rule files before anything is measured. Raises SettingsError."""
    if not rules.folder:
        return
    try:
        load_rules(rules)
    except RulesError as error:
        raise SettingsError(f"tag_rules.folder = {rules.folder!r}: {error}") from None
    except OSError as error:
        raise SettingsError(f"tag_rules.folder = {rules.folder!r} cannot be read: {error}") from None


def _implied_overlay() -> Path | None:
    named = os.environ.get(OVERLAY_VARIABLE)
    if named:
        return Path(named)
    local = project_folder() / OVERLAY_NAME
    return local if local.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(f"settings file {path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"settings file {path} is not valid TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"settings file {path} cannot be read: {error.strerror or error}") from None


def _merge(into: dict[str, Any], overlay: dict[str, Any], path: Path) -> None:
    for section, values in overlay.items():
        if not isinstance(values, dict):
            raise SettingsError(f"{path}: `{section}` must be a table, e.g. [{section}], not {values!r}")
        into.setdefault(section, {}).update(values)


def _explain(error: ValidationError, overlay: Path | None) -> str:
    lines = [_unusable(overlay)]
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"] if part not in KINDS_OF_VALUE)
        if fault["type"] == "extra_forbidden":
            known = ", ".join(_schema_at(fault["loc"][:-1]).get("properties", ()))
            lines.append(f"  {key} = {_shown(fault['input'])}: unknown key; known here: {known}")
        elif fault["type"] == "missing":
            lines.append(f"  {key}: missing")
        else:
            lines.append(f"  {key} = {_shown(fault['input'])}: {_wrong(fault, _schema_at(fault['loc']))}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def _wrong(fault: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    if fault["type"] == "string_pattern_mismatch" and "description" in node:
        return f"must be {node['description']}"
    return fault["msg"] + _allowed(node)


def _schema_at(location: tuple[int | str, ...]) -> dict[str, Any]:
    """The JSON schema of a key, be it of a free-form table; empty where there is none."""
    root = Settings.model_json_schema()
    node = root
    for part in location:
        free = node.get("additionalProperties")
        within = node.get("items") if isinstance(part, int) else node.get("properties", {}).get(part, free)
        if not isinstance(within, dict):
            return {}
        node = within
        if "$ref" in node:
            node = root["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _allowed(node: Mapping[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    bounds = [f"{word} {node[bound]}" for bound, word in words.items() if bound in node]
    return f" (allowed: {' '.join(bounds)})" if bounds else ""
