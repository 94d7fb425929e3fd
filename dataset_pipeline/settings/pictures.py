"""Sections of what is found on pictures: crops, characters, scores, text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    field_validator,
)

from dataset_pipeline.settings.folders import project_folder
from dataset_pipeline.settings.kinds import EACH_ONCE, Byte, CropKind, DetailKind, DetectionKind, Share, Side
from dataset_pipeline.settings.reference_folders import References, references_in
from dataset_pipeline.settings.section import NO_RESULT, Section

DEFAULT_REFERENCES = "references"  # the one folder of references that need not be there


class DetectionsSettings(Section):
    kinds: Annotated[list[DetectionKind], Field(min_length=1), EACH_ONCE]
    score_floor: Annotated[float, Field(gt=0.0, le=1.0)]


class CropsSettings(Section):
    kinds: Annotated[list[CropKind], EACH_ONCE]
    person_min_score: Share
    halfbody_min_score: Share
    head_min_score: Share
    face_min_score: Share
    hand_min_score: Share
    person_min_side_px: Side
    halfbody_min_side_px: Side
    head_min_side_px: Side
    face_min_side_px: Side
    hand_min_side_px: Side
    head_scale: Annotated[float, Field(ge=1.0, le=10.0)]
    face_scale: Annotated[float, Field(ge=1.0, le=10.0)]
    hand_scale: Annotated[float, Field(ge=1.0, le=10.0)]
    require_head: bool
    require_face: bool

    def min_score(self, kind: str) -> float:
        """The score from which a box of this kind counts as found."""
        return float(getattr(self, f"{kind}_min_score"))

    def min_side_px(self, kind: str) -> int:
        """The shorter side below which a crop of this kind is dropped."""
        return int(getattr(self, f"{kind}_min_side_px"))

    def scale(self, kind: str) -> float | None:
        """The side of a square crop relative to its box, or None for kinds cropped as they are."""
        return getattr(self, f"{kind}_scale", None)


class DetailsSettings(Section):
    enabled: bool
    kinds: Annotated[list[DetailKind], Field(min_length=1), EACH_ONCE]
    target_px: Annotated[int, Field(ge=64, le=4096)]
    bucket_step_px: Annotated[int, Field(ge=0, le=256)]
    max_per_still: Annotated[int, Field(ge=1, le=50)]
    eye_min_score: Share


class CropEmbeddingsSettings(Section):
    kinds: Annotated[list[CropKind], Field(min_length=1), EACH_ONCE]


ClusteringMethod = Literal["average", "optics", "hdbscan"]


class CharacterGallerySettings(Section):
    method: ClusteringMethod
    max_difference: Share
    outfit_difference: Share
    min_crops: Annotated[int, Field(ge=2)]
    exemplars: Annotated[int, Field(ge=1)]


class ClustersSettings(Section):
    max_difference: Share


class ReferencesSettings(Section):
    root: Annotated[str, Field(min_length=1), NO_RESULT]  # what its pictures show counts, not where they lie

    @field_validator("root")
    @classmethod
    def _is_path(cls, root: str) -> str:
        try:
            place = Path(root).expanduser()
        except RuntimeError:
            raise ValueError("there is no such user, whose home folder it names") from None
        if "\0" in str(place):
            raise ValueError("no folder has a NUL in its name")
        return root

    @property
    def folder(self) -> Path:
        """Where they lie, whether there are any or not."""
        return project_folder() / Path(self.root).expanduser()

    def found(self) -> References:
        """The pictures; that a folder is missing is told unless it is the one that is looked for anyway."""
        found = references_in(self.folder)
        if self.root == DEFAULT_REFERENCES or self.folder.exists():
            return found
        return replace(found, passed_over={"references.root": f"there is no folder {self.folder}: correct the setting"})

    def content(self) -> str:
        """What names people, and what was passed over. Empty without either, so that a folder without any pictures is
        as good as none."""
        found = self.found()
        listed = [(it.file, it.name, it.outfit, it.sha256) for it in found.pictures]
        told = json.dumps([listed, sorted(found.passed_over.items())])
        return hashlib.sha256(told.encode()).hexdigest() if listed or found.passed_over else ""


class NamedCharactersSettings(Section):
    max_difference: Share
    min_margin: Share
    trait_weight: Annotated[float, Field(ge=0.0, le=10.0)]
    same_still_penalty: Share


class QualityScoresSettings(Section):
    short_side_px: Annotated[int, Field(ge=64, le=8192)]


class TagScoresSettings(Section):
    score_floor: Annotated[float, Field(gt=0.0, le=1.0)]


class TextLinesSettings(Section):
    long_side_px: Annotated[int, Field(ge=64, le=8192)]
    score_floor: Annotated[float, Field(gt=0.0, lt=1.0)]


class BurntInTextSettings(Section):
    kinds: Annotated[list[Literal["subtitle", "credits", "logo", "sign"]], EACH_ONCE]
    min_score: Share
    min_contrast: Byte
    max_line_height: Annotated[float, Field(gt=0.0, le=1.0)]
