"""Measuring only what was never measured before.

A model's answer for a picture is kept for good in the side table `<name>__measured`, keyed by (image_id, pixel_sha256,
model_sha256, algorithm), so dropping an image and adding it again costs no model call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.store.schemas import MEASURED, MEASURED_KEY, SCHEMAS, TableSchema
from dataset_pipeline.store.store import MEASURED_SUFFIX, Store, schema_of
from dataset_pipeline.store.versions import repeats

# What a killed run may lose: the rows of its last minute, and not more than this many.
SAVE_EVERY_ROWS = 8192
SAVE_EVERY_S = 60.0
_END: Any = object()


@dataclass(frozen=True)
class Reuse:
    """How many images the model was run on, and how many it was spared."""

    measured: int
    reused: int


def measure_missing(
    store: Store,
    name: str,
    episode: str | None,
    wanted: pa.Table,
    model_sha256: str,
    algorithm: str,
    measure: Callable[[list[str]], Iterable[dict[str, Any] | None]],
    *,
    save_every_rows: int = SAVE_EVERY_ROWS,
    save_every_s: float = SAVE_EVERY_S,
) -> tuple[pa.Table, Reuse]:
    """Rows of `SCHEMAS[name]` for the wanted images, measuring only those without one.

    `wanted`: columns image_id and pixel_sha256, an image at most once. `measure` takes the image ids that are absent
    (sorted; it is not called for none) and yields a payload for each, in that order; a payload holds the schema's
    columns but the four measured ones; None is no answer, and gives no row. It is consumed lazily, and what it yielded
    is saved now and then, and also if it fails. Where a schema `<name>_measured` exists, its one list of structs
    becomes a row of `SCHEMAS[name]` an item.
    Raises ValueError for an image wanted twice or a payload too few or too many.
    """
    images = _wanted(wanted, name)
    schema = schema_of(f"{name}{MEASURED_SUFFIX}")
    cache = _Cache(store, schema, episode)
    keys = {image: (image, pixels, model_sha256, algorithm) for image, pixels in images.items()}
    known = cache.rows()
    absent = [image for image in images if keys[image] not in known]
    unanswered = 0
    if absent:
        pending: list[dict[str, Any]] = []
        saved_at = time.monotonic()
        try:
            for image, payload in _paired(absent, measure(absent), name):
                if payload is None:
                    unanswered += 1
                    continue
                pending.append({**payload, **dict(zip(MEASURED_KEY, keys[image], strict=True))})
                if len(pending) >= save_every_rows or time.monotonic() - saved_at >= save_every_s:
                    cache.add(pending)
                    pending, saved_at = [], time.monotonic()
        finally:
            if pending:
                cache.add(pending)
        known = cache.rows()
    rows = pa.array([known[key] for key in keys.values() if key in known], pa.int64())
    measured = cache.table.take(rows)
    result = _exploded(measured, SCHEMAS[name]) if f"{name}_measured" in SCHEMAS else measured
    return result, Reuse(measured=len(absent) - unanswered, reused=len(images) - len(absent))


class _Cache:
    """The side table of one episode, or of a joined asset. Rows are only ever added."""

    def __init__(self, store: Store, schema: TableSchema, episode: str | None) -> None:
        self.store, self.schema, self.episode = store, schema, episode
        found = store.previous(schema.name, episode)
        self.table = schema.empty() if found is None else found

    def rows(self) -> dict[tuple[str, ...], int]:
        """Row number by key."""
        columns = (self.table[name].to_pylist() for name in MEASURED_KEY)
        return {key: row for row, key in enumerate(zip(*columns, strict=True))}

    def add(self, rows: list[dict[str, Any]]) -> None:
        # What was read before goes along: somebody may have forgotten the episode since.
        known = pa.concat_tables([self.table, self.schema.table(rows)])
        self.table = self.store.add_rows(self.schema.name, known, self.episode)


def _wanted(wanted: pa.Table, name: str) -> dict[str, str]:
    """Pixel hash by image id, sorted by image id."""
    pairs = sorted(zip(wanted["image_id"].to_pylist(), wanted["pixel_sha256"].to_pylist(), strict=True))
    images = dict(pairs)
    if len(images) < len(pairs):
        twice = next(one for (one, _), (other, _) in pairwise(pairs) if one == other)
        raise ValueError(f"{name} is asked for {twice} twice")
    return images


def _paired(
    absent: list[str], payloads: Iterable[dict[str, Any] | None], name: str
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    given = iter(payloads)
    for number, image in enumerate(absent):
        try:
            payload = next(given)
        except StopIteration:
            raise ValueError(f"{name}: {number} payloads came for {len(absent)} images, none for {image}") from None
        yield image, payload
    if next(given, _END) is not _END:
        raise ValueError(f"{name}: more payloads came than the {len(absent)} images that were asked for")


def _exploded(measured: pa.Table, schema: TableSchema) -> pa.Table:
    """A row for every item of the measured list. Of items that share a key only the best-scored is kept."""
    (listed,) = [column for column in measured.column_names if column not in MEASURED]
    lists = measured[listed].combine_chunks()
    items = pa.Table.from_struct_array(lists.flatten())
    parents = np.repeat(np.arange(len(lists)), lists.value_lengths().fill_null(0).to_numpy())
    for name in MEASURED:
        if name in schema.columns:
            items = items.append_column(name, measured[name].take(pa.array(parents)))
    items = items.select(list(schema.columns)).cast(schema.arrow)
    items = items.sort_by([*((name, "ascending") for name in schema.key), ("score", "descending")])
    return items.filter(pa.array(~repeats(items, schema.key)))
