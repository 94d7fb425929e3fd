"""A project folder of neme-anima: its `project.json` lists the pictures below `refs/` of each character.

What it leaves out for single sources counts all the same. Older files have one character, of the project's own name.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path, PureWindowsPath
from typing import Any

from pydantic import BaseModel, ValidationError

from dataset_pipeline.base.paths import fault_of_path

NEME_PROJECT, NEME_PICTURES = "project.json", "refs"


class NotAProject(ValueError):
    """A file that is no project of neme-anima; the message says where it is none."""


class _Picture(BaseModel):
    path: str


class _Character(BaseModel):
    name: str | None = None
    slug: str | None = None
    refs: list[_Picture] | None = None


class _Project(_Character):
    characters: list[_Character] | None = None


def characters_of(folder: Path) -> list[tuple[str, str, list[str]]]:
    """Of each character its place in the file, its name, empty if there is none, and the paths of its pictures: as
    they were written, absolute, wherever the project lay then. Raises NotAProject."""
    try:
        content = json.loads((folder / NEME_PROJECT).read_text(encoding="utf-8-sig"))
        project = _Project.model_validate(content, strict=True)
    except ValidationError as error:
        raise NotAProject(f"cannot be read as a project of neme-anima: {_first_fault(error)}") from None
    except OSError as error:
        raise NotAProject(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise NotAProject("cannot be read as a project of neme-anima: it is no text in UTF-8") from None
    except (ValueError, RecursionError):
        raise NotAProject("cannot be read as a project of neme-anima: it is no JSON") from None
    listed = project.characters or [project]
    return [
        (f"characters.{i}", it.name or it.slug or "", [picture.path for picture in it.refs or ()])
        for i, it in enumerate(listed)
    ]


def _first_fault(error: ValidationError) -> str:
    fault: Any = error.errors()[0]
    place = ".".join(map(str, fault["loc"])) or "the whole of it"
    wanted = {"string_type": "is no text", "list_type": "is no list", "missing": "is missing"}
    return f"{place} {wanted.get(fault['type'], 'is no object')}"


def place_of(folder: Path, path: str) -> tuple[str, str]:
    """Where a picture lies below the folder, and why it cannot be used; that is empty if it can."""
    name = PureWindowsPath(path).name  # it splits at both slashes
    file = f"{NEME_PICTURES}/{name}"
    if not name or fault_of_path(unicodedata.normalize("NFC", file)):
        return file, f"is no picture in {NEME_PICTURES}"
    try:
        there, link = (folder / file).is_file(), (folder / file).is_symlink() or (folder / NEME_PICTURES).is_symlink()
    except OSError:  # a name that is longer than a disk takes
        there, link = False, False
    if link:
        return file, f"is a link in {NEME_PICTURES}, and links are not followed: put a copy there"
    return file, "" if there else f"is not in {NEME_PICTURES}: copy it there"
