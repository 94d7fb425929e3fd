"""Every section of the settings, typed. Sections bear the name of the asset that reads them."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializationInfo,
    ValidationError,
    field_serializer,
    field_validator,
)

from dataset_pipeline.base.file_names import sha256_of_file
from dataset_pipeline.base.ids import show_of
from dataset_pipeline.settings.cut import CutSettings, Stratum
from dataset_pipeline.settings.degradation import BEST_AND_WORST, DegradationStep, check_recipe
from dataset_pipeline.settings.folders import project_folder, resources_folder
from dataset_pipeline.settings.metrics import SIGNALS
from dataset_pipeline.settings.reference_folders import References, references_in
from dataset_pipeline.settings.regularization import (
    GeneratorSettings,
    RegularizationRegionsSettings,
    RegularizationSelectionSettings,
    RegularizationSettings,
)
from dataset_pipeline.settings.section import NO_RESULT, NamedQuery, Section, SettingsError

LEAST_LOW_SHARE = 0.25  # of a side, to which the low pictures of pairs may be shrunk
CropKind = Literal["person", "halfbody", "head", "face", "hand"]
DetectionKind = Literal["person", "halfbody", "head", "face", "hand", "eye"]
DetailKind = Literal["face", "hand", "eyes", "head", "clothes", "object"]
ResizeBy = Literal["short_side", "long_side", "area"]
ResizeFilter = Literal["lanczos", "area"]
ArrangementKey = Literal[
    "n_characters", "n_people", "n_faces", "character", "character_string", "appearance", "fh_ratio", "image_type",
    "episode", "show",
]  # fmt: skip
WEIGHTS_HEADING = ["pattern", "weight"]
DEFAULT_REFERENCES = "references"  # the one folder of references that need not be there
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]
Side = Annotated[int, Field(ge=1, le=65_536)]
TagThreshold = Annotated[float, Field(ge=0.0, le=1.01)]
Byte = Annotated[int, Field(ge=0, le=255)]


def _only_pack_in_braces(root: str) -> str:
    if re.search("[{}]", root.replace("{pack}", "")):
        raise ValueError("only {pack} may stand in braces")
    return root


Root = Annotated[str, Field(min_length=1), AfterValidator(_only_pack_in_braces), NO_RESULT]


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("each may be named once")
    return names


EACH_ONCE = AfterValidator(_each_once)


class EpisodesSettings(Section):
    roots: list[str]


class ArrivalsSettings(Section):
    settle_s: Annotated[float, Field(ge=0.0, le=86_400.0)]
    at_once: Annotated[int, Field(ge=1, le=500), NO_RESULT]
    join_interval_h: Annotated[float, Field(gt=0.0, le=168.0)]


class StoreSettings(Section):
    root: Root


class ModelsSettings(Section):
    pack: Annotated[str, Field(min_length=1)]
    cache: str
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")]
    keep_loaded: Annotated[int, Field(ge=1, le=64)]
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    embedder: str
    detector: list[str]
    identity: str
    quality: str
    tagger: str | list[str]
    text_detector: str

    @property
    def taggers(self) -> list[str]:
        """The taggers named; none = the pack's."""
        names = [self.tagger] if isinstance(self.tagger, str) else self.tagger
        return [name for name in names if name]


class VideoSettings(Section):
    hardware: Annotated[Literal["none", "cuda"], NO_RESULT]


class ShotsSettings(Section):
    cut_ratio: Annotated[float, Field(ge=1.0, le=100.0)]
    cut_change: Annotated[float, Field(ge=0.0, le=255.0)]
    min_shot_s: Annotated[float, Field(ge=0.0, le=60.0)]
    fade_level: Byte


class TracksSettings(Section):
    mode: Literal["off", "auto", "on"]
    per_s: Annotated[float, Field(gt=0.0, le=120.0)]


class AlignmentsSettings(Section):
    panoramas: Literal["off", "on"]
    backdrops: Literal["off", "auto", "on"]
    min_travel: Share


class StitchedLimits(Section):
    """From which share on what is stitched is kept, and from which a person is asked."""

    like_frame: Share
    doubtful_like_frame: Share
    known: Share
    doubtful_known: Share
    max_residual_px: Annotated[float, Field(ge=0.0, le=10.0)]


class PanoramasSettings(StitchedLimits):
    min_travel: Share


class BackdropsSettings(StitchedLimits):
    pass


POSES_RULE = 2  # raised when the same tracks give other poses, so that keyframes in other modes stay as they are


