"""What older tables were made from is noted beside them, for as long as they lie in the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_pipeline.store.lineage import JOINED, Lineage, Made
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Cleaned, Store

LOW, HIGH = (Made("3", {"selection": {"min_quality": it}}, {"quality": "iqa 12ab"}) for it in (0.2, 0.3))
BALANCED = Made("1", {"concept_balance": {"weights": []}})


def lineage(*settings: Made) -> Lineage:
    keys = [f"a.e{number}" for number in range(len(settings))]
    steps = {"selection": dict(zip(keys, settings, strict=True)), "concept_balance": {JOINED: BALANCED}}
    return Lineage(dict.fromkeys(keys, "v1"), steps, {"selection": {keys[0]: "0123456789ab"}})


def gallery(*characters: str):
    return SCHEMAS["character_gallery"].table([{"character": it, "show": "a"} for it in characters])


@pytest.mark.parametrize("settings", [(LOW,), (LOW, LOW, HIGH), (HIGH, LOW, LOW), (LOW, HIGH)])
def test_a_lineage_read_again_says_the_same_of_each_episode(settings: tuple[Made, ...]):
    told = lineage(*settings)
    again = Lineage.from_json(json.loads(json.dumps(told.to_json(with_tables=True))))
    assert [again.made("selection", key) for key in told.sources] == list(settings)
    assert again.made("concept_balance", "a.e0") == BALANCED
    assert (again.sources, again.tables) == (told.sources, told.tables)
    assert again.made("tags", "a.e0") is None


def test_settings_that_most_episodes_share_are_told_once_and_without_their_names():
    [first, second] = lineage(HIGH, LOW, LOW).to_json()["steps"]["selection"]
    assert first == vars(LOW)
    assert second == {**vars(HIGH), "episodes": ["a.e0"]}


def test_a_table_that_is_not_current_is_found_with_its_lineage_until_it_is_cleaned(tmp_path: Path):
    store = Store(str(tmp_path))
    old = store.write("character_gallery", gallery("x"), lineage=lineage(LOW))
    store.write("character_gallery", gallery("x", "y"), lineage=lineage(HIGH))
    current, other = store.versions("character_gallery")
    assert (current.current, other.current, f"character_gallery/_all/{other.name}.parquet") == (True, False, old.path)
    for version, made, rows in ((current, HIGH, 2), (other, LOW, 1)):
        table, found = (
            store.version("character_gallery", version.name),
            store.lineage("character_gallery", version.name),
        )
        assert table is not None
        assert found is not None
        assert (table.num_rows, found.made("selection", "a.e0")) == (rows, made)
    cleaned = store.clean(0)
    assert (cleaned.tables, cleaned.pictures, cleaned.temporary) == (1, 0, 0)
    assert [version.name for version in store.versions("character_gallery")] == [current.name]
    assert store.version("character_gallery", other.name) is None
    assert store.lineage("character_gallery", other.name) is None
    assert store.lineage("character_gallery", current.name) is not None
    assert store.clean(0) == Cleaned(0, 0, 0, 0)


def test_a_damaged_note_is_told_and_costs_the_lineage_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    store = Store(str(tmp_path))
    store.write("character_gallery", gallery("x"), lineage=lineage(LOW))
    [version] = store.versions("character_gallery")
    (tmp_path / "character_gallery" / "_all" / f"{version.name}.json").write_text('{"sources": {}}')
    assert store.lineage("character_gallery", version.name) is None
    assert "cannot be read" in caplog.text
    assert store.read("character_gallery").num_rows == 1


def test_no_other_name_than_a_table_s_is_read(tmp_path: Path):
    store = Store(str(tmp_path))
    store.write("character_gallery", gallery("x"))
    for name in ("../../elsewhere", "current", "_all"):
        assert store.version("character_gallery", name) is None
        assert store.lineage("character_gallery", name) is None
