"""Sections of sets for super-resolution."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    field_validator,
)

from dataset_pipeline.base.file_names import sha256_of_file
from dataset_pipeline.base.ids import show_of
from dataset_pipeline.settings.cut import CutSettings, Stratum
from dataset_pipeline.settings.degradation import BEST_AND_WORST, DegradationStep, check_recipe
from dataset_pipeline.settings.folders import project_folder
from dataset_pipeline.settings.kinds import EACH_ONCE, Cosine, Share, Side
from dataset_pipeline.settings.metrics import SIGNALS
from dataset_pipeline.settings.section import NO_RESULT, Section, SettingsError

LEAST_LOW_SHARE = 0.25  # of a side, to which the low pictures of pairs may be shrunk


class SuperResolutionSettings(Section):
    episodes: list[Annotated[str, Field(min_length=1)]]

    def of(self, registered: Iterable[str]) -> list[str]:
        """Those of the episodes that sets are made of. Raises SettingsError for a name that none bears."""
        there = list(registered)
        if lost := set(self.episodes).difference(there, map(show_of, there)):
            raise SettingsError(f"super_resolution.episodes names {min(lost)!r}, and there is no such episode or show")
        return [it for it in there if not self.episodes or {it, show_of(it)}.intersection(self.episodes)]


class ReleaseAlignmentSettings(Section):
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    by_name: bool


class ReleasePairsSettings(Section):
    scale: Literal[2, 3, 4]
    shrink_low_to: Annotated[float, Field(ge=LEAST_LOW_SHARE, le=1)]
    per_shot: Annotated[int, Field(ge=1, le=100)]
    most: Annotated[int, Field(ge=0, le=100_000)]
    colours: Literal["of_low", "of_high", "own"]


class SrSourcesSettings(Section):
    of: Literal["keyframes", "stills", "releases"]
    on_upscaled: Literal["keep", "drop", "descale"]
    similarity: Cosine
    min_contrast: Share
    max_text: Share
    max_blur: Share
    min_correlation: Cosine
    excluded: Annotated[str, NO_RESULT]  # what its pictures show counts, not where they lie

    @property
    def excluded_folder(self) -> Path | None:
        """The folder of pictures that must not be in a set; None if none is named."""
        return project_folder() / Path(self.excluded).expanduser() if self.excluded else None

    def content(self) -> str:
        """A hash of the files of that folder, whatever their names; empty without a folder."""
        folder = self.excluded_folder
        if folder is None:
            return ""
        files = sorted(sha256_of_file(path) for path in folder.rglob("*") if path.is_file())
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()


class SrTilesSettings(Section):
    scales: Annotated[list[Annotated[float, Field(gt=0.0, le=4.0)]], Field(min_length=1)]
    shortest_edge_px: Annotated[int, Field(ge=0, le=65_536)]
    keep_every_copy: bool
    tile_px: Annotated[int, Field(ge=96, le=4096)]
    step_px: Side
    threshold_px: Annotated[int, Field(ge=0, le=65_536)]


class SrSelectionSettings(CutSettings):
    metric: Annotated[str, Field(min_length=1)]
    strata: Annotated[list[Literal["copy"] | Stratum], EACH_ONCE]
    max_blockiness: Annotated[float, Field(ge=0.0, le=10_000.0)]
    min_complexity: Annotated[float, Field(ge=0.0, le=24.0)]
    ladder: list[Annotated[int, Field(ge=1)]]

    @property
    def by_model(self) -> bool:
        """Whether scores are those of a model, not of a signal that takes no weights."""
        return self.metric not in SIGNALS


class SrSetSettings(Section):
    scales: list[Literal[2, 3, 4, 8]]
    filter: Literal["box", "area", "bicubic"]
    recipe: list[DegradationStep]
    seed: Annotated[int, Field(ge=0)]
    validation_tiles: Annotated[int, Field(ge=0, le=10_000)]
    validation_by: Literal["embeddings", "signatures"]
    max_likeness: Cosine
    lmdb: Annotated[bool, NO_RESULT]  # beside the set, which stays as it is
    zip: Annotated[bool, NO_RESULT]

    @field_validator("recipe")
    @classmethod
    def _can_be_followed(cls, recipe: list[DegradationStep]) -> list[DegradationStep]:
        if recipe:
            check_recipe(recipe)
        return recipe

    @property
    def by_embeddings(self) -> bool:
        """Whether the embedder says which tiles are alike."""
        return self.validation_tiles > 0 and self.validation_by == "embeddings"

    @property
    def through_codecs(self) -> bool:
        """Whether a step of the recipe has to see frames of the shot."""
        return any(step.kind in BEST_AND_WORST for step in self.recipe)


REDS_MOST_HELD_OUT = 30  # clips, called 240 to 269


class SrSequencesSettings(Section):
    layout: Literal["reds", "vimeo", "trainner"]
    frames: Annotated[int, Field(ge=3, le=1000)]
    most_of_shot: Annotated[int, Field(ge=0, le=10_000)]
    min_change: Annotated[float, Field(ge=0.0, le=255.0)]
    validation_sequences: Annotated[int, Field(ge=0, le=10_000)]

    @property
    def length(self) -> int:
        """How many frames a sequence has: what the layout's loader wants."""
        return {"reds": 100, "vimeo": 7}.get(self.layout, self.frames)
