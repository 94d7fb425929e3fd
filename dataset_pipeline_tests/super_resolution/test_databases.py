from __future__ import annotations

import tomllib
from pathlib import Path

import lmdb
import numpy as np
import pytest
import yaml

from dataset_pipeline.images.png import encode_png
from dataset_pipeline.images.resize import decode
from dataset_pipeline.super_resolution.databases import write_databases, write_lmdb
from dataset_pipeline.super_resolution.layout import Tile
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline_tests.super_resolution.drawn_sets import HELD_OUT, TRAINED, written


def folder_of(root: Path, count: int, side_px: int = 40) -> Path:
    root.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(count):
        (root / f"{number:04d}.png").write_bytes(encode_png(rng.integers(0, 256, (side_px, side_px + 8, 3), np.uint8)))
    return root


def test_each_picture_lies_under_its_name_as_basicsr_reads_it(tmp_path: Path):
    pictures = folder_of(tmp_path / "hr", 1200)
    assert write_lmdb(pictures, tmp_path / "hr.lmdb") == 1200
    lines = (tmp_path / "hr.lmdb" / "meta_info.txt").read_text().splitlines()
    assert lines[7] == "0007.png (40,48,3) 1"
    keys = [line.split(".")[0] for line in lines]
    with lmdb.open(str(tmp_path / "hr.lmdb"), readonly=True, lock=False, readahead=False) as database:
        assert database.stat()["entries"] == len(keys) == 1200
        with database.begin() as reading:
            for key in keys[::97]:
                value = reading.get(key.encode("ascii"))
                assert np.array_equal(decode(value), decode((pictures / f"{key}.png").read_bytes()))
    assert sorted(it.name for it in (tmp_path / "hr.lmdb").iterdir()) == ["data.mdb", "meta_info.txt"]


def test_equal_folders_give_equal_bytes(tmp_path: Path):
    found = []
    for name in ("one", "other"):
        write_lmdb(folder_of(tmp_path / name / "hr", 60), tmp_path / f"{name}.lmdb")
        found.append([(tmp_path / f"{name}.lmdb" / it).read_bytes() for it in ("data.mdb", "meta_info.txt")])
    assert found[0] == found[1]
    assert sorted(it.name for it in tmp_path.iterdir()) == ["one", "one.lmdb", "other", "other.lmdb"]


def test_names_that_sort_otherwise_with_their_ending_are_all_there(tmp_path: Path):
    pictures = folder_of(tmp_path / "hr", 1)
    for name in ("a", "a-b", "a b"):
        (pictures / f"{name}.png").write_bytes((pictures / "0000.png").read_bytes())
    write_lmdb(pictures, tmp_path / "hr.lmdb")
    with lmdb.open(str(tmp_path / "hr.lmdb"), readonly=True, lock=False) as database, database.begin() as reading:
        assert [key.decode() for key, _ in reading.cursor()] == ["0000", "a", "a b", "a-b"]


def test_a_large_picture_has_room(tmp_path: Path):
    assert write_lmdb(folder_of(tmp_path / "hr", 3, 700), tmp_path / "hr.lmdb") == 3


def test_what_no_loader_would_find_is_refused_and_leaves_nothing(tmp_path: Path):
    pictures = folder_of(tmp_path / "hr", 2)
    with pytest.raises(ValueError, match=r"ends in \.lmdb"):
        write_lmdb(pictures, tmp_path / "hr.db")
    (pictures / "a.b.png").write_bytes((pictures / "0000.png").read_bytes())
    with pytest.raises(ValueError, match=r"a\.b\.png has a dot"):
        write_lmdb(pictures, tmp_path / "hr.lmdb")
    (pictures / "a.b.png").unlink()
    write_lmdb(pictures, tmp_path / "hr.lmdb")
    with pytest.raises(FileExistsError):
        write_lmdb(pictures, tmp_path / "hr.lmdb")
    assert sorted(it.name for it in tmp_path.iterdir()) == ["hr", "hr.lmdb"]


def test_databases_of_a_set_lie_where_settings_name_them_with_the_same_keys(
    tmp_path: Path, tiles: list[Tile], pictures: dict[str, np.ndarray]
):
    folder = written(tmp_path, "a set", tiles, pictures, LowQuality((2,)))
    found = write_databases(folder)
    assert [it.name for it in found] == ["train_hr.lmdb", "train_x2.lmdb", "validation_hr.lmdb", "validation_x2.lmdb"]
    changed = [it.stat().st_mtime_ns for it in found]
    assert [it.stat().st_mtime_ns for it in write_databases(folder)] == changed
    options = yaml.safe_load((folder / "absolute/basicsr_x2_lmdb.yml").read_text())
    neosr = tomllib.loads((folder / "absolute/neosr_x2_lmdb.toml").read_text())
    for phase in ("train", "val"):
        told = options["datasets"][phase]
        assert told["io_backend"] == {"type": "lmdb"}
        assert "meta_info_file" not in told
        roots = [Path(told[key]) for key in ("dataroot_gt", "dataroot_lq")]
        assert roots == [Path(neosr["datasets"][phase][key]) for key in ("dataroot_gt", "dataroot_lq")]
        assert all(it.suffix == ".lmdb" for it in roots)
        keys = [[line.split(".")[0] for line in (it / "meta_info.txt").read_text().splitlines()] for it in roots]
        assert keys[0] == keys[1]
        assert len(keys[0]) == (TRAINED if phase == "train" else HELD_OUT)
