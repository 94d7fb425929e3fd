"""A table as the bytes of its file, and stored tables in the present schema."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_pipeline.store.pointers import TableOutdated
from dataset_pipeline.store.schemas import TableSchema
from dataset_pipeline.store.versions import canonical

ROW_GROUP = 50_000  # rows that are encoded at a time, and can be read so
# Up to so many rows Snappy is as good: zstd prepares for each page, which takes a virtual machine most of the reading.
FEW_ROWS = 5000


def aligned(stored: pa.Table, schema: TableSchema, label: str) -> pa.Table:
    """The stored table in the present schema; columns added since are null. Raises TableOutdated."""
    check_columns(stored.schema, schema, label)
    for name, kind in schema.columns.items():
        if name not in stored.column_names:
            stored = stored.append_column(name, pa.nulls(stored.num_rows, kind))
    return stored.select(list(schema.columns)).cast(schema.arrow)


def check_columns(stored: pa.Schema, schema: TableSchema, label: str) -> None:
    """Raises TableOutdated where the present schema does not read a stored table."""
    if faults := schema.faults(stored):
        asset = label.partition(" ")[0]
        raise TableOutdated(f"{label} was written by another version: {'; '.join(faults)}. Materialize {asset} again")


def first_of_each(tables: Sequence[pa.Table], schema: TableSchema) -> pa.Table:
    """The rows of all tables in the schema's order; of those that share a key, the first."""
    table = pa.concat_tables([schema.empty(), *tables])
    columns = [table[name].to_pylist() for name in schema.key]
    first: dict[tuple, int] = {}
    for row, key in enumerate(zip(*columns, strict=True)):
        first.setdefault(key, row)
    whole = table if len(first) == table.num_rows else table.take(pa.array(list(first.values()), pa.int64()))
    return canonical(whole, schema)


def as_parquet(table: pa.Table) -> bytes:
    """The same bytes for the same table, on the same version of pyarrow."""
    sink = BytesIO()
    table = table.replace_schema_metadata(None)
    options: dict[str, Any] = {"write_statistics": False, "write_page_checksum": True}
    compression = "snappy" if table.num_rows <= FEW_ROWS else "zstd"
    with pq.ParquetWriter(sink, table.schema, compression=compression, **options) as writer:
        for start in range(0, max(1, table.num_rows), ROW_GROUP):
            writer.write_table(table.slice(start, ROW_GROUP).combine_chunks())  # chunks would show in the bytes
    return sink.getvalue()
