"""Names of files and folders: slugs, hashes that are the same on every system, and which files are ignored."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from pathlib import Path, PurePath

from dataset_pipeline.base.paths import is_device

_APOSTROPHES = str.maketrans("", "", "'’‘`´")
_IGNORED_NAMES = frozenset(
    {"@eadir", "#recycle", "$recycle.bin", "system volume information", "__macosx", "lost+found"}
    | {"thumbs.db", "desktop.ini", "icon\r"}  # the last: macOS' icon of a folder
)
MAX_NAME_CHARACTERS = 99
MAX_NAME_BYTES = 200  # Linux allows 255 in a name, and a Japanese letter takes three
NAMES_REMEMBERED = 10_000
_FORBIDDEN = re.compile(r'[<>:"/\\|?*+\x00-\x1f\x7f\ud800-\udfff]')
# They turn the letters after them about, so that a name reads as another one.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_PARTIAL_ENDINGS = (".part", ".partial", ".crdownload", ".download", ".!qb", ".!ut", ".aria2", ".tmp")


def short_hash(text: str) -> str:
    """8 hex digits of the text's SHA-256, the same for composed and decomposed Unicode (macOS stores the latter)."""
    return hashlib.sha256(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")).hexdigest()[:8]


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's content. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ascii_slug(text: str) -> str:
    """The text transliterated to `[a-z0-9_-]`; empty if nothing is left."""
    from anyascii import anyascii

    ascii_text = anyascii(unicodedata.normalize("NFC", text)).lower()
    return re.sub(r"[^a-z0-9_]+", "-", ascii_text).strip("-_")


def slug(text: str, max_length: int | None = None) -> str:
    """A part of a partition key: `ascii_slug` without apostrophes; 8 hex digits of its hash when nothing is left.

    Longer than `max_length` it is cut and ends in its hash, so that two long names with one beginning stay apart.
    """
    plain = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
    slugged = ascii_slug(plain) or short_hash(text)
    if max_length is not None and len(slugged) > max_length:
        slugged = f"{slugged[: max_length - 9].rstrip('-_')}-{short_hash(text)}"
    return slugged


@functools.lru_cache(maxsize=NAMES_REMEMBERED)
def safe_name(text: str) -> str:
    """A file or folder name that Windows, Linux and macOS all take; empty if nothing of the text is left.
    Dots go, forbidden marks become `_`, and names Windows keeps for devices get a `_`."""
    name = _TURNING.sub("", unicodedata.normalize("NFC", text)).replace(".", "")
    name = _FORBIDDEN.sub("_", " ".join(name.split())).strip()
    return f"{name}_" if is_device(name) else name


def safe_folder(text: str) -> str:
    """As `safe_name`, never empty nor longer than a folder's name may be: what is too long is cut and ends in its hash,
    and of what nothing is left the hash alone stays."""
    name = safe_name(text)
    if len(name) <= MAX_NAME_CHARACTERS and len(name.encode()) <= MAX_NAME_BYTES and name:
        return f"{name}_" if is_ignored(name) else name
    kept = name[: MAX_NAME_CHARACTERS - 9].encode()[: MAX_NAME_BYTES - 9].decode(errors="ignore")
    return f"{kept.rstrip()}-{short_hash(text)}".lstrip("-")


def safe_first_part(part: str) -> str:
    """`part`, or `part_` where Windows keeps the word for a device (`con`, `nul`), whatever follows the dot."""
    return f"{part}_" if is_device(part) else part


def is_text(name: str) -> bool:
    """Whether a file's name is valid UTF-8, as tables and ids need it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def posix_path(relative: PurePath) -> str:
    """The relative path as one text that is the same on every system: for ids and for comparing, never for reading."""
    return unicodedata.normalize("NFC", relative.as_posix())


def is_ignored(name: str) -> bool:
    """Hidden files, leftovers of systems and shares, and downloads that are not finished."""
    return name.startswith(".") or name.lower() in _IGNORED_NAMES or is_unfinished(name)


def is_unfinished(name: str) -> bool:
    """Whether a file is a download that is not finished, and not a hidden one."""
    return name.lower().endswith(_PARTIAL_ENDINGS) and not name.startswith(".")
