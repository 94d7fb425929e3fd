"""Sections of what a training set is made of: tags, selection, captions, concepts, clips, exports."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializationInfo,
    ValidationError,
    field_serializer,
)

from dataset_pipeline.settings.cut import CutSettings, Stratum
from dataset_pipeline.settings.folders import project_folder, resources_folder
from dataset_pipeline.settings.kinds import (
    EACH_ONCE,
    Byte,
    CropKind,
    ResizeBy,
    ResizeFilter,
    Root,
    Share,
    Side,
    TagThreshold,
)
from dataset_pipeline.settings.section import NO_RESULT, NamedQuery, Section, SettingsError

ArrangementKey = Literal[
    "n_characters", "n_people", "n_faces", "character", "character_string", "appearance", "fh_ratio", "image_type",
    "episode", "show",
]  # fmt: skip
WEIGHTS_HEADING = ["pattern", "weight"]


class TagThresholdsSettings(Section):
    """By the tagger's names of categories; above 1 takes nothing."""

    general: TagThreshold
    character: TagThreshold
    copyright: TagThreshold
    artist: TagThreshold
    meta: TagThreshold


class TagRulesSettings(Section):
    folder: Annotated[str, NO_RESULT]  # what its files say counts, not where they lie

    def file(self, name: str) -> Path:
        """A rule file: that of the user's folder if there is one, else the project's own. Raises SettingsError if there
        is no such folder."""
        if not self.folder:
            return resources_folder() / "tags" / name
        folder = project_folder() / Path(self.folder).expanduser()
        if not folder.is_dir():
            raise SettingsError(f"tag_rules.folder = {self.folder!r}: there is no folder {folder}")
        return folder / name if (folder / name).is_file() else resources_folder() / "tags" / name

    def content(self) -> str:
        names = sorted(path.name for path in (resources_folder() / "tags").iterdir() if path.is_file())
        return hashlib.sha256(b"\0".join(self.file(name).read_bytes() for name in names)).hexdigest()


class CoreTagsSettings(Section):
    min_share: Share
    min_images: Annotated[int, Field(ge=1)]


class TagConcept(NamedQuery):
    activation_tag: Annotated[str, Field(min_length=1)]


class PeopleSettings(Section):
    """Who says how many people an image shows; read by all that counts them."""

    counts: Literal["boxes", "tagger", "both"]
    seen_score: Share
    doubt_score: Share


class TagsSettings(Section):
    nobody_tags: list[Annotated[str, Field(min_length=1)]]
    composition: Literal["boxes", "tagger"]
    prune: Literal["none", "minimal", "character", "character_core"]
    overlaps: Literal["words", "substring", "none"]
    sort: Literal["score", "name", "original", "shuffle"]
    shuffle_seed: int
    max_tags: Annotated[int, Field(ge=1)]
    blacklist: list[str]
    concepts: list[TagConcept]


class SelectionSettings(CutSettings):
    metric: Annotated[str, Field(min_length=1)]
    strata: Annotated[list[Stratum], EACH_ONCE]
    stills: bool
    crops: Annotated[list[CropKind], EACH_ONCE]
    min_short_side_px: Side
    min_quality: float
    max_crop_share: Share
    without_characters: bool
    characters: list[Annotated[str, Field(min_length=1)]]
    min_faces: Annotated[int, Field(ge=0)]
    max_faces: Annotated[int, Field(ge=-1)]
    face_min_score: Share
    text: Literal["keep", "drop", "crop"]
    min_share_without_text: Annotated[float, Field(gt=0.0, le=1.0)]
    frames_of_panoramas: Literal["keep", "thin"]

    @property
    def by_metric(self) -> bool:
        """Whether a number of it is on the scale of `metric`."""
        return self.min_quality != 0 or self.by == "score"


class DescriptionsSettings(Section):
    enabled: bool
    url: Annotated[
        str, Field(pattern=r"^https?://", description="an address that begins with http:// or https://"), NO_RESULT
    ]
    model: str
    prompt: Annotated[str, Field(min_length=1)]
    max_side_px: Annotated[int, Field(ge=32, le=8192)]
    max_tokens: Annotated[int, Field(ge=1, le=100_000)]
    at_once: Annotated[int, Field(ge=1, le=64), NO_RESULT]
    timeout_s: Annotated[float, Field(gt=0.0, le=3600.0), NO_RESULT]
    retries: Annotated[int, Field(ge=0, le=20), NO_RESULT]
    key_variable: Annotated[str, Field(min_length=1), NO_RESULT]


class CaptionComponent(Section):
    part: Literal[
        "people",
        "character",
        "show",
        "image_type",
        "artist",
        "rating",
        "crop",
        "quality",
        "face_position",
        "tags",
        "text",
    ]
    probability: Share


class QualityWord(Section):
    min_quality: float
    word: Annotated[str, Field(min_length=1)]