class KeyframesSettings(Section):
    mode: Literal["iframes", "mpdecimate", "interval", "shot", "poses"]
    hi: Annotated[int, Field(ge=0, le=16_384)]
    lo: Annotated[int, Field(ge=0, le=16_384)]
    frac: Share
    max_drop: Annotated[int, Field(ge=0)]
    every_s: Annotated[float, Field(gt=0.0, le=3600.0)]
    frames_per_shot: Annotated[int, Field(ge=1, le=100)]
    poses_per_track: Annotated[int, Field(ge=1, le=100)]
    poses_min_score: Share
    working_short_side_px: Annotated[int, Field(ge=32, le=4096)]
    chroma_upsampling: Literal["smooth", "nearest"]
    alpha_background: Annotated[list[Byte], Field(min_length=3, max_length=3)]

    @property
    def looks_at_every_frame(self) -> bool:
        """Whether candidates are chosen among all frames of a video."""
        return self.mode in ("mpdecimate", "interval", "shot")

    @property
    def picks_poses(self) -> bool:
        """Whether candidates are chosen from tracks."""
        return self.mode == "poses"

    def counted(self) -> dict[str, Any]:
        """Without what is for `poses` alone, in other modes, and with the version of its rule in that one."""
        found = super().counted()
        if self.picks_poses:
            return found | {"poses_rule": POSES_RULE}
        return {name: value for name, value in found.items() if not name.startswith("poses_")}


class FramePassSettings(Section):
    """Follows from the other sections and stands in no file. `whole`: the frames of a pass are decoded whole, since
    `keyframes` may share it; else for small copies alone, which is faster, gives other pixels at edges of blocks, and
    counts for no version."""

    whole: bool

    def counted(self) -> dict[str, Any]:
        return super().counted() if self.whole else {}


class FrameDefectsSettings(Section):
    max_combing: Share
    max_ghost: Share
    max_blockiness: Share
    drop: list[Literal["combing", "ghost", "blockiness"]]


class DistinctFramesSettings(Section):
    similarity: Cosine
    min_contrast: Share


class RepeatedFramesSettings(Section):
    similarity: Cosine
    aligned_similarity: Cosine


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


class CorrectionsSettings(Section):
    root: Root  # what is said counts, not where it lies


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


class Settings(Section):
    """All settings; sections bear the name of the asset that reads them."""

    episodes: EpisodesSettings
    arrivals: ArrivalsSettings
    store: StoreSettings
    corrections: CorrectionsSettings
    models: ModelsSettings
    video: VideoSettings
    shots: ShotsSettings
    tracks: TracksSettings
    keyframes: KeyframesSettings
    alignments: AlignmentsSettings
    panoramas: PanoramasSettings
    backdrops: BackdropsSettings
    frame_defects: FrameDefectsSettings
    distinct_frames: DistinctFramesSettings
    repeated_frames: RepeatedFramesSettings
    detections: DetectionsSettings
    crops: CropsSettings
    details: DetailsSettings
    crop_embeddings: CropEmbeddingsSettings
    character_gallery: CharacterGallerySettings
    clusters: ClustersSettings
    references: ReferencesSettings
    named_characters: NamedCharactersSettings
    quality_scores: QualityScoresSettings
    tag_scores: TagScoresSettings
    text_lines: TextLinesSettings
    burnt_in_text: BurntInTextSettings
    tag_thresholds: TagThresholdsSettings
    tag_rules: TagRulesSettings
    core_tags: CoreTagsSettings
    people: PeopleSettings
    tags: TagsSettings
    selection: SelectionSettings
    descriptions: DescriptionsSettings
    captions: CaptionsSettings
    training_images: TrainingImagesSettings
    concept_balance: ConceptBalanceSettings
    training_set: TrainingSetSettings
    clips: ClipsSettings
    training_clips: TrainingClipsSettings
    exported_set: ExportedSetSettings
    super_resolution: SuperResolutionSettings
    release_alignment: ReleaseAlignmentSettings
    release_pairs: ReleasePairsSettings
    sr_sources: SrSourcesSettings
    sr_tiles: SrTilesSettings
    sr_selection: SrSelectionSettings
    sr_set: SrSetSettings
    sr_sequences: SrSequencesSettings
    regularization: RegularizationSettings
    generator: GeneratorSettings
    regularization_selection: RegularizationSelectionSettings
    regularization_regions: RegularizationRegionsSettings

    @property
    def frame_pass(self) -> FramePassSettings:
        """How `shots` decodes: its rows are the same whether `keyframes` finds them on its way or it looks itself."""
        return FramePassSettings(whole=self.keyframes.looks_at_every_frame)

    def section_hash(self, *names: str) -> str:
        """12 hex digits over what counts of the named sections; the same everywhere. A section that follows from others
        and counts nothing is left out."""
        counted = {name: getattr(self, name).counted() for name in sorted(names)}
        payload = {name: values for name, values in counted.items() if values or name in Settings.model_fields}
        return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:12]
