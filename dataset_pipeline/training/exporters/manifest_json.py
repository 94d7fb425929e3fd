"""Reading and checking the manifest.json of an exported folder; anybody may have edited it since the export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dataset_pipeline.base.ids import check_image
from dataset_pipeline.base.paths import fault_of_path
from dataset_pipeline.training.exporters.documents import MANIFEST
from dataset_pipeline.training.exporters.folder import ExportError, within

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Pixels = Annotated[int, Field(gt=0)]


def _relative_path(path: str) -> str:
    if fault := fault_of_path(path):
        raise ValueError(f"{path!r} {fault}: nothing there is read or written")
    return path


def _place(path: str) -> str:
    """A file of the set; of one in a shard what stands before the `#` is the shard."""
    shard, mark, name = path.partition("#")
    _relative_path(shard)
    if mark and not name:
        raise ValueError(f"{path!r} names nothing in the shard")
    return path


_Place = Annotated[str, AfterValidator(_place)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _CaptionFields(_Strict):
    """The keys of `image_set.CAPTION_FIELDS`."""

    characters: list[str] = []
    people: str = ""
    n_people: int = 0
    show_title: str = ""
    series: list[str] = []
    artists: list[str] = []
    image_type: str = ""
    rating: str = ""
    face_position: str = ""
    quality_word: str = ""
    activation_tags: list[str] = []
    tags: list[str] = []
    text: str = ""
    written: str = ""


class _Image(_Strict):
    image_id: Annotated[str, AfterValidator(check_image)]
    file: _Place
    part: str
    kind: str
    sha256: _Sha256
    width_px: _Pixels
    height_px: _Pixels
    quality: _Finite | None
    concept: Annotated[str, AfterValidator(_relative_path)]
    multiply: _Finite
    caption: str
    said: _CaptionFields
    frames: Annotated[int, Field(ge=0)] = 0
    fps: Annotated[int, Field(ge=0)] = 0
    place: Annotated[int, Field(ge=0)] = 0
    masked: bool = False
    mask_file: _Place = ""
    mask_sha256: str = ""


class _Recipe(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    captions: dict[str, Any] = {}
    balance: dict[str, Any] = {}
    tag_kinds: dict[str, list[str]] = {}
    regularization: dict[str, list[str] | None] = {}
    beside: dict[Annotated[str, AfterValidator(_relative_path)], _Sha256] = {}


class _Made(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    algorithm: str
    settings: dict[str, dict[str, Any]]
    models: dict[str, str]
    episodes: list[str] = []


class _Lineage(BaseModel):
    """What `store.lineage.Lineage.to_json` gives."""

    model_config = ConfigDict(strict=True, extra="allow")

    sources: dict[str, str]
    steps: dict[str, list[_Made]]
    of: str = ""


class _Class(BaseModel):
    """What a card tells of a regularization class."""

    model_config = ConfigDict(strict=True, extra="allow", populate_by_name=True)

    name: str = Field(alias="class")
    source: str = ""
    generator: dict[str, Any] | None = None
    prompts: list[str] | None = None


class _About(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    models: list[dict[str, Any]] | None = None
    regularization: list[_Class] | None = None
    lineage: _Lineage | None = None


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    profile: str
    format: int
    content: str
    about: _About
    recipe: _Recipe = _Recipe()
    images: list[_Image]


_MANIFEST: TypeAdapter[_Manifest] = TypeAdapter(_Manifest)


def read_manifest(folder: Path, document: str = MANIFEST) -> Mapping[str, Any]:
    """The manifest as JSON, with every type checked and every path below the folder; `recipe` may be missing. Raises
    ExportError, which names the manifest and the place of the first fault."""
    try:
        manifest = json.loads(within(folder, document, str(folder)).read_text(encoding="utf-8"))
        json.dumps(manifest, ensure_ascii=False).encode()  # half a character can be escaped, and written nowhere
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ExportError):
            raise
        fault: Any = error
        if isinstance(error, OSError):  # in full it names the path once more
            fault = "there is none" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise ExportError(f"{folder} is no folder that `dataset-pipeline export` wrote: {document}: {fault}") from None
    try:
        _MANIFEST.validate_python(manifest)
    except ValidationError as error:
        raise ExportError(
            f"{folder} is no folder that `dataset-pipeline export` wrote: {document}: {_first_fault(error, manifest)}"
        ) from None
    return manifest


def _first_fault(error: ValidationError, manifest: Any) -> str:
    """The first fault and its place, an image by its id: `image show.e1/00000003, width_px: ...`."""
    first = error.errors(include_url=False, include_context=False)[0]
    place: list[Any] = list(first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "model_type":  # it would name the class that reads it
        text = "should be an object, in braces"
    if place[:1] == ["images"] and len(place) > 1:
        entry = manifest["images"][place[1]]
        image_id = entry.get("image_id") if isinstance(entry, dict) else None
        place[:2] = [f"image {image_id}" if isinstance(image_id, str) else f"image {place[1] + 1} of the list"]
    return f"{', '.join(str(part) for part in place) or 'it'}: {text}"
