"""The images of a set as all exporters get them: checked once, grouped by part (train, validation, reg) and concept."""

from __future__ import annotations

import functools
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_pipeline.base.ids import file_name
from dataset_pipeline.tags.templates import without_mark
from dataset_pipeline.training.arrangement import safe_name
from dataset_pipeline.training.exporters.folder import ExportError, File, copy_file
from dataset_pipeline.training.num_repeats import num_repeats
from dataset_pipeline.training.split import REGULARIZATION, TRAIN, VALIDATION

# Held-out images and regularization images lie in folders of their own, where no trainer takes them for the others.
CLASSES = "regularization"  # the key of a recipe with what its classes stand beside
# So do clips, as trainers of pictures take none. By the split of a clip:
CLIP_PARTS = {TRAIN: "clips", VALIDATION: "clips_validation"}
# File formats that every trainer here reads, and that of clips.
READ_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
CLIP_SUFFIX = ".mp4"
SEPARATORS = re.compile(r"[/\\]")  # of folders; Windows takes both
# What captions are rendered from: columns that rows of a set may have, with the value that means `unknown`.
CAPTION_FIELDS: dict[str, Any] = {
    "characters": [],
    "people": "",
    "n_people": 0,
    "show_title": "",
    "series": [],
    "artists": [],
    "image_type": "",
    "rating": "",
    "face_position": "",
    "quality_word": "",
    "activation_tags": [],
    "tags": [],
    "text": "",
    "written": "",
}


@dataclass(frozen=True)
class Picture:
    """One image of the set, or a clip. path, sha256: of its encoded file in the store. stem: its file name without the
    suffix, which has no dot, no underscore, and is unique in the set. multiply, quality: rounded, so that a folder's
    manifest holds them as they are. frames, fps: of a clip, else 0. place: in the order of preference among the
    regularization pictures of its concept, from 0; else 0. row: as given, for whatever else a trainer can
    use."""

    image_id: str
    part: str
    concept: str
    multiply: float
    caption: str
    stem: str
    suffix: str
    path: str
    sha256: str
    width_px: int
    height_px: int
    quality: float | None
    tags: tuple[str, ...]
    mask_path: str
    frames: int
    fps: int
    place: int
    row: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return self.stem + self.suffix


@dataclass(frozen=True)
class Concept:
    """The pictures of one concept in one part. repeats: whole ones, for trainers that take no fractions."""

    part: str
    name: str
    multiply: float
    repeats: int
    pictures: tuple[Picture, ...]

    @property
    def flat_name(self) -> str:
        """The concept's path as one folder's name."""
        return self.name.replace("/", "~")

    @property
    def flat_folder(self) -> str:
        """A folder that lies in no other concept's folder."""
        return f"{self.part}/{self.flat_name}"


