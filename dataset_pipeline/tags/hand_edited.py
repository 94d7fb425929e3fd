"""Tags that a person wrote beside a picture of a folder."""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_pipeline.base.file_names import is_text
from dataset_pipeline.base.paths import leads_out
from dataset_pipeline.base.tag_words import words

ENDINGS = (".tags", ".txt", ".caption")  # the first that is there counts; in capitals too
SAVE_AS_UTF8 = "save it as UTF-8"

_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CLOSING = "\"'\u201d\u2019)]\u300d\u300f"
_ENDS = re.compile(rf"[.!?\u2026\u3002\uff01\uff1f][{re.escape(_CLOSING)}]*$")
_INNER_END = re.compile(rf"[.!?\u2026][{re.escape(_CLOSING)}]*\s+")
_PAUSES = (",", ";", ":", "\u3001")
_SPACES = "\t\n\v\f\r\x85\x1a"  # \x1a: the end mark of DOS editors


def sidecars(picture: str) -> list[str]:
    """Where a picture's tags may lie, the first first: `x.tags`, `x.txt`, `x.caption`, `x.png.tags`, …"""
    path = PurePosixPath(picture)
    return [str(path.with_suffix(ending)) for ending in ENDINGS] + [picture + ending for ending in ENDINGS]


def sidecar_key(name: str) -> str:
    """What two spellings of a file of tags have in common: capitals in the ending and Unicode forms do not count."""
    stem, dot, ending = unicodedata.normalize("NFC", name).rpartition(".")
    return f"{stem}{dot}{ending.lower()}"


def written_tags(text: str) -> list[str]:
    """The tags of a text separated by commas or line breaks, in its order, each once.

    In a text of sentences a line break is where a line was full or a sentence ended, and a comma only between what are
    no parts of one sentence: `A girl in a\nfield.\nShe smiles.` is one part.
    """
    lines = list(filter(None, (" ".join(line.split()) for line in text.splitlines())))
    joined = _sentences(lines) if _is_prose(lines) else ",".join(lines)
    parts = (" ".join(part.split()) for part in joined.split(","))
    found: dict[tuple[str, ...], str] = {}
    for part in parts:
        if part:
            found.setdefault(words(part), part)
    return list(found.values())


def _is_prose(lines: Iterable[str]) -> bool:
    """Whether a line ends what no tag is: words from a capital letter on to a full stop. Tags end in other marks too
    (`k-on!`, `gochuumon wa usagi desu ka?`)."""
    begun = ""
    for line in lines:
        begun = f"{begun} {line}" if begun else line
        if _ENDS.search(line):
            text = begun.rstrip(_CLOSING)
            words_in = _INNER_END.split(text[:-1])[-1].strip(f" {_CLOSING}").split()
            if text[-1] == "\u3002" or (text[-1] == "." and len(words_in) > 1 and words_in[0][:1].isupper()):
                return True
            begun = ""
    return False


def _sentences(lines: list[str]) -> str:
    """Lines of sentences as one: with a comma only where a line neither ended one nor was broken within it."""
    text = lines[0]
    for line in lines[1:]:
        goes_on = text.endswith(_PAUSES) or _ENDS.search(text) or line[:1].islower()
        text += f" {line}" if goes_on else f", {line}"
    return text


def text_of(data: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 and UTF-32 as their byte order mark or their zero bytes show.

    Raises ValueError for everything else: which of the older encodings it is could only be guessed.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _plain(data.removeprefix(mark), encoding)
    # In UTF-16 every second byte of a plain letter is zero, which one tells the order; other letters do not show it.
    zeros = [data[first::2].count(0) for first in (0, 1)]
    if 4 * max(zeros) >= len(data) > 0 == min(zeros):
        return _plain(data, "utf-16-le" if zeros[1] else "utf-16-be")
    return _plain(data, "utf-8")


def _plain(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError(f"is no {encoding.upper()} text") from None
    if any(unicodedata.category(letter) in ("Cc", "Cn") and letter not in _SPACES for letter in text):
        raise ValueError("is no text")
    return text.replace("\x1a", "")


def hand_edited_rows(folder: Path, keyframes: Iterable[Mapping[str, Any]]) -> tuple[list[dict], list[str]]:
    """Rows of `hand_edited_tags` for pictures with a file of tags beside them, and a sentence for each file that cannot
    be read as one: its picture keeps the tagger's tags.

    keyframes: image_id and source_file, the picture's path in the folder. A file without any tag counts as none.
    """
    rows, faults = [], {}
    read: dict[str, tuple[str, list[str]] | None] = {}
    there = Sidecars(folder)
    for row in keyframes:
        picture = row["source_file"]
        if picture not in read:
            read[picture] = None
            if leads_out(picture):
                faults[picture] = f"{picture!r} is no picture in {folder}: materialize keyframes again"
                continue
            for name in there.beside(picture):
                try:
                    tags = written_tags(text_of((folder / name).read_bytes()))
                except (OSError, ValueError) as error:
                    why = error.strerror if isinstance(error, OSError) else f"it {error}: {SAVE_AS_UTF8}"
                    faults[name] = f"{name} cannot be read as tags, and its picture has the tagger's: {why}"
                    continue
                if tags:
                    read[picture] = name, tags
                    break
        if found := read[picture]:
            rows.append({"image_id": row["image_id"], "file": found[0], "tags": found[1]})
    return rows, list(faults.values())


class Sidecars:
    """The files of tags in the folders below `folder`, each of which is listed once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, dict[str, list[str]]] = {}

    def beside(self, picture: str) -> list[str]:
        """The files of tags that belong to a picture, the one that counts first; of several spellings its own first."""
        parent = str(PurePosixPath(picture).parent)
        if parent not in self.files:
            self.files[parent] = self._listed(parent)
        found: dict[str, None] = {}
        for wanted in sidecars(picture):
            spelled = self.files[parent].get(sidecar_key(wanted), [])
            found |= dict.fromkeys(sorted(spelled, key=lambda name: (name != wanted, name)))
        return list(found)

    def _listed(self, parent: str) -> dict[str, list[str]]:
        listed: dict[str, list[str]] = {}
        for name in os.listdir(self.folder / parent):
            if is_text(name) and name.lower().endswith(ENDINGS):
                path = str(PurePosixPath(parent, name))
                listed.setdefault(sidecar_key(path), []).append(path)
        return listed
