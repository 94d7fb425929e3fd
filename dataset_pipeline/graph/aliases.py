"""Episodes that go by another key than before. Their tables go along, and old keys and ids still lead to them.

The former keys of an episode are a table of its own, `episode_aliases`, so that taking the episode out takes them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.graph.versions import version_of
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import MEASURED_SUFFIX, Pointer, Store

ALIASES = "episode_aliases"
# Words of a title or paths of files, which may look like a key and are none.
_NO_IDS = frozenset({"show_title", "episode_title", "file", "source_file", "path"})
pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them


def current_id(store: Store, image: str) -> str:
    """Today's id of an image or an episode that may be called by a former one; the same if it is not known."""
    episode = episode_of(image)
    today = keys_of_today(store).get(episode)
    if today is None or store.pointer("video", episode) is not None:
        return image
    return f"{today}{image[len(episode) :]}"


def former_keys(store: Store, episode: str) -> list[str]:
    """The keys that an episode went by before, sorted."""
    table = store.previous(ALIASES, episode)
    return [] if table is None else table["former"].to_pylist()


def keys_of_today(store: Store) -> dict[str, str]:
    """Today's key by former key."""
    table = store.read_many(ALIASES, store.episodes(ALIASES))
    return dict(zip(table["former"].to_pylist(), table["episode"].to_pylist(), strict=True))


def rekey(store: Store, old: str, new: str) -> None:
    """Write every table of the episode `old` under `new`, its ids replaced. Pictures stay where they are.

    The former key is noted first, and nothing of `old` is removed, so a call that broke off can be repeated. What
    cannot be read is left out, and made again. The table `video` is left to the caller.
    """
    formers = sorted({old, *former_keys(store, old), *former_keys(store, new)} - {new})
    aliases = SCHEMAS[ALIASES].table([{"former": former, "episode": new} for former in formers])
    store.write(ALIASES, aliases, new)
    assets = [asset for asset in store.assets_of(old) if asset not in ("video", ALIASES)]
    for asset in assets:
        if asset.endswith(MEASURED_SUFFIX) and (table := store.previous(asset, old)) is not None:
            store.add_rows(asset, _renamed(table, old, new), new)
    found = {asset: store.previous(asset, old) for asset in assets if not asset.endswith(MEASURED_SUFFIX)}
    tables = {asset: table for asset, table in found.items() if table is not None}
    pointers = {asset: pointer for asset in tables if (pointer := store.pointer(asset, old)) is not None}
    versions: dict[str, tuple[str, str]] = {}
    for asset in _inputs_first(pointers):
        provenance = _told_of(_made_from(asset, pointers[asset], versions), old, new)
        written = store.write(asset, _renamed(tables[asset], old, new), new, provenance)
        versions[asset] = version_of(pointers[asset]), version_of(written.pointer)


def _inputs_first(pointers: dict[str, Pointer]) -> Iterable[str]:
    """The assets in an order in which each comes after those it was made from."""
    done: set[str] = set()
    while len(done) < len(pointers):
        ready = [
            asset
            for asset, pointer in pointers.items()
            if asset not in done and not (pointer.provenance.inputs.keys() & pointers.keys()) - done - {asset}
        ] or sorted(pointers.keys() - done)
        yield from ready
        done.update(ready)


def _made_from(asset: str, pointer: Pointer, versions: dict[str, tuple[str, str]]) -> Provenance:
    """The provenance of a table whose inputs have new versions; what was out of date stays so.

    What looks at the source for more than its content, as for the title of the show, is to be made again.
    """
    inputs = dict(pointer.provenance.inputs)
    for name, (before, now) in versions.items():
        if inputs.get(name) == before:
            inputs[name] = now
    if asset != "video_probe":
        inputs.pop("video", None)
    return replace(pointer.provenance, inputs=inputs)


def _told_of(provenance: Provenance, old: str, new: str) -> Provenance:
    """The provenance with today's ids in what is said of single images; paths of stored pictures stay as they are."""
    former = re.compile(rf"(?<![\w./-]){re.escape(old)}(?=/)")

    def today(text: str) -> str:
        return former.sub(new, text)

    return replace(
        provenance,
        left_out={today(image): today(reason) for image, reason in provenance.left_out.items()},
        faults={check: today(fault) for check, fault in provenance.faults.items()},
    )


def _renamed(table: pa.Table, old: str, new: str) -> pa.Table:
    """The table with every id of the episode replaced, in lists and structs too."""
    for number, field in enumerate(table.schema):
        if field.name not in _NO_IDS and _holds_text(field.type):
            table = table.set_column(number, field, _replaced(table[field.name].combine_chunks(), old, new))
    return table


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) or pa.types.is_list(kind):
        return any(_holds_text(kind.field(number).type) for number in range(kind.num_fields))
    return pa.types.is_string(kind)


def _replaced(array: pa.Array, old: str, new: str) -> pa.Array:
    kind = array.type
    if not _holds_text(kind):
        return array
    if pa.types.is_struct(kind):
        parts = [_replaced(part, old, new) for part in array.flatten()]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())
    if pa.types.is_list(kind):
        lengths = pc.fill_null(array.value_lengths(), 0).to_numpy()
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        values = _replaced(array.flatten(), old, new)
        return pa.ListArray.from_arrays(pa.array(ends), values, type=kind, mask=array.is_null())
    of_episode = pc.or_(pc.equal(array, old), pc.starts_with(array, f"{old}/"))
    renamed = pc.binary_join_element_wise(new, pc.utf8_slice_codeunits(array, len(old)), "")
    return pc.if_else(of_episode, renamed, array)
