"""`status` as a person types it."""

from __future__ import annotations

import json
import os

import dagster as dg
import pytest

from dataset_pipeline.cli.common import FAILED, PARTLY
from dataset_pipeline.orchestration.runs import QUIET
from dataset_pipeline.reports.status.states import Cell, Status
from dataset_pipeline.sources.passed_over import DEAD_LINK, UNREAD
from dataset_pipeline_tests.cli.project import Project


def test_where_nothing_was_ever_run_it_is_said_what_to_do(project):
    code, output, _ = project.command("status")
    assert code == PARTLY
    assert "no episode is known yet: `dataset-pipeline run <folder>`" in output


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_run_that_takes_nothing_in_is_remembered_by_status(project):
    folder = project.root / "other"
    folder.mkdir()
    (folder / "page.psd").write_bytes(b"x")
    (folder / "gone.png").symlink_to(folder / "nothing")
    code, _, told = project.command("run", str(folder))
    assert code == FAILED
    assert f"no episodes in {folder}" in told
    code, output, _ = project.command("status")
    assert code == PARTLY
    for reason in (f"gone.png: {DEAD_LINK}", f"page.psd: {UNREAD}", "holds neither videos nor pictures"):
        assert reason in told
        assert f"{folder}: " in output
        assert reason in output


def test_each_episode_has_a_row_of_symbols_and_its_reasons_below(project):
    project.register("one", "two")
    code, output, _ = project.command("status")
    assert code == PARTLY
    rows = [line.split() for line in output.splitlines() if line.split()[:1] in (["one.one"], ["two.two"])]
    assert [row[0] for row in rows] == ["one.one", "two.two"]
    assert set(rows[0][1]) == {"-"}
    assert "video_probe: 2 episodes missing: never made" in output
    assert "its inputs are missing: video_probe" in output


def test_many_episodes_are_counted_by_asset(project):
    with project.instance() as instance:
        instance.add_dynamic_partitions("episodes_demo", [f"scans.{number:03}" for number in range(41)])
    code, output, _ = project.command("status")
    assert code == PARTLY
    [row] = [line.split() for line in output.splitlines() if line.split()[:1] == ["video_probe"]]
    assert row == ["video_probe", "41"]
    assert "scans.000 " not in output


def test_only_what_is_not_fresh_is_listed_a_line_each(project):
    project.register("one")
    code, output, _ = project.command("status", "--stale")
    assert code == PARTLY
    lines = output.splitlines()
    assert lines[0] == "video_probe one.one missing never made"
    assert "character_gallery - missing never made" in lines
    assert "training_set - missing its inputs are missing: video_probe" in lines


def fail(project: Project) -> None:
    @dg.asset(key=["demo", "video_probe"], partitions_def=dg.DynamicPartitionsDefinition(name="episodes_demo"))
    def video_probe() -> None:
        raise OSError("the disk is away: bring it back")

    with project.instance() as instance:
        job = dg.Definitions(assets=[video_probe]).resolve_implicit_global_asset_job_def()
        job.execute_in_process(instance=instance, partition_key="one.one", run_config=QUIET, raise_on_error=False)


def test_a_failure_comes_first_with_its_error_and_an_exit_code_of_its_own(project):
    project.register("one", "two")
    fail(project)
    code, output, _ = project.command("status")
    assert code == FAILED
    assert output.splitlines()[1] == "video_probe: one.one failed: OSError: the disk is away: bring it back"
    assert output.count("the disk is away") == 1
    code, output, _ = project.command("status", "--json")
    assert code == FAILED
    told = json.loads(output)
    assert told["counts"]["failed"] == 1
    assert told["episodes"] == ["one.one", "two.two"]
    failed = [cell for cell in told["open"] if cell["state"] == "failed"]
    assert failed == [
        {
            "asset": "video_probe",
            "episode": "one.one",
            "state": "failed",
            "why": "OSError: the disk is away: bring it back",
            "host": "",
        }
    ]


@pytest.mark.parametrize(("faults", "expected"), [({}, 0), ({"one.one": ["the file is cut off"]}, PARTLY)])
def test_where_all_is_fresh_damage_alone_makes_the_exit_code_3(project, monkeypatch, faults, expected):
    fresh = Status("store", ("one.one",), {"crops": {"one.one": Cell("fresh")}}, {}, faults, [])
    monkeypatch.setattr("dataset_pipeline.reports.status.judging.status_of", lambda *_: fresh)
    lines = [f"{episode}: {fault}" for episode, [fault] in faults.items()]
    for option in ([], ["--stale"], ["--json"]):
        code, output, errors = project.command("status", *option)
        assert code == expected, option
        if option == ["--json"]:
            assert (json.loads(output)["faults"], json.loads(output)["whole"]) == (faults, not faults)
        else:
            assert [line for line in (output + errors).splitlines() if "cut off" in line] == lines, option