@dataclass(frozen=True)
class ImageSet:
    """Pictures sorted by id. read: bytes of a store path. local_path: where that lies on this machine's disk, or None.
    about: facts about how the set was made, for its documents. recipe: what captions and multiplies can be computed
    from again (`captions` and `balance`: settings; `tag_kinds`: tags by kind), under `beside` the sha256 of extra
    files, and under `regularization` the ids of the images that each class stands beside, None where it is all."""

    pictures: tuple[Picture, ...]
    read: Callable[[str], bytes]
    local_path: Callable[[str], Path | None]
    about: Mapping[str, Any]
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def concepts(self) -> tuple[Concept, ...]:
        """Sorted by part (train, validation, reg, clips, clips_validation) and name."""
        members: dict[tuple[str, str], list[Picture]] = defaultdict(list)
        for picture in self.pictures:
            members[picture.part, picture.concept].append(picture)
        found = []
        for part in (TRAIN, VALIDATION, REGULARIZATION, *CLIP_PARTS.values()):
            of_part = {concept: pictures for (other, concept), pictures in members.items() if other == part}
            multiplies = {concept: pictures[0].multiply for concept, pictures in of_part.items()}
            repeats = num_repeats({concept: len(pictures) for concept, pictures in of_part.items()}, multiplies)
            found += [
                Concept(part, concept, multiplies[concept], repeats[concept], tuple(of_part[concept]))
                for concept in sorted(of_part)
            ]
        return tuple(found)

    @property
    def beside(self) -> Mapping[str, list[str] | None]:
        """Ids of the images that each regularization class stands beside, None where it is all."""
        return self.recipe.get(CLASSES, {})

    def only(self, pictures: Iterable[Picture]) -> ImageSet:
        """The set with no pictures but these of it."""
        kept = tuple(pictures)
        classes = {picture.concept for picture in kept if picture.part == REGULARIZATION}
        beside = {name: ids for name, ids in self.beside.items() if name in classes}
        return replace(self, pictures=kept, recipe=_with_classes(self.recipe, beside))

    def concepts_of(self, part: str) -> list[Concept]:
        return [concept for concept in self.concepts if concept.part == part]

    def pictures_of(self, part: str) -> list[Picture]:
        return [picture for picture in self.pictures if picture.part == part]

    @property
    def parts(self) -> list[str]:
        """Those that have pictures, train first."""
        return list(dict.fromkeys(concept.part for concept in self.concepts))

    @functools.cached_property
    def name(self) -> str:
        shows = {picture.row["show"] for picture in self.pictures if picture.part != REGULARIZATION}
        return (safe_name(shows.pop()) if len(shows) == 1 else "") or "set"

    @functools.cached_property
    def clips(self) -> tuple[Picture, ...]:
        return tuple(picture for picture in self.pictures if picture.frames)

    @functools.cached_property
    def has_masks(self) -> bool:
        return any(picture.mask_path for picture in self.pictures)

    def file(self, path: str, picture: Picture) -> File:
        """The picture as a file of the export: a copy of the store's, and checked to be what the set lists."""
        local = self.local_path(picture.path)
        content = self.read(picture.path) if local is None else functools.partial(copy_file, local)
        return File(path, content, picture.sha256, picture.image_id)

    def with_caption(self, path: str, picture: Picture, text: str) -> Iterator[File]:
        """The picture at `path`, and `text` as a text file of the same stem."""
        yield self.file(path, picture)
        yield File(str(PurePosixPath(path).with_suffix(".txt")), text.encode())

    def mask_file(self, path: str, picture: Picture) -> File:
        """The picture's mask as a file of the export."""
        return File(path, lambda out: out.write(self.mask(picture)), of=picture.image_id)

    def bytes_of(self, picture: Picture) -> bytes:
        """The encoded picture. Raises ExportError if it is not what the set lists."""
        data = self.read(picture.path)
        if hashlib.sha256(data).hexdigest() != picture.sha256:
            raise ExportError(f"picture of image {picture.image_id} is not the one the set lists: {picture.path}")
        return data

    def mask(self, picture: Picture) -> bytes:
        """The picture's mask as a PNG: white is learnt, black is not. Where other pictures have a mask and this one has
        none it is white, as trainers want one for every picture or none at all."""
        if picture.mask_path:
            return self.read(picture.mask_path)
        return _white(picture.width_px, picture.height_px)


def image_set(
    rows: Iterable[Mapping[str, Any]],
    read: Callable[[str], bytes],
    local_path: Callable[[str], Path | None],
    about: Mapping[str, Any],
    title: str,
    keeps_mark: bool,
    recipe: Mapping[str, Any],
    reads_clips: bool = False,
) -> ImageSet:
    """The set of rows of `training_set`, in any order; title: the trainer's name, for messages. reads_clips: clips,
    rows with `frames` and `fps`, are part of it.

    Rows may also hold CAPTION_FIELDS, `split` ("train" or "validation"), `mask_path`, `is_reg` and with it `place` and
    `beside`, the ids of the images that its class stands beside (None: all). Held-out images get the multiply 1. Unless
    `keeps_mark`, `|||` in captions becomes a comma. Raises ExportError for what no trainer should be given: no rows, an
    image twice, a caption that is empty or not one line, a concept with two multiplies, a class that stands beside two
    lists of images, a file format the trainer does not read.
    """
    wanted = [row for row in rows if reads_clips or not row.get("frames")]
    pictures = sorted((_picture(row, keeps_mark) for row in wanted), key=lambda picture: picture.image_id)
    if not any(picture.part == TRAIN for picture in pictures):
        raise ExportError(
            "there is nothing to train on, all is held out for validation: lower [training_set] validation_share"
            if any(picture.part == VALIDATION for picture in pictures)
            else "the training set is empty: there is nothing to export"
        )
    multiplies: dict[tuple[str, str], float] = {}
    concepts: dict[tuple[str, str], str] = {}
    before = None
    for picture in pictures:
        image_id, concept = picture.image_id, picture.concept
        if image_id == before:
            raise ExportError(f"image {image_id} is in the set twice")
        before = image_id
        _check_by_itself(picture)
        if multiplies.setdefault((picture.part, concept), picture.multiply) != picture.multiply:
            raise ExportError(f"concept {concept} has two multiplies, the second on image {image_id}")
        # Windows and macOS take two spellings of a name for one folder.
        other = concepts.setdefault((picture.part, concept.replace("/", "~").casefold()), concept)
        if other != concept:
            raise ExportError(f"concepts {other} and {concept} would be one folder")
        if picture.suffix.lower() not in ({CLIP_SUFFIX} if picture.frames else READ_SUFFIXES):
            raise ExportError(f"{title} does not read {picture.path} of image {image_id}")
    return ImageSet(tuple(pictures), read, local_path, about, _with_classes(recipe, _beside(wanted)))