class CaptionsSettings(Section):
    template: Literal["booru", "sentence", "components"]
    order: Annotated[
        list[
            Literal[
                "people", "people_number", "character", "show", "kind", "image_type", "artist", "rating", "quality",
                "face_position", "tags", "text",
            ]
        ],
        Field(min_length=1),
    ]  # fmt: skip
    components: Annotated[list[CaptionComponent], Field(min_length=1)]
    seed: int
    separator: Annotated[str, Field(min_length=1, pattern=r"^[^\r\n]*$", description="text without line breaks")]
    # Of the trainers only kohya knows a mark, and takes any; with one for all, the others' exports can leave it out.
    keep_mark: Literal["", "|||"]
    spaces: bool
    drop: list[Literal["hair", "eyes", "body", "outfit"]]
    image_type: str
    picture_type: str
    rating_words: dict[str, str]
    quality_words: list[QualityWord]
    face_min_score: Share


class TrainingImagesSettings(Section):
    resize_by: ResizeBy
    max_side_px: Side
    filter: ResizeFilter
    format: Literal["webp", "png", "jpg"]
    quality: Annotated[int, Field(ge=1, le=100)]


class ConceptWeight(Section):
    pattern: Annotated[str, Field(min_length=1)]
    weight: Annotated[float, Field(gt=0.0)]


def read_weights(path: Path) -> list[ConceptWeight]:
    """Lines `pattern, weight` in their order, under a heading of these words or none; `#` begins a comment line, and a
    pattern with a comma stands in quotes. Raises SettingsError, also for a file without any."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            told = ("\n" if line.lstrip().startswith("#") else line for line in file)
            lines = csv.reader(told, skipinitialspace=True, strict=True)
            stripped = ((lines.line_num, [cell.strip() for cell in cells]) for cells in lines)
            kept = [(number, cells) for number, cells in stripped if any(cells) and cells != WEIGHTS_HEADING]
            if not kept:
                raise SettingsError(f"{path} holds no line `pattern, weight`, e.g. 1_character, 1.5")
            return [_weight(cells, f"{path}, line {number}") for number, cells in kept]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{path} is no table of `pattern, weight` in UTF-8: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from None


def _weight(cells: list[str], where: str) -> ConceptWeight:
    try:
        pattern, weight = cells
        return ConceptWeight(pattern=pattern, weight=float(weight))
    except (ValueError, ValidationError):
        raise SettingsError(
            f"{where}: {', '.join(cells)!r} is no `pattern, weight` with a weight above 0, e.g. 1_character, 1.5"
        ) from None


class ConceptBalanceSettings(Section):
    weights: list[ConceptWeight]
    weights_csv: str
    min_multiply: Annotated[float, Field(gt=0.0)]
    max_multiply: Annotated[float, Field(gt=0.0)]
    arrangement: Annotated[list[ArrangementKey], Field(min_length=1), EACH_ONCE]
    many_characters: Annotated[int, Field(ge=1)]
    min_images_per_combination: Annotated[int, Field(ge=1)]
    max_images_per_concept: Annotated[int, Field(ge=0)]
    max_images_per_character: Annotated[int, Field(ge=0)]
    max_images: Annotated[int, Field(ge=0)]

    @property
    def csv_file(self) -> Path | None:
        """The file of weights, if there is one. Raises SettingsError if it is named and not there."""
        if not self.weights_csv:
            return None
        file = project_folder() / Path(self.weights_csv).expanduser()
        if not file.is_file():
            raise SettingsError(f"concept_balance.weights_csv = {self.weights_csv!r}: there is no file {file}")
        return file

    @property
    def all_weights(self) -> list[ConceptWeight]:
        """Those of the settings, then those of the file in its order. Raises SettingsError."""
        return [*self.weights, *(read_weights(self.csv_file) if self.csv_file else ())]

    # Written down, a section holds what counts: the lines of the file, not where it lies.
    @field_serializer("weights")
    def _weights_of_both(self, weights: list[ConceptWeight], info: SerializationInfo) -> list[dict[str, Any]]:
        return [weight.model_dump(context=info.context) for weight in self.all_weights]

    @field_serializer("weights_csv")
    def _no_file(self, weights_csv: str) -> str:
        return ""


class TrainingSetSettings(Section):
    validation_share: Share
    seed: int


def _can_be_encoded(frames: int) -> int:
    """Video models compress the frames after the first by fours."""
    if frames % 4 != 1:
        raise ValueError(f"must be 4 n + 1, as {frames // 4 * 4 + 1} or {frames // 4 * 4 + 5}")
    return frames


ClipLength = Annotated[int, Field(ge=5, le=1025), AfterValidator(_can_be_encoded)]


class ClipsSettings(Section):
    enabled: bool
    frames: Annotated[list[ClipLength], Field(min_length=1)]
    fps: Annotated[int, Field(ge=1, le=60)]
    max_per_shot: Annotated[int, Field(ge=1, le=100)]
    margin_s: Annotated[float, Field(ge=0.0, le=10.0)]
    min_change: Byte
    min_contrast: Share


class TrainingClipsSettings(Section):
    resize_by: ResizeBy
    max_side_px: Annotated[int, Field(ge=64, le=4096)]
    crf: Annotated[int, Field(ge=0, le=51)]


class ExportedSetSettings(Section):
    # A profile is the module of that name in training/exporters.
    profile: Literal[
        "ai_toolkit", "diffusion_pipe", "everydream", "hydrus", "imagefolder", "kohya", "musubi", "onetrainer",
        "parquet", "plain", "simpletuner", "webdataset",
    ]  # fmt: skip
    root: Root
