from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_pipeline.base import paths
from dataset_pipeline.store import store as store_module
from dataset_pipeline.store.encoding import FEW_ROWS
from dataset_pipeline.store.files import Mark
from dataset_pipeline.store.left_out import is_of_one
from dataset_pipeline.store.pointers import NONE_APART, pointer_path
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS, TableSchema
from dataset_pipeline.store.store import (
    PictureGone,
    Pointer,
    Store,
    StoreError,
    TableMissing,
    TableOutdated,
    schema_of,
)
from dataset_pipeline_tests.store.conftest import Disk
from dataset_pipeline_tests.store.looks import intact, of_tables

EPISODE = "frieren.s01e01"


def scores(*pairs: tuple[int, float]) -> pa.Table:
    measured = {"pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"}
    return SCHEMAS["quality_scores"].table(
        [{"image_id": f"{EPISODE}/{ms:08d}", "score": score, **measured} for ms, score in pairs]
    )


def frames(*paths: str) -> pa.Table:
    rows = [{"image_id": f"{EPISODE}/{i:08d}", "kept": bool(path), "path": path} for i, path in enumerate(paths)]
    return SCHEMAS["distinct_frames"].table(rows)


def test_a_written_table_is_read_back_with_its_pointer(store: Store) -> None:
    table = scores((0, 0.5), (40, 0.25))
    written = store.write("quality_scores", table, EPISODE, Provenance(settings_hash="abc", models=[{"sha256": "m"}]))
    assert store.read("quality_scores", EPISODE).equals(table)
    assert written.changed
    assert written.rows == 2
    assert store.pointer("quality_scores", EPISODE) == Pointer(
        written.path,
        2,
        written.data_version,
        Provenance.from_json({"settings_hash": "abc", "models": [{"sha256": "m"}]}),
    )
    assert store.episodes("quality_scores") == [EPISODE]


def test_a_joined_table_has_no_episode(store: Store) -> None:
    table = SCHEMAS["concept_balance"].table([{"concept": "1_character/fern", "multiply": 1.5, "image_ids": ["a/b"]}])
    written = store.write("concept_balance", table)
    assert written.path.startswith("concept_balance/_all/")
    assert store.read("concept_balance").equals(table)
    assert store.episodes("concept_balance") == []


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_survives_the_disk(store: Store, name: str) -> None:
    schema = SCHEMAS[name]
    nulls = dict.fromkeys(schema.columns)
    row = nulls | {
        column: "k" if kind == pa.string() else 1.0 for column, kind in schema.columns.items() if column in schema.key
    }
    table = schema.table([row])
    store.write(name, table, EPISODE)
    assert store.read(name, EPISODE).equals(table)
    assert store.read(name, EPISODE).schema.equals(schema.arrow)
    store.write(name, schema.empty(), EPISODE)
    assert store.read(name, EPISODE).equals(schema.empty())


def test_a_table_never_written_is_named_with_what_to_materialize(store: Store) -> None:
    assert store.find("crops", EPISODE) is None
    assert store.pointer("crops", EPISODE) is None
    with pytest.raises(TableMissing, match=r"crops for episode frieren\.s01e01: materialize crops"):
        store.read("crops", EPISODE)


def test_equal_content_changes_nothing_on_disk(store: Store, disk) -> None:
    first = store.write("quality_scores", scores((0, 0.5), (40, 0.25)), EPISODE, Provenance.from_json({"a": (1, 2)}))
    before = disk.files()
    disk.make_older(60)
    reordered = scores((40, 0.25), (0, 0.5)).take([1, 0])
    again = store.write("quality_scores", reordered, EPISODE, Provenance.from_json({"a": [1, 2]}))
    assert (again.path, again.data_version, again.changed) == (first.path, first.data_version, False)
    assert disk.files() == before
    assert all(disk.age_s(path) > 50 for path in before)


def test_another_provenance_alone_replaces_only_the_pointer(store: Store, disk) -> None:
    first = store.write("quality_scores", scores((0, 0.5)), EPISODE, Provenance.from_json({"run": 1}))
    disk.make_older(60)
    second = store.write("quality_scores", scores((0, 0.5)), EPISODE, Provenance.from_json({"run": 2}))
    assert not second.changed
    assert store.pointer("quality_scores", EPISODE).provenance.to_json() == {"run": 2}
    assert disk.age_s(first.path) > 50
    assert disk.age_s(pointer_path("quality_scores", EPISODE)) < 50


