"""`status`, `clean` and `prune` as a person types them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from dataset_pipeline.cli.app import FAILED, PARTLY, _instance, app
from dataset_pipeline.models import RegistryError
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import QUIET
from dataset_pipeline.reports.status import Cell, Status
from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.passed_over import DEAD_LINK, UNREAD
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store
from dataset_pipeline.training.exporters.image_set import CAPTION_FIELDS


@dataclass
class Project:
    """A project on the demo models with a history of its own, reached by the command line alone."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "dagster"

    @property
    def store(self) -> Store:
        return Store(str(self.root / "store"))

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home))

    def register(self, *names: str) -> None:
        """Folders with a picture in each; `one` becomes the episode `one.one`."""
        for name in names:
            folder = self.root / "episodes" / name
            folder.mkdir(parents=True)
            (folder / "page.png").write_bytes(PIXEL)
        found = find_sources([self.root / "episodes" / name for name in names])
        assert [source.key for source in found.sources] == [f"{name}.{name}" for name in names]
        with self.instance() as instance:
            register(instance, self.store, load_settings(models__pack="demo"), found.sources)

    def command(self, *arguments: str, answer: str = "") -> tuple[int, str, str]:
        """Exit code, standard output and error."""
        overlay = {"DATASET_PIPELINE_SETTINGS": str(self.root / "settings.toml"), "DAGSTER_HOME": str(self.home)}
        result = CliRunner().invoke(app, list(arguments), env=overlay | {"COLUMNS": "200"}, input=answer)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr


# A PNG of one pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8ffff3f0005fe02fea7"
    "35818d0000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for Dagster's history with its databases made, which takes a while."""
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_dynamic_partitions("episodes_demo")
        instance.get_asset_records([dg.AssetKey("video")])
    return home


@pytest.fixture
def project(tmp_path: Path, empty_home: Path) -> Project:
    shutil.copytree(empty_home, tmp_path / "dagster")
    (tmp_path / "settings.toml").write_text(
        f"""
        [episodes]
        roots = [{json.dumps(str(tmp_path / "episodes"))}]
        [models]
        pack = "demo"
        device = "cpu"
        [store]
        root = {json.dumps(str(tmp_path / "store"))}
        [exported_set]
        root = {json.dumps(str(tmp_path / "exports"))}
        """
    )
    return Project(tmp_path)


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


def test_commands_that_start_at_once_in_a_new_project_open_one_instance(tmp_path):
    def opens(_: int) -> int:
        with _instance(tmp_path) as instance:
            return instance.get_runs_count()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opens, range(4))) == [0, 0, 0, 0]


def test_a_dagster_home_that_is_not_there_is_named(project):
    shutil.rmtree(project.home)
    code, _, errors = project.command("status")
    assert (code, project.home.exists()) == (FAILED, False)
    assert str(project.home) in errors
    assert "unset DAGSTER_HOME" in errors


def test_where_only_the_demo_was_run_its_results_are_pointed_to(project):
    overlay = (project.root / "settings.toml").read_text()
    overlay = overlay.replace('pack = "demo"', 'pack = "real"').replace('/store"', '/{pack}/store"')
    (project.root / "settings.toml").write_text(overlay)
    commands = [("status",), ("find", "1girl"), ("export",)]
    assert not any("--models demo" in "".join(project.command(*command)[1:]) for command in commands)
    row = {"episode": "one.one", "episode_title": "first"}
    store = Store(str(project.root / "demo" / "store"))
    store.write(
        "video", SCHEMAS["video"].table([row]), "one.one", Provenance.from_json({"path": "", "fingerprint": "1"})
    )
    hint = f"the demo's results are in {store.root}: add --models demo"
    for command in commands:
        assert hint in "".join(project.command(*command)[1:]), command
    assert json.loads(project.command("find", "1girl", "--json")[1]) == []
    code, output, errors = project.command("find", "1girl")
    assert (code, output) == (0, "")
    assert f"there is nothing in {project.root}/real/store yet" in errors
    assert hint not in "".join(project.command("status", "--models", "demo")[1:])


def test_a_folder_that_somebody_changed_is_named_by_the_next_export(project):
    path = project.store.put_picture("training_images", "one.one", "one.one/00000001", PIXEL, "png")
    row = {"image_id": "one.one/00000001", "episode": "one.one", "show": "one", "kind": "still", "characters": ["fern"]}
    row |= {"concept": "1_character/fern", "multiply": 1.0, "caption": "fern", "quality": 0.5, "path": path}
    row |= {"width_px": 1, "height_px": 1, "file_sha256": hashlib.sha256(PIXEL).hexdigest()}
    project.store.write(
        "training_set", SCHEMAS["training_set"].table([CAPTION_FIELDS | row]), None, Provenance(demo=True)
    )
    for asset in ("core_tags", "character_gallery"):
        project.store.write(asset, SCHEMAS[asset].empty(), None, Provenance(demo=True))
    code, output, errors = project.command("export", "plain")
    assert (code, errors) == (0, "")
    folder = Path(output.splitlines()[-1])
    (folder / "notes.txt").write_text("mine")
    code, output, errors = project.command("export", "plain", "--json")
    assert (code, Path(json.loads(output)["folder"]).name) == (0, f"{folder.name}-2")
    assert "Somebody changed what was exported before, so that was left alone:" in errors
    assert f"- {folder.name}: notes.txt added" in errors


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
        }
    ]


@pytest.mark.parametrize(("faults", "expected"), [({}, 0), ({"one.one": ["the file is cut off"]}, PARTLY)])
def test_where_all_is_fresh_damage_alone_makes_the_exit_code_3(project, monkeypatch, faults, expected):
    fresh = Status("store", ("one.one",), {"crops": {"one.one": Cell("fresh")}}, {}, faults, [])
    monkeypatch.setattr("dataset_pipeline.reports.status.status_of", lambda *_: fresh)
    lines = [f"{episode}: {fault}" for episode, [fault] in faults.items()]
    for option in ([], ["--stale"], ["--json"]):
        code, output, errors = project.command("status", *option)
        assert code == expected, option
        if option == ["--json"]:
            assert (json.loads(output)["faults"], json.loads(output)["whole"]) == (faults, not faults)
        else:
            assert [line for line in (output + errors).splitlines() if "cut off" in line] == lines, option


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
    }


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


@pytest.mark.parametrize("arguments", [["status"], ["export"], ["prune", "--json"]])
def test_a_pack_nobody_knows_is_named_with_those_there_are(project, arguments):
    with pytest.raises(RegistryError, match="there is no pack 'nope'; there are: real, demo"):
        project.command(*arguments, "--models", "nope")
