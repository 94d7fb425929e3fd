"""`clean` and `prune` as a person types them."""

from __future__ import annotations

import json
import os
import time

from dataset_pipeline.cli.common import FAILED, PARTLY
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline_tests.cli.project import Project


def test_clean_removes_old_files_that_nothing_refers_to_and_counts_them(project):
    for title in ("first", "second"):
        row = {"episode": "one.one", "episode_title": title}
        project.store.write(
            "video", SCHEMAS["video"].table([row]), "one.one", Provenance.from_json({"path": "", "fingerprint": title})
        )
    files = sorted((project.root / "store" / "video" / "one.one").glob("*.parquet"))
    assert len(files) == 2
    code, output, _ = project.command("clean")
    assert (code, output.split()[:3]) == (0, ["removed", "0", "tables,"]), "both are young"
    two_days_ago = time.time() - 49 * 3600
    for file in files:
        os.utime(file, (two_days_ago, two_days_ago))
    size_bytes = sum(file.stat().st_size for file in files)
    code, output, _ = project.command("clean", "--json")
    [left] = (project.root / "store" / "video" / "one.one").glob("*.parquet")
    assert json.loads(output) == {
        "tables": 1,
        "pictures": 0,
        "temporary": 0,
        "size_bytes": size_bytes - left.stat().st_size,
        "unreadable": [],
        "unfinished_sets": 0,
        "unfinished_sets_bytes": 0,
    }


def test_clean_removes_sets_that_were_interrupted_and_never_one_that_is_being_written(project):
    sets = project.root / "exports"
    two_days_ago = time.time() - 49 * 3600
    for name in (".old-sr-1.partial", ".running-sr-2.partial", "whole-sr-3", "mine.partial"):
        (sets / name / "train").mkdir(parents=True)
        (sets / name / "train" / "0001.png").write_bytes(b"1234")
        (sets / name / "train" / "0002.png").write_bytes(b"5")
        for path in (sets / name / "train" / "0001.png", sets / name / "train" / "0002.png", sets / name / "train"):
            os.utime(path, (two_days_ago, two_days_ago))
        os.utime(sets / name, (two_days_ago, two_days_ago))
    os.utime(sets / ".running-sr-2.partial" / "train" / "0002.png")
    code, output, _ = project.command("clean", "--json", "--grace-h", "0")
    assert code == 0
    told = json.loads(output)
    assert (told["unfinished_sets"], told["unfinished_sets_bytes"]) == (1, 5)
    assert sorted(it.name for it in sets.iterdir()) == [".running-sr-2.partial", "mine.partial", "whole-sr-3"]


def test_clean_names_a_damaged_table_and_says_that_not_all_was_cleaned(project):
    row = {"episode": "one.one", "episode_title": "first"}
    project.store.write(
        "video", SCHEMAS["video"].table([row]), "one.one", Provenance.from_json({"path": "", "fingerprint": "first"})
    )
    damaged = project.root / "store" / project.store.pointer("video", "one.one").file
    damaged.write_bytes(b"PAR1")
    code, output, errors = project.command("clean")
    assert code == PARTLY
    assert "removed 0 tables" in output
    assert "all that this damaged table may refer to was kept: " in errors
    assert damaged.name in errors


def remove(project: Project, name: str) -> None:
    folder = project.root / "episodes" / name
    (folder / "page.png").unlink()
    folder.rmdir()


def test_prune_asks_before_it_takes_anything_out(project):
    project.register("one", "two")
    assert "nothing to take out" in project.command("prune")[1]
    remove(project, "two")
    code, output, _ = project.command("status")
    assert "two.two: its source is not at" in output
    assert json.loads(project.command("prune", "--json")[1]) == {"would_remove": ["two.two"]}
    code, output, _ = project.command("prune", answer="n\n")
    assert code == FAILED
    assert "two.two" in output.splitlines()
    assert project.store.episodes("video") == ["one.one", "two.two"]


def test_prune_takes_out_what_is_gone_and_makes_the_set_without_it(project):
    project.register("one", "two")
    remove(project, "two")
    code, output, errors = project.command("prune", "two.two", "scans.none", "--yes")
    assert code == PARTLY
    assert "took out two.two" in output
    assert "set: 0 in the set" in output
    assert "scans.none is no episode of this project" in errors
    assert project.store.episodes("video") == ["one.one"]
    assert project.store.pointer("training_set") is not None
    assert project.store.pointer("exported_set") is None
