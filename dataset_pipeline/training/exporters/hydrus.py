"""Pictures with their tags in sidecars, as the Hydrus client imports them.

As it reads them (`client/metadata/ClientMetadataMigrationImporters.py: SingleFileMetadataImporterTXT`, with its default
settings): the sidecar is called as the picture with its suffix, and `.txt`; UTF-8, one tag a line. What stands before
the first colon is the tag's namespace; a tag with a colon of its own begins with one more. Tags are trimmed and made
lower case (`core/HydrusTags.py`); nothing is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dataset_pipeline.base.tag_words import is_emoticon
from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.training.exporters.documents import Profile
from dataset_pipeline.training.exporters.folder import File
from dataset_pipeline.training.exporters.image_set import ImageSet, Picture
from dataset_pipeline.training.exporters.plain import places


def files(images: ImageSet, places: Mapping[str, str]) -> Iterator[File]:
    for picture in images.pictures:
        place = places[picture.image_id]
        yield images.file(place, picture)
        yield File(f"{place}.txt", "".join(f"{tag}\n" for tag in tags_of(picture)).encode())


def tags_of(picture: Picture) -> list[str]:
    """The picture's tags with their namespaces, each once."""
    row = picture.row
    series = row.get("series") or [row.get("show_title") or row["show"]]
    tags = [f"character:{_line(parse_character(stored).name)}" for stored in row["characters"]]
    tags += [f"series:{_line(name)}" for name in series]
    tags += [f"creator:{_line(name)}" for name in row.get("artists") or ()]
    tags += [f"rating:{row['rating']}"] if row.get("rating") else []
    tags += [_plain(tag) for tag in picture.tags]
    return list(dict.fromkeys(tags))


def _plain(tag: str) -> str:
    """A tag without a namespace."""
    text = _line(tag if is_emoticon(tag) else tag.replace("_", " "))
    return f":{text}" if ":" in text.removeprefix(":") else text


def _line(text: str) -> str:
    return " ".join(text.split())


PROFILE = Profile(
    title="Hydrus",
    instructions=lambda images: (
        "Import the folder `train` and, in the dialog of the import, add under sidecars a `.txt` source with its "
        "defaults and a tag service as destination. Each picture has its tags in `<file name>.txt`, one a line, with "
        "the namespaces `character`, `series`, `creator` and `rating`. Captions are in no sidecar, so that `recaption` "
        "changes none."
    ),
    places=places,
    files=files,
)
