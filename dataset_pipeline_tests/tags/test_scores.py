from __future__ import annotations

import pyarrow as pa

from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.scores import tag_rows


def scored(*tags: tuple[str, float]) -> list[dict]:
    return [{"tag": tag, "category": "general", "score": score} for tag, score in tags]


def test_rows_read_by_columns_are_the_rows():
    rows = [
        {"image_id": f"show.e1/{number:08d}", "pixel_sha256": "p", "model_sha256": "m", "algorithm": "1", "tags": tags}
        for number, tags in enumerate([scored(("hat", 0.5), ("hair", 0.25)), [], scored(("bow", 0.125))])
    ]
    table = SCHEMAS["tag_scores"].table(rows)
    expected = [{"image_id": row["image_id"], "tags": row["tags"]} for row in rows]
    assert tag_rows(table) == expected
    assert tag_rows(table.slice(1)) == expected[1:]
    assert tag_rows(pa.concat_tables([table.slice(2), table.slice(0, 2)])) == expected[2:] + expected[:2]
    assert tag_rows(SCHEMAS["tag_scores"].empty()) == []


def test_an_image_without_tags_has_none():
    row = {"image_id": "show.e1/00000000", "pixel_sha256": "p", "model_sha256": "m", "algorithm": "1", "tags": None}
    assert tag_rows(SCHEMAS["tag_scores"].table([row])) == [{"image_id": row["image_id"], "tags": []}]
