"""The two sides of a comparison: a set in an exported folder, or a version of the training set in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_pipeline.assets.training import training_set
from dataset_pipeline.base.file_names import sha256_of_file
from dataset_pipeline.base.ids import is_clip
from dataset_pipeline.base.paths import links_out, long_path
from dataset_pipeline.corrections.addressing import MATCHED
from dataset_pipeline.corrections.answers import chosen_by_hand
from dataset_pipeline.graph.declaration import DECLARATIONS, ancestors, is_joined
from dataset_pipeline.graph.lineage import lineage_in, made_by, pointers_in, table_name
from dataset_pipeline.settings import (
    DEFAULTS,
    CaptionsSettings,
    ConceptBalanceSettings,
    Settings,
    SettingsError,
    load_settings,
)
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.store.lineage import JOINED, Lineage, Made
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.store import Store, StoreError
from dataset_pipeline.training.clips import rows_of_set
from dataset_pipeline.training.exporters import PROFILES, load_profile
from dataset_pipeline.training.exporters.documents import MANIFEST
from dataset_pipeline.training.exporters.folder import CHECKSUMS, ExportError, checksums_in, files_in, within
from dataset_pipeline.training.exporters.image_set import CAPTION_FIELDS, CLIP_PARTS
from dataset_pipeline.training.exporters.manifest_json import read_manifest
from dataset_pipeline.training.exporters.remake import captions_of, rules_of, settings_of
from dataset_pipeline.training.manifest import left_out_reasons
from dataset_pipeline.training.set_diff.diff import SetDiff, diff
from dataset_pipeline.training.set_diff.recorded import fitting
from dataset_pipeline.training.set_diff.sets import Image, Row, Rows, TrainingSet, no_tables
from dataset_pipeline.training.split import VALIDATION

SET = training_set.name
CLIPS = ("clips", "training_clips")
CURRENT = "current"
NAMES_TOLD = 3
LONGEST_CAPTION_BYTES = 1 << 20
# Files of a folder that are read to see whether somebody edited them.
TEXTS = frozenset({".txt", ".toml", ".yaml", ".yml", ".json", ".jsonl", ".csv", ".md"})
LONGEST_TEXT_BYTES = 1 << 26
# What is read of a table: the rest would only fill the memory.
COLUMNS = {
    "selection": ["image_id", "selected", "reason", "quality"],
    "distinct_frames": ["image_id", "kept", "group", "similarity", "reason"],
    "panoramas": ["image_id", "verdict", "reason"],
    "backdrops": ["image_id", "verdict", "reason"],
    "crops": ["image_id", "kind", "width_px", "height_px", "score", "reason"],
    "details": ["image_id", "kept", "group", "reason"],
    "tags": ["image_id", "hand_edited", "dropped"],
    "training_images": ["image_id", "source_sha256"],
    "clips": ["image_id", "start_s", "end_s", "reason"],
    SET: ["image_id"],
}


class SideError(ValueError):
    """A name that is no set; the message says what there is."""


@dataclass(frozen=True)
class Side:
    """A set with a way to its pictures: the encoded bytes of an image's. Raises OSError or ValueError if there are
    none to be had."""

    set: TrainingSet
    picture: Callable[[str], bytes]


@dataclass(frozen=True)
class SetVersion:
    """A training set that lies in the store. age_s: seconds since it was made, or found to be wanted again."""

    name: str
    age_s: float
    current: bool
    images: int
    traced: bool


def compare(old: Side, new: Side) -> SetDiff:
    """All that differs between two sides, by the graph as it is declared."""
    joined = {name for name in DECLARATIONS if is_joined(name)}
    return diff(old.set, new.set, {name: ancestors(it) for name, it in DECLARATIONS.items()}, joined)


# ---------------------------------------------------------------------------------------------------- a folder


def side_of_folder(path: Path, stores: Iterable[Store]) -> Side:
    """The set in an exported folder, or of its manifest. stores: that may have made it; where one still has the tables
    behind it, these tell more than the manifest does. Raises ExportError."""
    folder, document = (path, MANIFEST) if path.is_dir() else (path.parent, path.name)
    listed = read_manifest(folder, document)
    recipe = listed.get("recipe", {})
    entries = {entry["image_id"]: entry for entry in listed["images"]}
    if len(entries) < len(listed["images"]):
        raise ExportError(f"{folder / document} lists an image twice: copy the folder again")
    profile = load_profile(listed["profile"]) if listed["profile"] in PROFILES else None
    edited, done = _since_export(folder, entries) if document == MANIFEST else ({}, ())
    told = listed["about"].get("lineage")
    lineage, faults = fitting(_with_recipe(Lineage.from_json(told) if told else Lineage(), recipe))
    tables, over_quota = _tables_of(stores, told)
    made = TrainingSet(
        name=str(path),
        images={it: _of_entry(entry, edited.get(it)) for it, entry in entries.items()},
        lineage=lineage,
        captions=_known(lambda: captions_of(folder, recipe, {})),
        balance=_known(lambda: settings_of(folder, "concept_balance", recipe["balance"], {}).concept_balance)
        if "balance" in recipe
        else None,
        rules=rules_of(recipe["tag_kinds"]) if "tag_kinds" in recipe else None,
        keeps_mark=profile is not None and profile.keeps_mark,
        has_clips=profile is not None and profile.reads_clips,
        faults=(*done, *faults),
        tables=tables,
        over_quota=over_quota,
    )
    from_shard = profile.read_from_shard if profile else None

    def picture(image_id: str) -> bytes:
        if is_clip(image_id):
            raise ValueError(f"{image_id} is a clip and no picture")
        place, _, name = entries[image_id]["file"].partition("#")
        file = within(folder, place, str(folder / document))
        return from_shard(file, name) if from_shard else file.read_bytes()

    return Side(made, picture)


def _of_entry(entry: Mapping[str, Any], edited: str | None) -> Image:
    said = {**CAPTION_FIELDS, **entry["said"]}
    return _image(entry, said, entry["part"], edited if edited is not None else entry["caption"], edited is not None)


def _image(row: Row, said: Row, part: str, caption: str, by_hand: bool = False) -> Image:
    fields = {**said, "image_id": row["image_id"], "kind": row["kind"], "show": said.get("show_title") or ""}
    return Image(
        image_id=row["image_id"],
        part=part,
        concept=row["concept"],
        multiply=1.0 if part == VALIDATION else float(f"{row['multiply']:.6g}"),
        caption=caption,
        sha256=row.get("sha256") or row["file_sha256"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        kind=row["kind"],
        quality=row["quality"],
        fields=fields,
        by_hand=by_hand,
    )


def _since_export(folder: Path, entries: Mapping[str, Row]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What was done to a folder since it was written: the captions beside pictures that a person changed, by image id,
    and in words the files that are missing or were changed besides. Pictures are not read."""
    try:
        sums = checksums_in(folder)
    except (OSError, UnicodeDecodeError):
        return {}, ()  # a manifest without its folder
    places = {it: str(PurePosixPath(entry["file"]).with_suffix(".txt")) for it, entry in entries.items()}
    beside = {
        it: place
        for it, place in places.items()
        if sums.get(place) == hashlib.sha256(entries[it]["caption"].encode()).hexdigest()
    }
    captions = set(beside.values())
    texts = {it: digest for it, digest in sums.items() if it not in captions and PurePosixPath(it).suffix in TEXTS}
    return _edited_captions(folder, beside, sums), _other_files(folder, sums, texts)


