from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from dataset_pipeline.store.schemas import TableSchema
from dataset_pipeline.store.versions import canonical, content_hash, data_version, versions_of_parts

MIXED = TableSchema(
    "mixed",
    {
        "id": pa.string(),
        "score": pa.float64(),
        "count": pa.int64(),
        "kept": pa.bool_(),
        "names": pa.list_(pa.string()),
        "vector": pa.list_(pa.float32()),
        "boxes": pa.list_(pa.struct([("kind", pa.string()), ("x0_px", pa.float64())])),
        "path": pa.string(),
    },
    key=("id",),
    silent=frozenset({"path"}),
    decimals=4,
)


def row(number: int, **changes: object) -> dict:
    return {
        "id": f"a.b/{number:08d}",
        "score": number / 7,
        "count": number,
        "kept": number % 2 == 0,
        "names": ["fern", "frieren"][: number % 3],
        "vector": [number / 3, -number / 3],
        "boxes": [{"kind": "head", "x0_px": 10.0 * number}] * (number % 2),
        "path": f"crops/{number}.png",
        **changes,
    }


def version(*rows: dict) -> str:
    return data_version(MIXED.table(list(rows)), MIXED)


def test_the_version_of_a_known_table_is_the_same_in_every_process_on_every_platform() -> None:
    assert version(*(row(i) for i in range(5))) == "7521695685ef6ab9ac6e0bbf"
    assert data_version(MIXED.empty(), MIXED) == "e34af860bccd89fd05fcb702"


def test_silent_columns_do_not_count() -> None:
    assert version(row(1)) == version(row(1, path="elsewhere.png")) == version(row(1, path=None))


@pytest.mark.parametrize(
    "changes",
    [
        {"score": 1 / 7 + 2e-6},
        {"vector": [1 / 3 + 1e-6, -1 / 3]},
        {"boxes": [{"kind": "head", "x0_px": 10.00001}]},
    ],
)
def test_noise_below_the_decimals_does_not_count(changes: dict) -> None:
    assert version(row(1)) == version(row(1, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"score": 1 / 7 + 2e-4},
        {"score": None},
        {"score": float("nan")},
        {"score": float("inf")},
        {"count": 2},
        {"count": None},
        {"kept": True},
        {"kept": None},
        {"names": ["fern", "fern"]},
        {"names": ["fer", "n"]},
        {"names": ["fern", ""]},
        {"names": ["fern", None]},
        {"names": []},
        {"names": None},
        {"vector": [1 / 3, -1 / 3 + 2e-4]},
        {"vector": [-1 / 3, 1 / 3]},
        {"boxes": [{"kind": "head", "x0_px": 10.5}]},
        {"boxes": [{"kind": "face", "x0_px": 10.0}]},
        {"boxes": [{"kind": "head", "x0_px": None}]},
        {"boxes": [None]},
        {"boxes": []},
        {"boxes": None},
        {"id": "a.b/00000002"},
    ],
)
def test_every_other_change_counts(changes: dict) -> None:
    assert version(row(1)) != version(row(1, **changes))


def test_values_moved_to_a_neighbour_count() -> None:
    assert version(row(1, names=["a"]), row(2, names=["b", "c"])) != version(
        row(1, names=["a", "b"]), row(2, names=["c"])
    )
    assert version(row(1, names=["ab"]), row(2, names=["c"])) != version(row(1, names=["a"]), row(2, names=["bc"]))
    assert version(row(1, names=None), row(2, names=[])) != version(row(1, names=[]), row(2, names=None))
    assert version(row(1, score=None), row(2, score=0.0)) != version(row(1, score=0.0), row(2, score=None))


def test_zeros_and_nans_are_one_each() -> None:
    negative_nan = np.copysign(np.nan, -1.0)
    assert version(row(1, score=0.0)) == version(row(1, score=-0.0)) == version(row(1, score=-1e-9))
    assert version(row(1, score=np.nan)) == version(row(1, score=negative_nan))
    assert version(row(1, vector=[0.0, np.nan])) == version(row(1, vector=[-0.0, negative_nan]))


