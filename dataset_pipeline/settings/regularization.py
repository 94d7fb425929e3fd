"""What a user writes of regularization sets: their classes, what makes the pictures, and which of them are kept."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from dataset_pipeline.base.file_names import slug
from dataset_pipeline.settings.folders import project_folder
from dataset_pipeline.settings.section import NO_RESULT, Section

Text = Annotated[str, Field(min_length=1)]
Region = Literal["eyes", "mouth", "nose", "brows", "hands"]
Url = Annotated[
    str, Field(pattern=r"^(https?://.+)?$", description="an address that begins with http:// or https://"), NO_RESULT
]
GENERATED = ("prompts", "captions")  # sources of classes whose pictures are made by a generator


class RegularizationClass(Section):
    """One class: its pictures stand beside the training images of its shows and characters, of all if it names none."""

    name: Text
    source: Literal["prompts", "captions", "folder", "stills"]
    shows: list[Text] = Field(default_factory=list)
    characters: list[Text] = Field(default_factory=list)
    keep: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    generate: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    class_word: str = ""
    prompts: list[Text] = Field(default_factory=list)
    negative_prompt: str = ""
    folder: Annotated[str, NO_RESULT] = ""  # what lies there counts, not where that is
    caption: str = ""
    people: Annotated[int, Field(ge=0, le=100)] | None = None
    width_px: Annotated[int, Field(ge=0, le=8192)] = 0
    height_px: Annotated[int, Field(ge=0, le=8192)] = 0

    @field_validator("name")
    @classmethod
    def _is_a_key(cls, name: str) -> str:
        if slug(name) != name:
            raise ValueError(f"write it as {slug(name)!r}: small letters, digits, - and _, as it names a folder")
        return name

    @model_validator(mode="after")
    def _has_what_its_source_wants(self) -> RegularizationClass:
        wanted = {"prompts": "prompts", "captions": "class_word", "folder": "folder", "stills": "caption"}[self.source]
        if not getattr(self, wanted):
            raise ValueError(f"the class {self.name!r} with the source {self.source!r} wants {wanted}")
        return self

    @property
    def pictures_folder(self) -> Path | None:
        """The folder of its own pictures; None if it has none."""
        return project_folder() / Path(self.folder).expanduser() if self.source == "folder" else None

    @property
    def generated(self) -> bool:
        """Whether a generator makes its pictures."""
        return self.source in GENERATED


class RegularizationSettings(Section):
    classes: list[RegularizationClass]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    generate: Annotated[int, Field(ge=1, le=10_000_000)]
    max_text_share: Annotated[float, Field(ge=0.0, le=1.0)]

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: list[RegularizationClass]) -> list[RegularizationClass]:
        if len({it.name for it in classes}) < len(classes):
            raise ValueError("each class needs a name of its own")
        return classes

    def content(self) -> str:
        """A hash of which files lie in the folders of classes, by path, size and time; empty where no class has one."""
        folders = {it.name: it.pictures_folder for it in self.classes if it.pictures_folder}
        if not folders:
            return ""
        listed = {name: files_in(folder) for name, folder in folders.items()}
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    def named(self, name: str) -> RegularizationClass:
        """The class of that name. Raises KeyError."""
        return {it.name: it for it in self.classes}[name]

    @property
    def generates(self) -> bool:
        """Whether the pictures of a class are made by a generator."""
        return any(it.generated for it in self.classes)

    @property
    def mirrors(self) -> bool:
        """Whether a class has the captions of the training images."""
        return any(it.source == "captions" for it in self.classes)

    @property
    def takes_stills(self) -> bool:
        """Whether a class is of stills on which nobody is."""
        return any(it.source == "stills" for it in self.classes)


def files_in(folder: Path) -> list[tuple[str, int, int]]:
    """Path below the folder, bytes and time of change of all files in it, sorted; none where there is no folder."""
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return [(path.relative_to(folder).as_posix(), it.st_size, it.st_mtime_ns) for path, it in found]


class GeneratorSettings(Section):
    backend: Literal["diffusers", "comfyui", "sdapi"]
    model: str
    licence: Annotated[str, NO_RESULT]
    url: Url
    workflow: str
    repaint_workflow: str
    steps: Annotated[int, Field(ge=1, le=1000)]
    guidance: Annotated[float, Field(ge=0.0, le=100.0)]
    sampler: str
    scheduler: str
    side_px: Annotated[int, Field(ge=0, le=8192)]
    timeout_s: Annotated[float, Field(gt=0.0, le=86_400.0), NO_RESULT]
    retries: Annotated[int, Field(ge=0, le=20), NO_RESULT]


class RegularizationSelectionSettings(Section):
    hands_per_person: Annotated[int, Field(ge=0, le=100)]
    min_box_score: Annotated[float, Field(ge=0.0, le=1.0)]
    defect_tags: list[Text]
    min_tag_score: Annotated[float, Field(ge=0.0, le=1.0)]
    max_likeness: Annotated[float, Field(ge=-1.0, le=1.0)]
    min_quality: float
    judge: bool
    judge_prompt: Text


class RegularizationRegionsSettings(Section):
    enabled: bool
    by: Literal["boxes", "points"]
    min_point_score: Annotated[float, Field(ge=0.0, le=1.0)]
    regions: list[Region]
    versions: Annotated[int, Field(ge=3, le=64)]
    strength: Annotated[float, Field(gt=0.0, le=1.0)]
    grow: Annotated[float, Field(ge=0.0, le=2.0)]
    feather_px: Annotated[int, Field(ge=0, le=256)]
    max_difference: Annotated[float, Field(ge=0.0, le=255.0)]

    @property
    def by_boxes(self) -> bool:
        """Whether regions are found by what the detector found."""
        return self.enabled and self.by == "boxes"

    @property
    def by_points(self) -> bool:
        """Whether regions are found by the points of a pose."""
        return self.enabled and self.by == "points"