def _other_files(folder: Path, sums: Mapping[str, str], texts: Mapping[str, str]) -> tuple[str, ...]:
    present, outside = files_in(folder), set(links_out(folder, texts))
    missing = [f"{path} is missing" for path in sums if path not in present]
    changed = [
        f"{path} was changed"
        for path, digest in texts.items()
        if path in outside or (path in present and _is_changed(present[path], digest))
    ]
    found = [*changed, *missing]
    if not found:
        return ()
    more = f" and {len(found) - NAMES_TOLD} more" if found[NAMES_TOLD:] else ""
    count = "1 file differs" if len(found) == 1 else f"{len(found)} files differ"
    return (f"{count} from the export: {', '.join(found[:NAMES_TOLD])}{more}",)


def _is_changed(file: Path, digest: str) -> bool:
    return file.stat().st_size <= LONGEST_TEXT_BYTES and sha256_of_file(file) != digest


def _edited_captions(folder: Path, beside: Mapping[str, str], sums: Mapping[str, str]) -> dict[str, str]:
    if outside := list(links_out(folder, beside.values())):
        raise ExportError(f"{folder / CHECKSUMS}: {outside[0]!r} is a link out of {folder}: put a file in its place")
    found = {}
    for image_id, place in beside.items():
        file = long_path(folder / place)
        if not file.is_file() or file.stat().st_size > LONGEST_CAPTION_BYTES:
            continue
        text = file.read_bytes()
        if hashlib.sha256(text).hexdigest() != sums[place]:
            found[image_id] = " ".join(text.decode("utf-8-sig", "replace").split())
    return found