def test_layout_in_memory_does_not_count() -> None:
    rows = [row(i) for i in range(20)]
    rows[3] = row(3, score=None, names=None, boxes=None, kept=None)
    rows[15] = row(15, vector=None, boxes=[None])
    table = MIXED.table(rows)
    sliced = pa.concat_tables([table.slice(0, 3), table.slice(3, 0), table.slice(3, 9), table.slice(12)])
    assert sliced["score"].num_chunks > 1
    reversed_rows = table.take(list(range(19, -1, -1)))
    reordered = table.select(sorted(table.column_names))
    padded = MIXED.table([row(i + 900) for i in range(3)] + rows).slice(0, 20)
    assert padded["id"].to_pylist() == table["id"].to_pylist()
    for other in (sliced, reversed_rows, reordered, padded):
        assert data_version(other, MIXED) == data_version(table, MIXED)
        assert content_hash(canonical(other, MIXED)) == content_hash(canonical(table, MIXED))


def test_bytes_count_by_their_content_and_where_they_end() -> None:
    schema = TableSchema("bytes", {"id": pa.string(), "data": pa.binary()}, key=("id",))

    def version(*data: bytes | None) -> str:
        return data_version(schema.table([{"id": str(n), "data": one} for n, one in enumerate(data)]), schema)

    assert version(b"ab", b"c") == version(b"ab", b"c")
    assert len({version(b"ab", b"c"), version(b"a", b"bc"), version(b"ab", None), version(b"ab", b"")}) == 4


def test_what_lies_under_a_null_does_not_count() -> None:
    schema = TableSchema("nulls", {"id": pa.string(), "count": pa.int64(), "score": pa.float64()}, key=("id",))
    masked = pa.table(
        {
            "id": pa.array(["a", "b"]),
            "count": pa.array(np.array([1, 99]), mask=np.array([False, True])),
            "score": pa.array(np.array([0.5, 9.5]), mask=np.array([False, True])),
        }
    )
    plain = schema.table([{"id": "a", "count": 1, "score": 0.5}, {"id": "b"}])
    assert data_version(masked, schema) == data_version(plain, schema)
    assert content_hash(canonical(masked, schema)) == content_hash(canonical(plain, schema))


def test_the_content_hash_sees_every_bit_and_every_column() -> None:
    def content(**changes: object) -> str:
        return content_hash(canonical(MIXED.table([row(1, **changes)]), MIXED))

    assert content() == content()
    assert (
        len({content(), content(path="x"), content(score=1 / 7 + 1e-12), content(score=0.0), content(score=-0.0)}) == 5
    )
    assert len(content()) == 12


def test_text_of_any_script_is_told_apart() -> None:
    assert (
        len({version(row(1, names=[name])) for name in ("フリーレン", "フェルン", "\u00e9", "e", "e\u0301", "\0", "")})
        == 7
    )


def test_a_type_that_cannot_be_hashed_is_an_error() -> None:
    schema = TableSchema("odd", {"id": pa.string(), "when": pa.timestamp("s")}, key=("id",))
    with pytest.raises(TypeError, match="timestamp"):
        data_version(schema.table([{"id": "a", "when": 0}]), schema)


def test_each_part_of_a_table_has_the_version_of_its_rows_alone() -> None:
    by_count = replace(MIXED, part="count")
    rows = [row(number, count=number % 2) for number in range(6)]

    def versions(rows: list[dict]) -> dict[str, str]:
        return versions_of_parts(canonical(MIXED.table(rows), MIXED), by_count)

    before = versions(rows)
    assert before == {part: version(*(r for r in rows if r["count"] == part)) for part in (0, 1)}
    changed = versions([{**r, "score": 0.5} if r["id"] == rows[3]["id"] else r for r in rows])
    assert changed[0] == before[0]
    assert changed[1] != before[1]
    assert versions([{**r, "path": "elsewhere"} for r in rows]) == before
    assert versions([]) == {}
    assert versions_of_parts(canonical(MIXED.table(rows), MIXED), MIXED) == {}
