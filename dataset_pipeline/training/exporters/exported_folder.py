"""An exported folder as its manifest lists it, checked: images, their files, masks and settings."""

from __future__ import annotations

import functools
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.base.paths import links_out, long_path
from dataset_pipeline.training.exporters import PROFILES, load_profile
from dataset_pipeline.training.exporters.documents import MANIFEST, Profile
from dataset_pipeline.training.exporters.folder import ExportError, within
from dataset_pipeline.training.exporters.image_set import (
    CAPTION_FIELDS,
    CLASSES,
    CLIP_PARTS,
    REGULARIZATION,
    TRAIN,
    ImageSet,
    image_set,
)
from dataset_pipeline.training.exporters.manifest_json import read_manifest

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class ExportedSet:
    """A set as its manifest lists it. rows: as in `training_set`, with the file in the folder as `path`. masks: files
    of the masks, by id. A file in a shard is `<shard>#<name>`."""

    folder: Path
    profile_name: str
    profile: Profile
    about: Mapping[str, Any]
    recipe: Mapping[str, Any]
    rows: Rows
    masks: Mapping[str, str]

    @property
    def has_shards(self) -> bool:
        return self.profile.read_from_shard is not None

    @property
    def places(self) -> dict[str, str]:
        return {row["image_id"]: row["path"] for row in self.rows}

    @functools.cached_property
    def images(self) -> ImageSet:
        return self.image_set(self.rows, self.recipe)

    def image_set(self, rows: Rows, recipe: Mapping[str, Any]) -> ImageSet:
        profile = self.profile
        local_path = (lambda path: None) if self.has_shards else (lambda path: long_path(self.folder / path))
        about, title, keeps_mark = self.about, profile.title, profile.keeps_mark
        return image_set(rows, self.read, local_path, about, title, keeps_mark, recipe, profile.reads_clips)

    def read(self, place: str) -> bytes:
        """The bytes of a picture or mask of the folder. Raises ExportError for what a shard does not hold."""
        path, _, name = place.partition("#")
        target = within(self.folder, path, f"{self.folder / MANIFEST}")
        if not self.profile.read_from_shard:
            return target.read_bytes()
        try:
            return self.profile.read_from_shard(target, name)
        except (KeyError, ValueError, OSError, tarfile.TarError, pa.ArrowException) as error:
            raise ExportError(f"{target} does not hold {name} ({error!r}): copy the folder again") from None


def read_set(folder: Path, document: str = MANIFEST) -> ExportedSet:
    """The set in an exported folder. Raises ExportError if it is none, or one that cannot be rewritten."""
    listed = read_manifest(folder, document)
    profile = load_profile(listed["profile"]) if listed["profile"] in PROFILES else None
    if profile is None or listed["format"] != profile.format or "recipe" not in listed:
        raise ExportError(f"{folder} was exported by another version of dataset-pipeline: export the set again")
    found = ExportedSet(
        folder,
        listed["profile"],
        profile,
        listed["about"],
        listed["recipe"],
        [_row(entry, listed["recipe"].get(CLASSES, {})) for entry in listed["images"]],
        {entry["image_id"]: entry["mask_file"] for entry in listed["images"] if "mask_file" in entry},
    )
    _check_layout(found, document)
    return found


def _check_layout(found: ExportedSet, document: str) -> None:
    """Check that every file lies where the trainer looks for it, and no link leads out of the folder. Raises
    ExportError."""
    where, profile = found.folder / document, found.profile
    places = profile.places(found.images)
    masks = profile.masks(found.images, places) if profile.masks and found.images.has_masks else {}
    for listed, wanted in ((found.places, places), (found.masks, masks)):
        for image_id in sorted(listed.keys() | wanted.keys()):
            there, here = listed.get(image_id, "nowhere"), wanted.get(image_id, "nowhere")
            if there != here:
                raise ExportError(
                    f"{where}: image {image_id} lies at {there!r}, and {profile.title} looks for it at {here!r}: "
                    "copy the folder again"
                )
    check_links(found.folder, {path.partition("#")[0] for path in (*places.values(), *masks.values())}, where)


def check_links(folder: Path, paths: Iterable[str], where: Path) -> None:
    """Check that none of the paths leads out of the folder. where: the document that names them. Raises ExportError."""
    for path in links_out(folder, paths):
        raise ExportError(f"{where}: {path!r} is a link out of {folder}: put what it leads to in its place")


def _row(entry: Mapping[str, Any], beside: Mapping[str, list[str] | None]) -> dict[str, Any]:
    image_id = entry["image_id"]
    copied = {name: entry[name] for name in ("kind", "width_px", "height_px", "quality", "concept", "multiply")}
    is_reg = entry["part"] == REGULARIZATION
    split_of_clips = {part: split for split, part in CLIP_PARTS.items()}
    return {
        "image_id": image_id,
        "episode": episode_of(image_id),
        "show": show_of(image_id),
        **copied,
        "caption": entry["caption"],
        "path": entry["file"],
        "file_sha256": entry["sha256"],
        "split": TRAIN if is_reg else split_of_clips.get(entry["part"], entry["part"]),
        "is_reg": is_reg,
        "place": entry.get("place", 0),
        "beside": beside.get(entry["concept"]) if is_reg else None,
        "frames": entry.get("frames", 0),
        "fps": entry.get("fps", 0),
        "mask_path": entry.get("mask_file", MANIFEST) if entry.get("masked") else "",
        **CAPTION_FIELDS,
        **entry["said"],
    }


def missing_pictures(found: ExportedSet) -> list[str]:
    """Ids of the images whose picture, or the shard with it, is not in the folder."""
    there: dict[str, bool] = {}
    missing = []
    for image_id, place in found.places.items():
        path = place.partition("#")[0] if found.has_shards else place
        if path not in there:
            there[path] = long_path(found.folder / path).is_file()
        if not there[path]:
            missing.append(image_id)
    return missing