def _with_recipe(lineage: Lineage, recipe: Mapping[str, Any]) -> Lineage:
    """The lineage with the settings that captions and multiplies were last made by, here or on another machine."""
    steps = {asset: dict(by_episode) for asset, by_episode in lineage.steps.items()}
    for asset, name in (("captions", "captions"), ("concept_balance", "balance")):
        if values := recipe.get(name):
            steps[asset] = {
                key: replace(made, settings={**made.settings, asset: values})
                for key, made in (steps.get(asset) or {JOINED: Made()}).items()
            }
    return replace(lineage, steps=steps)


def _known(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (ExportError, SettingsError):  # of an earlier version, or made by several settings
        return None


def _tables_of(
    stores: Iterable[Store], told: Mapping[str, Any] | None
) -> tuple[Callable[[str, str], Rows | None], Callable[[], Mapping[str, str]]]:
    """The tables behind a set whose manifest tells this lineage, if a store still has them. A set that was made again
    by other settings may have the same images, and then other tables lie behind it."""
    name = told.get("of", "") if told else ""
    for store in stores if name else ():
        noted = store.lineage(SET, name)
        if noted is not None and told is not None and _tells(noted.to_json(), told):
            clips = _with_clips(store, noted, Lineage.from_json(told)) if _is_current(store, name) else noted
            tables = _Tables(store, clips, is_current=False)
            return tables.rows, tables.over_quota
    return no_tables, dict


def _tells(noted: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether a manifest tells what was noted in the store; of an export with clips it tells these too."""
    return {**told, "steps": {it: told["steps"].get(it) for it in noted["steps"]}} == noted


# ---------------------------------------------------------------------------------------------------- the store


def versions_in(store: Store) -> list[SetVersion]:
    """The training sets that still lie in the store, the current one first, then the youngest."""
    found = []
    for version in store.versions(SET):
        if (table := _readable(store, version.name)) is not None:
            traced = store.lineage(SET, version.name) is not None
            found.append(SetVersion(version.name, version.age_s, version.current, table.num_rows, traced))
    return found


def _readable(store: Store, name: str) -> Any:
    try:
        return store.version(SET, name)
    except StoreError:  # of an earlier version of the pipeline
        return None


def side_of_store(store: Store, name: str, settings: Settings) -> Side:
    """A training set of the store: `current`, or the beginning of its name or of its data version. Raises SideError."""
    pointer, chosen = store.pointer(SET), _named(store, name)
    if chosen is None:
        if pointer is None:
            raise SideError(
                f"there is no training set in {store.root} yet; `{settings.run_command}` makes one, `--models` names "
                "another model pack"
            )
        table, chosen = store.read(SET), table_name(pointer)
    else:
        table = store.version(SET, chosen)
    if table is None:
        raise SideError(f"the training set {chosen} is not in {store.root} any more")
    is_current = _is_current(store, chosen)
    lineage = store.lineage(SET, chosen) or (
        _of_now(store, pointer.provenance) if is_current and pointer else Lineage()
    )
    lineage, faults = fitting(_with_clips(store, lineage) if is_current else lineage)
    listed = table.to_pylist()
    listed += _clips_in(store, listed) if is_current else []
    rows = {row["image_id"]: row for row in listed}
    tables = _Tables(store, lineage, is_current)
    made = TrainingSet(
        name=f"{'the current set' if is_current else 'the set'} {chosen} of {store.root}",
        images={it: _image(row, row, _part(row), row["caption"]) for it, row in rows.items()},
        lineage=lineage,
        captions=_one(lineage, "captions", CaptionsSettings),
        balance=_one(lineage, "concept_balance", ConceptBalanceSettings),
        rules=load_rules(settings.tag_rules),
        keeps_mark=True,
        has_clips=True if is_current else None,
        faults=faults,
        tables=tables.rows,
        over_quota=tables.over_quota,
    )

    def picture(image_id: str) -> bytes:
        if is_clip(image_id):
            raise ValueError(f"{image_id} is a clip and no picture")
        return store.read_picture(rows[image_id]["path"])

    return Side(made, picture)


def _part(row: Row) -> str:
    return CLIP_PARTS[row["split"]] if is_clip(row["image_id"]) else row["split"]


def _clips_in(store: Store, images: Iterable[Row]) -> list[dict[str, Any]]:
    """The clips of the current set, as an export has them."""
    multiplies = {row["concept"]: row["multiply"] for row in images}
    clips, files = (store.read_many(it, store.episodes(it)).to_pylist() for it in CLIPS)
    return rows_of_set(clips, files, multiplies)


def _with_clips(store: Store, lineage: Lineage, told: Lineage | None = None) -> Lineage:
    """The lineage of the current set with that of its clips, as the pointers have it now. told: only tables that were
    made as it says."""
    steps = {asset: dict(by_episode) for asset, by_episode in lineage.steps.items()}
    tables = {asset: dict(by_episode) for asset, by_episode in lineage.tables.items()}
    for asset in CLIPS:
        for episode in store.episodes(asset):
            pointer = store.pointer(asset, episode)
            if pointer and (told is None or told.made(asset, episode) == made_by(pointer.provenance)):
                steps.setdefault(asset, {})[episode] = made_by(pointer.provenance)
                tables.setdefault(asset, {})[episode] = table_name(pointer)
    return replace(lineage, steps=steps, tables=tables)


def _is_current(store: Store, name: str) -> bool:
    pointer = store.pointer(SET)
    return pointer is not None and table_name(pointer) == name


def _named(store: Store, name: str) -> str | None:
    """The one training set whose name begins so, None for the current one. A data version, which nothing lists, is
    looked for last. Raises SideError."""
    if name == CURRENT:
        return None
    found = [version.name for version in store.versions(SET) if version.name.startswith(name)]
    if len(found) == 1 or name in found:
        return name if name in found else found[0]
    pointer = store.pointer(SET)
    if not found and pointer is not None and pointer.data_version.startswith(name):
        return None
    if not found:
        raise SideError(
            f"{name!r} is no folder, and no training set begins so in {store.root}: "
            "`dataset-pipeline diff --list` lists what there is"
        )
    listed = ", ".join(found[:NAMES_TOLD]) + (f" and {len(found) - NAMES_TOLD} more" if found[NAMES_TOLD:] else "")
    raise SideError(f"{name!r} is no folder, and {len(found)} training sets begin so in {store.root}: {listed}")


def _of_now(store: Store, own: Provenance) -> Lineage:
    """The lineage of a current set that was made before lineages were noted, as the pointers have it now."""
    found = lineage_in(partial(pointers_in, store), ancestors(training_set.declaration), store.episodes("selection"))
    steps = {**found.steps, SET: {JOINED: made_by(own)}}
    return Lineage.from_json(replace(found, steps=steps).to_json(with_tables=True))


def _one(lineage: Lineage, section: str, kind: type[Any]) -> Any:
    """A section by which an asset of its name made all of its tables; None if there were several, or none is known."""
    found = {id(made): made for made in lineage.steps.get(section, {}).values()}
    sections = list(found.values())
    if not sections or any(made.settings != sections[0].settings for made in sections):
        return None
    values = sections[0].settings.get(section, {})
    return _known(
        lambda: getattr(load_settings(DEFAULTS, **{f"{section}__{k}": v for k, v in values.items()}), section)
    )


class _Tables:
    """The tables behind a set, read when they are asked for."""

    def __init__(self, store: Store, lineage: Lineage, is_current: bool) -> None:
        self._store, self._lineage, self._is_current = store, lineage, is_current
        self.rows, self.repeated = cache(self._rows), cache(self._repeated)
        self.over_quota = cache(self._over_quota)

    def _rows(self, asset: str, episode: str) -> Rows | None:
        if asset == "repeated_frames":
            return self.repeated()
        table = self._table(asset, episode)
        if table is None:
            return None
        names = COLUMNS.get(asset) or table.column_names
        rows: list[dict[str, Any]] = table.select(names).to_pylist()
        if asset == MATCHED:  # several rows an image: of them what the choice of images goes by
            chosen = chosen_by_hand(row for row in rows if row["reader"] == "selection")
            return {image: {"image_id": image, "reason": reason} for image, reason in chosen.items()}
        return {row["image_id"]: row for row in rows}

    def _repeated(self) -> Rows | None:
        table = self._table("repeated_frames", JOINED)
        frames = [] if table is None else [it for row in table["frames"].to_pylist() for it in row or ()]
        return None if table is None else {frame["image_id"]: frame for frame in frames}

    def _over_quota(self) -> Mapping[str, str]:
        table = self._table("concept_balance", JOINED)
        return {} if table is None else left_out_reasons(table)

    def _table(self, asset: str, episode: str) -> Any:
        key = None if is_joined(asset) else episode
        name = self._lineage.of if asset == SET else self._lineage.table(asset, episode)
        read = partial(self._store.version, asset, name, key)
        try:
            found = read()
            return self._store.find(asset, key) if found is None and self._is_current else found
        except StoreError:  # of an earlier version, or damaged: less can be said
            return None
