"""`manifest.json` of a folder of characters: what was written there. It comes back from a person, and is checked."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dataset_pipeline.base.ids import check_image
from dataset_pipeline.corrections.events import EVENT_ID_DIGITS, CharacterOrNone

FORMAT = 1
NAME = "manifest.json"
EventOrNone = Annotated[str, Field(pattern=rf"^(e-[0-9a-f]{{{EVENT_ID_DIGITS}}}(\.[0-9]+)?)?$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def composed(text: str) -> str:
    """In NFC: macOS and archives from there have the names of files decomposed."""
    return unicodedata.normalize("NFC", text)


def _below(path: str) -> str:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or not parts or ".." in parts or "\\" in path or "\0" in path:
        raise ValueError(f"{path!r} does not lie below the folder")
    return composed(path)


Below = Annotated[str, AfterValidator(_below)]


@dataclass(frozen=True)
class Folder:
    """A folder of a character. path: below the whole, posix. character: its id, empty for nobody known. name: as typed,
    empty if it has none."""

    path: str
    show: str
    character: str = ""
    name: str = ""


@dataclass(frozen=True)
class Written:
    """A picture of one person on a still. file: its path below the whole, posix. sha256: of its content. images: ids of
    the person's crops; it is the first of them. rejected: the event that says so, if it was deleted."""

    file: str
    sha256: str
    images: tuple[str, ...]
    rejected: str = ""


@dataclass(frozen=True)
class Manifest:
    folders: list[Folder] = field(default_factory=list)
    files: list[Written] = field(default_factory=list)


class BadManifest(ValueError):
    """The file is none that was written; the message says what is wrong with it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Folder(_Strict):
    path: Below
    show: str
    character: CharacterOrNone = ""
    name: str = ""


class _Written(_Strict):
    file: Below
    sha256: Sha256
    images: Annotated[tuple[Annotated[str, AfterValidator(check_image)], ...], Field(min_length=1)]
    rejected: EventOrNone = ""


class _Manifest(_Strict):
    format: Literal[1]
    folders: list[_Folder]
    files: list[_Written]


def to_json(manifest: Manifest) -> str:
    """One line for each folder and each file, so that a person can read it and a change is a change of lines."""

    def lines(items: list[Mapping[str, object]]) -> str:
        told = [json.dumps({key: it for key, it in item.items() if it}, ensure_ascii=False) for item in items]
        return "[\n  " + ",\n  ".join(told) + "\n ]" if told else "[]"

    folders, files = lines([vars(it) for it in manifest.folders]), lines([vars(it) for it in manifest.files])
    return f'{{"format": {FORMAT},\n "folders": {folders},\n "files": {files}}}\n'


def manifest_of(text: str) -> Manifest:
    """Raises BadManifest."""
    try:
        told = _Manifest.model_validate(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadManifest(f"it is no JSON ({error})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadManifest(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    folders = [Folder(**it.model_dump()) for it in told.folders]
    files = [Written(it.file, it.sha256, it.images, it.rejected) for it in told.files]
    known = {it.path for it in folders}
    for it in files:
        if str(PurePosixPath(it.file).parent) not in known:
            raise BadManifest(f"files: {it.file!r} lies in no folder that is listed")
    return Manifest(folders, files)
