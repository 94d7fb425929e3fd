"""Hashes of tables: of their exact content, and of what downstream may rely on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.store.schemas import TableSchema

VERSION_DIGITS = 24
pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them


def canonical(table: pa.Table, schema: TableSchema) -> pa.Table:
    """The table with the schema's columns in their order, sorted by its key, in any chunks.

    Raises ValueError if columns are missing, unknown or of another type, a key is null or two rows share one.
    """
    if unknown := sorted(set(table.column_names) - schema.columns.keys()):
        raise ValueError(f"{schema.name} has no column {unknown}")
    if missing := sorted(schema.columns.keys() - set(table.column_names)):
        raise ValueError(f"{schema.name} lacks the column {missing}")
    for name, kind in schema.columns.items():
        if (found := table.schema.field(name).type) != kind:
            raise ValueError(f"{schema.name}.{name} is {found}, not {kind}")
    table = table.select(list(schema.columns)).cast(schema.arrow)
    for name in schema.key:
        if table[name].null_count:
            raise ValueError(f"{schema.name} has a row without {name}, which is part of its key")
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in schema.key])
    if not np.array_equal(order.to_numpy(), np.arange(table.num_rows)):
        table = table.combine_chunks().take(order)
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
    _feed(digest, column.type, column.chunks, decimals)


def _feed(digest: Any, kind: pa.DataType, chunks: Sequence[pa.Array], decimals: int | None) -> None:
    """Feed the values of an array that lies in chunks, a chunk at a time: very large ones fill no memory. Every part is
    led by its kind and length, so no two contents give the same bytes."""
    length = sum(map(len, chunks))
    if nulls := sum(chunk.null_count for chunk in chunks):
        _tag(digest, "nulls", nulls)
        are_null = [chunk.is_null().to_numpy(zero_copy_only=False) for chunk in chunks]
        digest.update(np.packbits(np.concatenate(are_null)))
    if pa.types.is_struct(kind):
        _tag(digest, "struct", kind.num_fields)
        fields = [chunk.flatten() for chunk in chunks]
        for number, field in enumerate(kind):
            _tag(digest, field.name, length)
            _feed(digest, field.type, [values[number] for values in fields], decimals)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = [chunk.flatten() for chunk in chunks]
        _tag(digest, "list", sum(map(len, values)))
        for chunk in chunks:
            digest.update(_numpy(chunk.value_lengths(), 0, "<i8"))
        _feed(digest, kind.value_type, values, decimals)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        _tag(digest, "binary" if pa.types.is_binary(kind) else "string", length)
        for chunk in chunks:
            digest.update(_numpy(pc.binary_length(chunk), 0, "<i8"))
        for chunk in chunks:
            digest.update(_bytes_of(chunk))
    elif pa.types.is_boolean(kind):
        _tag(digest, "bool", length)
        for chunk in chunks:
            digest.update(_numpy(chunk, False, "u1"))
    elif pa.types.is_integer(kind):
        _tag(digest, "int", length)
        for chunk in chunks:
            digest.update(_numpy(chunk, 0, "<i8"))
    elif pa.types.is_floating(kind):
        _tag(digest, "float32" if kind == pa.float32() else "float64", length)
        for chunk in chunks:
            values = _numpy(chunk, 0.0, "<f4" if kind == pa.float32() else "<f8")
            digest.update(values if decimals is None else _rounded(values, decimals))
    else:
        raise TypeError(f"no way to hash a column of type {kind}")


def _bytes_of(texts: pa.Array) -> memoryview | bytes:
    """The texts of an array one after another."""
    if texts.null_count:  # whose places may hold anything
        texts = pc.fill_null(texts, pa.scalar("" if not pa.types.is_binary(texts.type) else b"", texts.type))
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return b""
    width = "<i8" if pa.types.is_large_string(texts.type) else "<i4"
    ends = np.frombuffer(offsets, dtype=width)[[texts.offset, texts.offset + len(texts)]]
    return memoryview(data)[ends[0] : ends[1]]


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
