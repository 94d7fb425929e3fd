"""What the readers of a table rely on: the versions that say whether they are up to date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from dataset_pipeline.base.ids import show_of
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Pointer

# Tables of which none is as good as an empty one: episodes of which a person said nothing need none.
MAY_BE_ABSENT = frozenset({"corrections", "matched_corrections"})
NO_ROWS = "no rows"  # the version of an empty part of a table


def version_of(pointer: Pointer) -> str:
    """What a table's readers rely on: its data version, with the images that it left out, or for a source the
    fingerprint of the file itself."""
    version = pointer.provenance.fingerprint or pointer.data_version
    if not (left_out := pointer.provenance.left_out):
        return version
    return f"{version}-{hashlib.sha256(json.dumps(sorted(left_out)).encode()).hexdigest()[:8]}"


def hash_of(*parts: Any) -> str:
    """SHA-256 of what can be written as JSON, whatever the order of keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def version_for(episode: str | None, asset: str, pointer: Pointer | None, reader: str) -> str:
    """What the asset `reader` relies on, of one episode: the version of the part that is that episode's or that
    reader's, if the table has parts. Empty for a table that is not there, unless it may be absent (`MAY_BE_ABSENT`)."""
    part = SCHEMAS[asset].part
    if pointer is None:
        return NO_ROWS if asset in MAY_BE_ABSENT else ""
    if part == "reader":
        return pointer.parts.get(reader, NO_ROWS)
    if episode is None or not part or (pointer.rows and not pointer.parts):
        return version_of(pointer)
    return pointer.parts.get(episode if part == "episode" else show_of(episode), NO_ROWS)


def joined_version(asset: str, pointers: Iterable[tuple[str, Pointer]], reader: str) -> str:
    """The same for the tables of many episodes, given as (episode, pointer) sorted by episode."""
    versions = [(episode, _version_over_all(asset, pointer, reader)) for episode, pointer in pointers]
    if SCHEMAS[asset].part == "reader" and all(version == NO_ROWS for _, version in versions):
        return NO_ROWS
    listing = json.dumps(versions)
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def _version_over_all(asset: str, pointer: Pointer, reader: str) -> str:
    return version_for(None, asset, pointer, reader) if SCHEMAS[asset].part == "reader" else version_of(pointer)
