"""What the readers of a table rely on: the versions that say whether they are up to date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from dataset_pipeline.base.ids import show_of
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Pointer

NO_ROWS = "no rows"  # the version of an empty part of a table


def version_of(pointer: Pointer) -> str:
    """What a table's readers rely on: its data version, with the images that it left out, or for a source the
    fingerprint of the file itself."""
    version = pointer.provenance.fingerprint or pointer.data_version
    if not (left_out := pointer.provenance.left_out):
        return version
    return f"{version}-{hashlib.sha256(json.dumps(sorted(left_out)).encode()).hexdigest()[:8]}"


def version_for(episode: str | None, asset: str, pointer: Pointer) -> str:
    """What a reader of one episode relies on: the version of that episode's part, if a joined table has parts."""
    part = SCHEMAS[asset].part
    if episode is None or not part or (pointer.rows and not pointer.parts):
        return version_of(pointer)
    return pointer.parts.get(episode if part == "episode" else show_of(episode), NO_ROWS)


def joined_version(pointers: Iterable[tuple[str, Pointer]]) -> str:
    """The same for a table of many episodes, given as (episode, pointer) sorted by episode."""
    listing = json.dumps([(episode, version_of(pointer)) for episode, pointer in pointers])
    return hashlib.sha256(listing.encode()).hexdigest()[:16]