def _beside(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str] | None]:
    """Ids of the images to train on that each regularization class stands beside, None where it is all. Raises
    ExportError if two of its rows differ."""
    trained = {row["image_id"] for row in rows if not row.get("is_reg") and (row.get("split") or TRAIN) == TRAIN}
    found: dict[str, list[str] | None] = {}
    listed: dict[str, Any] = {}
    for row in rows:
        if row.get("is_reg"):
            given = row.get("beside")
            if row["concept"] in found and given is listed[row["concept"]]:
                continue  # the rows of a class share one list, which may be long
            listed[row["concept"]] = given
            ids = None if given is None or trained <= set(given) else sorted(set(given))
            if found.setdefault(row["concept"], ids) != ids:
                raise ExportError(
                    f"class {row['concept']} stands beside two lists of images, the second on image {row['image_id']}"
                )
    return found


def _with_classes(recipe: Mapping[str, Any], beside: Mapping[str, list[str] | None]) -> dict[str, Any]:
    rest = {key: value for key, value in recipe.items() if key != CLASSES}
    return rest | ({CLASSES: dict(sorted(beside.items()))} if beside else {})


def _check_by_itself(picture: Picture) -> None:
    """Check the caption, concept and multiply of one picture. Raises ExportError."""
    caption, concept = picture.caption, picture.concept
    if not caption or len(caption.splitlines()) != 1 or caption != caption.strip() or caption[0] == "\ufeff":
        raise ExportError(f"image {picture.image_id} has no one-line caption: {caption!r}")
    if any(part in ("", ".", "..") for part in SEPARATORS.split(concept)):
        raise ExportError(f"concept {concept} is no folder of a set")
    if not 0 < picture.multiply < float("inf"):
        raise ExportError(f"concept {concept} has the multiply {picture.multiply}")
    if picture.place < 0:
        raise ExportError(f"image {picture.image_id} has the place {picture.place}; the first is 0")


def _picture(row: Mapping[str, Any], keeps_mark: bool) -> Picture:
    split, caption = row.get("split") or TRAIN, row["caption"] or ""
    if split not in (TRAIN, VALIDATION):
        raise ExportError(f"image {row['image_id']} is of the split {split!r}; there are {TRAIN} and {VALIDATION}")
    frames = row.get("frames") or 0
    part = REGULARIZATION if row.get("is_reg") else CLIP_PARTS[split] if frames else split
    # A loss over held-out images means something only if each is seen once.
    multiply = 1.0 if split == VALIDATION and not row.get("is_reg") else float(f"{row['multiply']:.6g}")
    return Picture(
        image_id=row["image_id"],
        part=part,
        concept=row["concept"],
        multiply=multiply,
        caption=caption if keeps_mark else without_mark(caption),
        stem=file_name(row["image_id"]),
        suffix=PurePosixPath(row["path"]).suffix,
        path=row["path"],
        sha256=row["file_sha256"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        quality=None if row["quality"] is None else round(row["quality"], 4),
        tags=tuple(row.get("tags") or ()),
        mask_path=row.get("mask_path") or "",
        frames=frames,
        fps=row.get("fps") or 0,
        place=(row.get("place") or 0) if row.get("is_reg") else 0,
        row=row,
    )


@functools.lru_cache(maxsize=64)
def _white(width_px: int, height_px: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (width_px, height_px), 255).save(buffer, "png")
    return buffer.getvalue()
