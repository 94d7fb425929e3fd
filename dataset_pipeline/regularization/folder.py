"""A user's own pictures, with the captions that lie beside them."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePath, PurePosixPath

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.images.pictures import list_pictures
from dataset_pipeline.regularization.requests import Rows, request, with_ids
from dataset_pipeline.settings import RegularizationClass
from dataset_pipeline.tags.hand_edited import SAVE_AS_UTF8, Sidecars, text_of

NAMED_IN_ERRORS = 5


def from_folder(a_class: RegularizationClass) -> Rows:
    """Rows of `regularization_requests`, one for each picture in the class's folder and those below it, as it is:
    `path` is from that folder, width_px and height_px are 0, and whether it can be read shows when it is.

    The caption is the text beside the picture (`x.txt`, as `hand_edited_tags` finds it) on one line, else the class's.
    The id is made of the path in the folder. Raises PermanentError for a folder that is not there or
    has no picture, for a picture without a caption and for a text that cannot be read, with what to do.
    """
    folder = a_class.pictures_folder
    assert folder is not None
    told = f"the class {a_class.name!r} takes its pictures from {folder}"
    try:
        pictures = list_pictures(folder)
    except FileNotFoundError:
        raise PermanentError(f"{told}, which is not there: make it, or correct `folder`") from None
    except NotADirectoryError:
        raise PermanentError(f"{told}, which is a file: name the folder that it lies in") from None
    if not pictures:
        raise PermanentError(f"{told}, which holds no pictures: put some there, or correct `folder`")
    sidecars = Sidecars(folder)
    rows, silent = [], []
    for picture in pictures:
        caption = _text_beside(folder, picture.relative, sidecars) or a_class.caption
        if not caption:
            silent.append(picture.relative)
        path = unicodedata.normalize("NFC", picture.relative)
        rows.append(([path], request(a_class, caption=caption, path=PurePath(picture.relative).as_posix())))
    if silent:
        named = ", ".join(silent[:NAMED_IN_ERRORS]) + (" …" if len(silent) > NAMED_IN_ERRORS else "")
        beside = PurePosixPath(silent[0]).with_suffix(".txt")
        raise PermanentError(
            f"{told}, where {len(silent)} pictures have no caption: {named}. Write one beside each, e.g. {beside}, or "
            "`caption` for all"
        )
    return with_ids(a_class.name, rows)


def _text_beside(folder: Path, picture: str, sidecars: Sidecars) -> str:
    for name in sidecars.beside(picture):
        try:
            text = " ".join(text_of((folder / name).read_bytes()).split())
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else f"it {error}: {SAVE_AS_UTF8}"
            raise PermanentError(f"{folder / name} cannot be read as a caption: {why}") from None
        if text:
            return text
    return ""