def test_the_same_table_gives_the_same_bytes_in_every_store(store: Store, disk, tmp_path: Path) -> None:
    table = scores(*((ms, ms / 7) for ms in range(100)))
    other = Store(str(tmp_path / "other"))
    path = store.write("quality_scores", table, EPISODE).path
    pieces = pa.concat_tables([table.slice(0, 30), table.slice(30)])
    assert other.write("quality_scores", pieces, EPISODE).path == path
    assert (tmp_path / "other" / path).read_bytes() == disk.files()[path]


def test_going_back_to_earlier_content_goes_back_to_its_file(store: Store) -> None:
    first = store.write("quality_scores", scores((0, 0.5)), EPISODE)
    second = store.write("quality_scores", scores((0, 0.75)), EPISODE)
    third = store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert first.path == third.path != second.path
    assert second.changed
    assert third.changed
    assert store.read("quality_scores", EPISODE)["score"].to_pylist() == [0.5]


def test_a_writer_killed_before_the_pointer_leaves_the_old_table_current(
    store: Store, disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("quality_scores", scores((0, 0.5)), EPISODE)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store._files, "swap", killed)
        with pytest.raises(KeyboardInterrupt):
            store.write("quality_scores", scores((0, 0.75)), EPISODE)
    assert store.read("quality_scores", EPISODE)["score"].to_pylist() == [0.5]
    assert len(of_tables(disk)) == 3
    assert store.write("quality_scores", scores((0, 0.75)), EPISODE).changed
    assert store.read("quality_scores", EPISODE)["score"].to_pylist() == [0.75]


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    store = Store(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert store.find("quality_scores", EPISODE) is None


def test_leftovers_of_a_killed_run_do_not_disturb(store: Store, disk) -> None:
    disk.put(f"quality_scores/{EPISODE}/.0123456789ab.tmp", b"half a tab")
    disk.put("quality_scores/other.e01/.0123456789ab.tmp", b"half a tab")
    assert store.episodes("quality_scores") == []
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert store.episodes("quality_scores") == [EPISODE]
    assert store.read("quality_scores", EPISODE).num_rows == 1


def test_a_pointer_held_open_by_a_reader_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([True, True, False, True, False, False])
    replace = os.replace

    def refused(*where: object) -> None:
        if next(refusals):
            raise PermissionError("used by another process")
        replace(*where)

    monkeypatch.setattr(paths, "waits", lambda: iter([0.0, 0.0, 0.0]))
    monkeypatch.setattr(os, "replace", refused)
    store = Store(str(tmp_path))
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert store.read("quality_scores", EPISODE).num_rows == 1


def test_a_file_held_open_for_good_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("used by another process")

    monkeypatch.setattr(paths, "waits", lambda: iter([0.0, 0.0, 0.0]))
    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(PermissionError):
        Store(str(tmp_path)).write("quality_scores", scores((0, 0.5)), EPISODE)


WRITERS = 2
WRITER = """
    import sys, time
    from pathlib import Path
    from dataset_pipeline.store.provenance import Provenance
    from dataset_pipeline.store.schemas import SCHEMAS
    from dataset_pipeline.store.store import Store
    root, number, writers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = Store(root + "/store")
    SCHEMAS["quality_scores"].table([])
    Path(root, f"ready-{number}").touch()
    while len(list(Path(root).glob("ready-*"))) < writers:
        time.sleep(0.001)
    for turn in range(30):
        row = {"score": float(number), "pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"}
        rows = [{**row, "image_id": f"a.b/{ms:08d}"} for ms in range(50 * (turn % 3 + 1))]
        table = SCHEMAS["quality_scores"].table(rows)
        store.write("quality_scores", table, "a.b", Provenance.from_json({"writer": number, "rows": len(rows)}))
        seen = store.read("quality_scores", "a.b")
        assert len(set(seen["score"].to_pylist())) == 1 and seen.num_rows in (50, 100, 150)
"""


def test_of_writers_at_once_in_several_processes_one_wins_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    writers = [subprocess.Popen([*command, str(number), str(WRITERS)]) for number in range(WRITERS)]
    assert [writer.wait(60) for writer in writers] == [0] * WRITERS
    root = tmp_path / "store"
    store = Store(str(root))
    table, pointer = store.read("quality_scores", "a.b"), store.pointer("quality_scores", "a.b")
    assert pointer.rows == table.num_rows == pointer.provenance.unknown["rows"] == 150
    assert set(table["score"].to_pylist()) == {float(pointer.provenance.unknown["writer"])}
    assert not list(root.rglob("*.tmp"))
    assert store.clean(0).tables == 3 * WRITERS - 1
    assert len(of_tables(Disk(str(root)))) == 2


def test_of_writers_at_once_in_several_threads_one_wins_whole(store: Store) -> None:
    def write(number: int) -> None:
        for _ in range(10):
            store.write("quality_scores", scores((0, float(number))), EPISODE, Provenance.from_json({"writer": number}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = store.pointer("quality_scores", EPISODE).provenance.unknown["writer"]
    assert store.read("quality_scores", EPISODE)["score"].to_pylist() == [float(winner)]


def test_many_episodes_are_read_in_the_given_order_and_missing_ones_skipped(store: Store) -> None:
    for name in ("a.1", "a.2", "b.1"):
        row = {"image_id": f"{name}/00000000", "pixel_sha256": "p", "model_sha256": "m", "algorithm": "1", "score": 0.5}
        store.write("quality_scores", SCHEMAS["quality_scores"].table([row]), name)
    read = store.read_many("quality_scores", ["b.1", "a.3", "a.1"])
    assert read["image_id"].to_pylist() == ["b.1/00000000", "a.1/00000000"]
    assert store.read_many("quality_scores", ["a.3"]).equals(SCHEMAS["quality_scores"].empty())
    assert store.episodes("quality_scores") == ["a.1", "a.2", "b.1"]


def test_columns_that_are_read_alone_are_null_where_many_episodes_are_read(store: Store) -> None:
    frames = {"frames": 2, "frame_pts": [0, 512], "frame_pts_s": [0.0, 0.04], "signatures": bytes(range(144)) * 8}
    row = {"episode": "a.1", "number": 0, "fingerprints": [1, 2]} | frames
    store.write("shots", SCHEMAS["shots"].table([row]), "a.1")
    [alone], [among_many] = store.read("shots", "a.1").to_pylist(), store.read_many("shots", ["a.1"]).to_pylist()
    assert {name: alone[name] for name in frames} == frames
    assert among_many == alone | dict.fromkeys(("frame_pts", "frame_pts_s", "signatures"))


@pytest.mark.parametrize(
    "episode", ["../x", "a/b", "", ".", "..", "_all", "A.B", "a..b", "a\\b", "a:b", "x" * 101, "a\n"]
)
def test_names_that_are_no_episode_are_refused(store: Store, disk, episode: str) -> None:
    with pytest.raises(ValueError, match="episode"):
        store.write("quality_scores", scores((0, 0.5)), episode)
    assert disk.files() == {}


@pytest.mark.parametrize("asset", ["../x", "a/b", "", "Crops", "crop-s", "_all"])
def test_names_that_are_no_asset_are_refused(store: Store, asset: str) -> None:
    with pytest.raises(ValueError, match="asset name"):
        store.put_picture(asset, EPISODE, f"{EPISODE}/00000000", b"x", "png")
    with pytest.raises(ValueError, match="no table is called"):
        store.write(asset, scores((0, 0.5)), EPISODE)


def test_a_show_named_like_a_windows_device_gets_a_folder_that_windows_can_make(store: Store, disk) -> None:
    store.write("quality_scores", scores((0, 0.5)), "aux.e01")
    assert all("/aux~e01" in path for path in of_tables(disk))
    assert store.episodes("quality_scores") == ["aux.e01"]
    assert store.read("quality_scores", "aux.e01").num_rows == 1
    assert store.clean(0) == store_module.Cleaned(0, 0, 0, 0)


def test_tables_that_do_not_fit_are_refused_with_the_column(store: Store) -> None:
    good = scores((0, 0.5), (40, 0.5))
    with pytest.raises(ValueError, match=r"quality_scores lacks the column \['score'\]"):
        store.write("quality_scores", good.drop_columns(["score"]), EPISODE)
    with pytest.raises(ValueError, match=r"quality_scores has no column \['mood'\]"):
        store.write("quality_scores", good.append_column("mood", pa.array([1, 2])), EPISODE)
    with pytest.raises(ValueError, match=r"quality_scores\.score is string, not double"):
        store.write("quality_scores", good.set_column(4, "score", pa.array(["a", "b"])), EPISODE)
    with pytest.raises(ValueError, match=r"two rows for \['frieren.s01e01/00000000'\]"):
        store.write("quality_scores", pa.concat_tables([good, good]), EPISODE)
    with pytest.raises(ValueError, match="without image_id"):
        store.write("quality_scores", good.set_column(0, "image_id", pa.array(["x", None])), EPISODE)
    with pytest.raises(TypeError):
        store.write("quality_scores", good, EPISODE, Provenance.from_json({"when": object()}))
    assert store.find("quality_scores", EPISODE) is None


def test_a_column_added_since_is_null_in_older_tables(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    old = SCHEMAS["quality_scores"]
    new = TableSchema(old.name, {"mood": pa.list_(pa.string()), **old.columns}, old.key)
    monkeypatch.setitem(SCHEMAS, "quality_scores", new)
    table = store.read("quality_scores", EPISODE)
    assert table.schema.equals(new.arrow)
    assert table["mood"].to_pylist() == [None]
    assert table["score"].to_pylist() == [0.5]


@pytest.mark.parametrize(
    ("columns", "key", "fault"),
    [
        ({"score": pa.string()}, ("image_id",), "score is double, now string"),
        ({"score": None}, ("image_id",), "score is not known any more"),
        ({"shot": pa.string()}, ("image_id", "shot"), "shot is part of the key and missing"),
    ],
)
def test_a_table_of_another_schema_is_refused_until_it_is_written_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, columns: dict, key: tuple[str, ...], fault: str
) -> None:
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    old = SCHEMAS["quality_scores"]
    changed = {name: kind for name, kind in {**old.columns, **columns}.items() if kind is not None}
    new = TableSchema(old.name, changed, key)
    monkeypatch.setitem(SCHEMAS, "quality_scores", new)
    with pytest.raises(TableOutdated, match=f"{fault}. Materialize quality_scores again"):
        store.read("quality_scores", EPISODE)
    assert store.previous("quality_scores", EPISODE) is None
    assert not intact(store, "quality_scores", EPISODE)
    store.write("quality_scores", new.empty(), EPISODE)
    assert store.read("quality_scores", EPISODE).equals(new.empty())


def test_a_damaged_pointer_or_table_is_named_and_cured_by_writing_again(store: Store, disk) -> None:
    path = store.write("quality_scores", scores((0, 0.5)), EPISODE).path
    disk.put(pointer_path("quality_scores", EPISODE), b'{"file": ')
    with pytest.raises(TableOutdated, match=r"frieren\.s01e01\.json is damaged"):
        store.read("quality_scores", EPISODE)
    assert store.write("quality_scores", scores((0, 0.5)), EPISODE).path == path
    assert intact(store, "quality_scores", EPISODE)

    disk.put(path, b"PAR1")
    with pytest.raises(TableOutdated, match="cannot be read"):
        store.read("quality_scores", EPISODE)
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert intact(store, "quality_scores", EPISODE)

    disk.remove(path)
    with pytest.raises(TableMissing, match="is gone: materialize quality_scores again"):
        store.read("quality_scores", EPISODE)
    assert not intact(store, "quality_scores", EPISODE)
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert intact(store, "quality_scores", EPISODE)


def test_a_flipped_bit_anywhere_in_the_data_is_named_and_cured_by_writing_again(store: Store, disk) -> None:
    table = scores(*((40 * i, (i * 37 % 101) / 101) for i in range(50)))
    path = store.write("quality_scores", table, EPISODE).path
    whole = disk.files()[path]
    start, end = len(b"PAR1"), len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    unnoticed = []
    for at in range(start, end, 5):
        disk.put(path, whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        try:
            if not store.read("quality_scores", EPISODE).equals(table):
                unnoticed.append(at)
        except TableOutdated as error:
            if path not in str(error):
                unnoticed.append(at)
    assert unnoticed == []
    middle = (start + end) // 2
    disk.put(path, whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 40]) + whole[middle + 40 :])
    with pytest.raises(TableOutdated, match="cannot be read"):
        store.read("quality_scores", EPISODE)
    store.write("quality_scores", table, EPISODE)
    assert disk.files()[path] == whole
    assert intact(store, "quality_scores", EPISODE)


def test_a_picture_is_written_once_under_its_id_and_content(store: Store, disk) -> None:
    image = f"{EPISODE}/00001200#person-10-20-300-400"
    path = store.put_picture("crops", EPISODE, image, b"abc", ".webp")
    # the sha256 of b"abc" begins with ba7816bf8f01
    assert path == f"crops/{EPISODE}/frieren~s01e01@00001200=person-10-20-300-400-ba7816bf8f01.webp"
    disk.make_older(60)
    assert store.put_picture("crops", EPISODE, image, b"abc", "webp") == path
    assert disk.age_s(path) > 50
    assert store.read_picture(path) == b"abc"
    other = store.put_picture("crops", EPISODE, image, b"other pixels", "webp")
    assert other != path
    assert store.read_picture(path) == b"abc"


def test_a_picture_cut_short_by_a_power_failure_is_written_again(store: Store, disk) -> None:
    path = store.put_picture("crops", EPISODE, f"{EPISODE}/00001200", b"pixels", "webp")
    disk.put(path, b"")
    assert store.put_picture("crops", EPISODE, f"{EPISODE}/00001200", b"pixels", "webp") == path
    assert store.read_picture(path) == b"pixels"


def test_pictures_have_a_place_and_an_address(store: Store, disk) -> None:
    path = store.put_picture("crops", EPISODE, f"{EPISODE}/00001200", b"pixels", "webp")
    place = store.local_path(path)
    assert (place.read_bytes() if place else None) == (b"pixels" if disk.local else None)
    with pytest.raises(store_module.StoreError, match="materialize crops"):
        store.read_picture(path.replace("00001200", "00001201"))
    assert store.uri(path).startswith("file://" if disk.local else store.root.partition("//")[0])


@pytest.mark.parametrize("file", ["../../x.parquet", "/etc/x", "C:/x", "a\\b", "", ".", "a//b", "a\0b", 5, None, ["a"]])
def test_a_pointer_that_names_a_file_out_of_the_store_is_damaged_and_written_anew(tmp_path: Path, file: object) -> None:
    store = Store(str(tmp_path / "store"))
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    pointer = tmp_path / "store" / pointer_path("quality_scores", EPISODE)
    told = json.loads(pointer.read_text())
    (tmp_path / "x.parquet").write_bytes((tmp_path / "store" / told["file"]).read_bytes())
    pointer.write_text(json.dumps({**told, "file": file}))
    with pytest.raises(TableOutdated, match=r"\.json is damaged .*: materialize quality_scores again"):
        store.read("quality_scores", EPISODE)
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert store.read("quality_scores", EPISODE).num_rows == 1


@pytest.mark.parametrize("change", [{"rows": "1"}, {"data_version": 5}, {"provenance": []}, {"parts": None}])
def test_a_pointer_of_other_kinds_of_values_is_damaged(change: dict, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    pointer = tmp_path / pointer_path("quality_scores", EPISODE)
    pointer.write_text(json.dumps(json.loads(pointer.read_text()) | change))
    with pytest.raises(TableOutdated, match="is damaged"):
        store.pointer("quality_scores", EPISODE)


def test_a_picture_out_of_the_store_is_missing_and_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "x.webp").write_bytes(b"precious")
    store = Store(str(tmp_path / "store"))
    row = dict.fromkeys(SCHEMAS["crops"].columns) | {"image_id": f"{EPISODE}/00000000#face-1-1-1-1"}
    for path in ("../x.webp", str(tmp_path / "x.webp")):
        store.write("crops", SCHEMAS["crops"].table([{**row, "path": path}]), EPISODE)
        assert store.missing_pictures("crops", EPISODE) == {path}
        assert not intact(store, "crops", EPISODE)


@pytest.mark.parametrize("path", ["../x.png", "a/../../x.png", "/etc/x.png", "C:/x.png", "a\\b.png", "a//b.png", ""])
def test_no_path_leads_out_of_the_store(store: Store, path: str) -> None:
    for lookup in (store.read_picture, store.local_path, store.uri):
        with pytest.raises(ValueError, match="no path inside the store"):
            lookup(path)


@pytest.mark.parametrize(
    ("image", "suffix"), [("frieren/../x", "png"), (EPISODE, "png"), (f"{EPISODE}/1", "p/g"), (f"{EPISODE}/1", "")]
)
def test_pictures_under_impossible_names_are_refused(store: Store, disk, image: str, suffix: str) -> None:
    with pytest.raises(ValueError, match=r"image id|suffix"):
        store.put_picture("crops", EPISODE, image, b"x", suffix)
    assert disk.files() == {}


def test_missing_pictures_are_those_a_table_names_and_nobody_has(store: Store, disk) -> None:
    here = store.put_picture("distinct_frames", EPISODE, f"{EPISODE}/00000000", b"a", "png")
    gone = store.put_picture("keyframes", EPISODE, f"{EPISODE}/00000001", b"b", "png")
    store.write("distinct_frames", frames(here, gone, ""), EPISODE)
    assert intact(store, "distinct_frames", EPISODE)
    disk.remove(gone)
    assert store.missing_pictures("distinct_frames", EPISODE) == {gone}
    assert not intact(store, "distinct_frames", EPISODE)
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert store.missing_pictures("quality_scores", EPISODE) == set()
    with pytest.raises(TableMissing):
        store.missing_pictures("crops", EPISODE)


def test_cleaning_keeps_what_pointers_reach_and_what_is_young(store: Store, disk) -> None:
    kept = store.put_picture("keyframes", EPISODE, f"{EPISODE}/00000000", b"kept", "png")
    dropped = store.put_picture("keyframes", EPISODE, f"{EPISODE}/00000001", b"dropped", "png")
    old = store.write("distinct_frames", frames(kept, dropped), EPISODE).path
    current = store.write("distinct_frames", frames(kept, ""), EPISODE).path
    training = SCHEMAS["training_set"].table([{"image_id": f"{EPISODE}/00000002", "path": "", "episode": EPISODE}])
    joined = store.write("training_set", training).path
    disk.put(f"crops/{EPISODE}/.0123456789ab.tmp", b"half")
    disk.put("notes.txt", b"not ours")
    disk.put(f"crops/{EPISODE}/notes.txt", b"not ours")
    disk.make_older(1000)
    young = store.put_picture("crops", EPISODE, f"{EPISODE}/00000003", b"of a run in progress", "png")
    size = len(disk.files()[old]) + len(b"dropped") + len(b"half")

    assert store.clean(2000) == store_module.Cleaned(0, 0, 0, 0)
    assert store.clean(500) == store_module.Cleaned(tables=1, pictures=1, temporary=1, size_bytes=size)
    assert set(of_tables(disk)) == {
        kept, current, joined, young, "notes.txt", f"crops/{EPISODE}/notes.txt",
        pointer_path("distinct_frames", EPISODE), pointer_path("training_set", None),
    }  # fmt: skip
    assert store.read("distinct_frames", EPISODE).num_rows == 2


def test_an_old_picture_put_again_is_young_again(store: Store, disk) -> None:
    path = store.put_picture("crops", EPISODE, f"{EPISODE}/00000000", b"pixels", "png")
    disk.make_older(100_000)
    store.put_picture("crops", EPISODE, f"{EPISODE}/00000000", b"pixels", "png")
    assert store.clean(50_000).pictures == 0
    assert store.read_picture(path) == b"pixels"


def test_an_old_table_made_current_again_is_not_cleaned_under_the_writer(
    store: Store, disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.write("quality_scores", scores((0, 0.5)), EPISODE)
    store.write("quality_scores", scores((0, 0.75)), EPISODE)
    disk.make_older(100_000)
    put = store._files.swap

    def cleaned_in_between(path: str, data: bytes, before: Mark | None) -> Mark | None:
        Store(store.root).clean(50_000)
        return put(path, data, before)

    monkeypatch.setattr(store._files, "swap", cleaned_in_between)
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert store.pointer("quality_scores", EPISODE).file == first.path
    assert intact(store, "quality_scores", EPISODE)


def test_cleaning_leaves_the_episode_of_a_damaged_table_and_cleans_the_rest(store: Store, disk) -> None:
    other = "frieren.s01e02"
    wanted = store.put_picture("keyframes", EPISODE, f"{EPISODE}/00000000", b"perhaps wanted", "png")
    dropped = store.put_picture("keyframes", other, f"{other}/00000000", b"dropped", "png")
    path = store.write("distinct_frames", frames("x"), EPISODE).path
    disk.put(path, b"PAR1")
    disk.make_older(1000)
    cleaned = store.clean(0)
    assert (cleaned.tables, cleaned.pictures, cleaned.size_bytes) == (0, 1, len(b"dropped"))
    [reason] = cleaned.unreadable
    assert path in reason
    assert {wanted, path} <= set(disk.files())
    assert dropped not in disk.files()


@pytest.mark.parametrize("damaged", ["table", "pointer"])
def test_cleaning_leaves_all_pictures_where_a_joined_table_is_damaged(store: Store, disk, damaged: str) -> None:
    wanted = store.put_picture("keyframes", EPISODE, f"{EPISODE}/00000000", b"perhaps wanted", "png")
    old = store.write("quality_scores", scores((0, 0.5)), EPISODE).path
    store.write("quality_scores", scores((0, 0.75)), EPISODE)
    joined = store.write("training_set", SCHEMAS["training_set"].empty()).path
    disk.put(joined if damaged == "table" else pointer_path("training_set", None), b"{")
    disk.make_older(1000)
    cleaned = store.clean(0)
    assert (cleaned.tables, cleaned.pictures, len(cleaned.unreadable)) == (1, 0, 1)
    assert {wanted, joined} <= set(disk.files())
    assert old not in disk.files()


@pytest.mark.parametrize("root", ["s3x://foo", "{tmp}/file", "{tmp}/file/below", "{tmp}/" + "x" * 300])
def test_a_root_that_can_be_none_is_refused_with_the_setting(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"^\[store\] root: nothing can be kept in .* name a folder that can be made"):
        Store(root.replace("{tmp}", str(tmp_path)))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system in which nobody can make a folder")
def test_a_root_that_cannot_be_made_is_refused_by_the_first_write() -> None:
    store = Store("/proc/nothing/store")
    assert store.find("quality_scores", EPISODE) is None
    with pytest.raises(StoreError, match=r"^\[store\] root: nothing can be kept in /proc/nothing/store"):
        store.write("quality_scores", scores((0, 0.5)), EPISODE)


def test_a_file_url_is_a_local_store(tmp_path: Path) -> None:
    store = Store((tmp_path / "a b").as_uri())
    path = store.put_picture("crops", EPISODE, f"{EPISODE}/00000000", b"pixels", "png")
    assert store.local_path(path) == tmp_path / "a b" / path


def test_files_are_plain_parquet_and_json_without_times(store: Store, disk) -> None:
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    found = disk.files()
    pointer = json.loads(found[pointer_path("quality_scores", EPISODE)])
    assert sorted(pointer) == ["data_version", "file", "parts", "provenance", "rows"]
    file = pq.ParquetFile(pa.BufferReader(found[pointer["file"]]))
    assert set(file.metadata.metadata or {}) <= {b"ARROW:schema"}


@pytest.mark.parametrize(("rows", "compression"), [(0, "SNAPPY"), (FEW_ROWS, "SNAPPY"), (FEW_ROWS + 1, "ZSTD")])
def test_small_tables_are_compressed_by_what_reads_them_fast(store: Store, disk, rows: int, compression: str) -> None:
    table = scores(*((number, 0.5) for number in range(rows)))
    written = store.write("quality_scores", table, EPISODE)
    metadata = pq.ParquetFile(pa.BufferReader(disk.files()[written.path])).metadata
    assert {metadata.row_group(0).column(it).compression for it in range(metadata.num_columns)} == {compression}
    assert store.read("quality_scores", EPISODE).equals(table)


def test_side_tables_have_the_schema_of_what_was_measured() -> None:
    assert schema_of("quality_scores__measured").key == ("image_id", "pixel_sha256", "model_sha256", "algorithm")
    assert list(schema_of("detections__measured").columns)[-1] == "boxes"
    with pytest.raises(ValueError, match="no table is called 'nothing__measured'"):
        schema_of("nothing__measured")


def test_a_picture_is_gone_only_where_the_store_itself_is_there(store, disk):
    paths = [store.put_picture("keyframes", EPISODE, f"{EPISODE}/0000000{n}", b"b", "png") for n in (1, 2)]
    disk.remove(paths[0])
    with pytest.raises(PictureGone):
        store.read_picture(paths[0])
    disk.clear()
    with pytest.raises(FileNotFoundError, match="the store is not there") as caught:
        store.read_picture(paths[1])
    assert not is_of_one(caught.value)


def test_what_an_object_stores_client_raises_is_an_error_of_the_store(monkeypatch):
    class EndpointConnectionError(Exception):
        """As boto names it: no OSError."""

    store = Store("memory://endpoint")
    path = store.put_picture("keyframes", EPISODE, f"{EPISODE}/00000001", b"b", "png")

    def fails(path: str) -> bytes:
        raise EndpointConnectionError("Could not connect")

    monkeypatch.setattr(store._files.system, "cat_file", fails)
    with pytest.raises(OSError, match=r"memory://.*cannot be read: Could not connect") as caught:
        store.read_picture(path)
    assert not is_of_one(caught.value)


def part_them(disk) -> None:
    """Lay out a store as earlier versions did: each pointer beside its table."""
    for path, content in disk.files().items():
        if path.startswith("_pointers/"):
            if path != NONE_APART:
                disk.put(json.loads(content)["file"].rpartition("/")[0] + "/current.json", content)
            disk.remove(path)


def test_pointers_of_an_earlier_version_are_read_where_they_lie_and_put_together_by_the_next_write(
    store: Store, disk
) -> None:
    for episode, score in ((EPISODE, 0.5), ("aux.e01", 0.25)):
        store.write("quality_scores", scores((0, score)), episode)
    store.write("training_set", SCHEMAS["training_set"].empty())
    part_them(disk)
    old = Store(store.root)
    assert old.episodes("quality_scores") == ["aux.e01", EPISODE]
    assert old.assets_of(EPISODE) == ["quality_scores"]
    assert old.read("quality_scores", EPISODE)["score"].to_pylist() == [0.5]
    assert not old.write("quality_scores", scores((0, 0.5)), EPISODE).changed
    assert old.write("quality_scores", scores((0, 0.75)), EPISODE).changed
    lying = [path for path in disk.files() if path.endswith("current.json")]
    assert sorted(lying) == ["quality_scores/aux~e01/current.json", "training_set/_all/current.json"]
    assert Store(store.root).episodes("quality_scores") == ["aux.e01", EPISODE]
    old.forget("aux.e01")
    assert Store(store.root).episodes("quality_scores") == [EPISODE]


def test_cleaning_puts_pointers_together_and_then_none_is_looked_for_elsewhere(
    store: Store, disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    store.write("training_set", SCHEMAS["training_set"].empty())
    part_them(disk)
    assert Store(store.root).clean(0) == store_module.Cleaned(0, 0, 0, 0)
    assert not [path for path in disk.files() if path.endswith("current.json")]
    together = Store(store.root)
    asked: list[str] = []
    read = together._files.read
    monkeypatch.setattr(together._files, "read", lambda path: asked.append(path) or read(path))
    assert together.pointer("training_set") is not None
    assert together.pointer("crops", EPISODE) is together.pointer("crops", "other.e01") is None
    assert [path for path in asked if "current.json" in path] == []
    assert intact(together, "quality_scores", EPISODE)


def test_a_damaged_pointer_of_an_earlier_version_is_named_and_replaced(store: Store, disk) -> None:
    store.write("quality_scores", scores((0, 0.5)), EPISODE)
    part_them(disk)
    disk.put(f"quality_scores/{EPISODE}/current.json", b"{")
    old = Store(store.root)
    with pytest.raises(TableOutdated, match=r"current\.json is damaged"):
        old.read("quality_scores", EPISODE)
    old.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert intact(old, "quality_scores", EPISODE)


def test_a_pointer_that_another_replaced_meanwhile_is_replaced_in_turn(store: Store, monkeypatch) -> None:
    swap = store._files.swap
    others = iter([Store(store.root), None, None])

    def overtaken(path: str, data: bytes, before: Mark | None) -> Mark | None:
        if other := next(others):
            other.write("quality_scores", scores((0, 0.25)), EPISODE)
        return swap(path, data, before)

    monkeypatch.setattr(store._files, "swap", overtaken)
    written = store.write("quality_scores", scores((0, 0.5)), EPISODE)
    assert written.changed
    assert store.pointer("quality_scores", EPISODE) == written.pointer
    assert next(others) is None
