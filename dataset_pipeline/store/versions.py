"""Hashes of tables: of their exact content, and of what downstream may rely on."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.store.schemas import TableSchema

VERSION_DIGITS = 24
pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them


def canonical(table: pa.Table, schema: TableSchema) -> pa.Table:
    """The table with the schema's columns in their order, sorted by its key, in one chunk a column.

    Raises ValueError if columns are missing, unknown or of another type, a key is null or two rows share one.
    """
    if unknown := sorted(set(table.column_names) - schema.columns.keys()):
        raise ValueError(f"{schema.name} has no column {unknown}")
    if missing := sorted(schema.columns.keys() - set(table.column_names)):
        raise ValueError(f"{schema.name} lacks the column {missing}")
    for name, kind in schema.columns.items():
        if (found := table.schema.field(name).type) != kind:
            raise ValueError(f"{schema.name}.{name} is {found}, not {kind}")
    table = table.select(list(schema.columns)).cast(schema.arrow).combine_chunks()
    for name in schema.key:
        if table[name].null_count:
            raise ValueError(f"{schema.name} has a row without {name}, which is part of its key")
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in schema.key])
    if not np.array_equal(order.to_numpy(), np.arange(table.num_rows)):
        table = table.take(order).combine_chunks()
    if (same := repeats(table, schema.key)).any():
        row = int(np.argmax(same))
        raise ValueError(f"{schema.name} has two rows for {[table[name][row].as_py() for name in schema.key]}")
    return table


def repeats(table: pa.Table, key: tuple[str, ...]) -> np.ndarray:
    """Bool [rows]: whether a row of a table sorted by `key` has the key of the row before it."""
    same = np.ones(table.num_rows, dtype=bool)
    same[:1] = False
    for name in key:
        same[1:] &= pc.equal(table[name][1:], table[name][:-1]).to_numpy()
    return same


def data_version(table: pa.Table, schema: TableSchema) -> str:
    """24 hex digits of what downstream may rely on.

    Silent columns are left out and floats rounded to `schema.decimals`, so that noise below them goes unseen unless
    a value lies on the edge of rounding. The same on every platform and for every chunk layout and order of rows.
    """
    return version_of_canonical(canonical(table, schema), schema)


def version_of_canonical(table: pa.Table, schema: TableSchema) -> str:
    digest = hashlib.sha256()
    for name in schema.columns:
        if name not in schema.silent:
            _feed_column(digest, name, table[name], schema.decimals)
    return digest.hexdigest()[:VERSION_DIGITS]


def versions_of_parts(table: pa.Table, schema: TableSchema) -> dict[str, str]:
    """The data version of the rows of each value of the column `schema.part`, of a canonical table; empty without."""
    if not schema.part:
        return {}
    rows: dict[str, list[int]] = {}
    for number, part in enumerate(table[schema.part].to_pylist()):
        rows.setdefault(part, []).append(number)
    return {part: version_of_canonical(table.take(numbers), schema) for part, numbers in rows.items()}


def content_hash(table: pa.Table) -> str:
    """12 hex digits of everything in a canonical table, to the last bit."""
    digest = hashlib.sha256()
    for name in table.column_names:
        _feed_column(digest, name, table[name], None)
    return digest.hexdigest()[:12]


def _feed_column(digest: Any, name: str, column: pa.ChunkedArray, decimals: int | None) -> None:
    _tag(digest, f"column {name}", len(column))
    _feed(digest, column.combine_chunks(), decimals)


def _feed(digest: Any, array: pa.Array, decimals: int | None) -> None:
    """Feed an array's values. Every part is led by its kind and length, so no two contents give the same bytes."""
    kind = array.type
    if array.null_count:
        _tag(digest, "nulls", array.null_count)
        digest.update(np.packbits(array.is_null().to_numpy(zero_copy_only=False)))
    if pa.types.is_struct(kind):
        _tag(digest, "struct", kind.num_fields)
        for field, values in zip(kind, array.flatten(), strict=True):
            _tag(digest, field.name, len(values))
            _feed(digest, values, decimals)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = array.flatten()
        _tag(digest, "list", len(values))
        digest.update(_numpy(array.value_lengths(), 0, "<i8"))
        _feed(digest, values, decimals)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        is_text = not pa.types.is_binary(kind)
        text = pc.fill_null(array, "" if is_text else b"").cast(pa.large_string() if is_text else pa.large_binary())
        offsets = np.frombuffer(text.buffers()[1], dtype="<i8")[text.offset : text.offset + len(text) + 1]
        _tag(digest, "string" if is_text else "binary", len(text))
        if len(text):
            digest.update(np.ascontiguousarray(np.diff(offsets)))
            data = text.buffers()[2]
            digest.update(memoryview(data)[offsets[0] : offsets[-1]] if data is not None else b"")
    elif pa.types.is_boolean(kind):
        _tag(digest, "bool", len(array))
        digest.update(_numpy(array, False, "u1"))
    elif pa.types.is_integer(kind):
        _tag(digest, "int", len(array))
        digest.update(_numpy(array, 0, "<i8"))
    elif pa.types.is_floating(kind):
        _tag(digest, "float32" if kind == pa.float32() else "float64", len(array))
        values = _numpy(array, 0.0, "<f4" if kind == pa.float32() else "<f8")
        digest.update(values if decimals is None else _rounded(values, decimals))
    else:
        raise TypeError(f"no way to hash a column of type {kind}")


def _tag(digest: Any, text: str, length: int) -> None:
    digest.update(f"{text}:{length}\n".encode())


def _numpy(array: pa.Array, null: Any, dtype: str) -> np.ndarray:
    filled = pc.fill_null(array, pa.scalar(null, array.type)) if array.null_count else array
    return np.ascontiguousarray(filled.to_numpy(zero_copy_only=False), dtype=dtype)


def _rounded(values: np.ndarray, decimals: int) -> np.ndarray:
    """Whole multiples of 10**-decimals; one zero and one NaN, whatever their sign bits."""
    rounded = values * values.dtype.type(10.0**decimals)
    np.rint(rounded, out=rounded)
    rounded += 0.0
    rounded[np.isnan(rounded)] = np.nan
    return rounded
