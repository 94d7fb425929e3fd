"""What the commands share: Dagster's history, and packs that are known."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataset_pipeline.cli.common import FAILED, dagster_instance
from dataset_pipeline.models import RegistryError
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store


def test_commands_that_start_at_once_in_a_new_project_open_one_instance(tmp_path):
    def opens(_: int) -> int:
        with dagster_instance(tmp_path) as instance:
            return instance.get_runs_count()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opens, range(4))) == [0, 0, 0, 0]


CLUSTER = """
[cluster]
broker = "redis://127.0.0.1:1/0"
database = "postgresql://me:secret@127.0.0.1:1/dagster"
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "hand episodes over with `dataset-pipeline run --submit`"),
        (["dev"], "its one head has the web UI, `dataset-pipeline cluster`"),
        (["status"], "[cluster] database: PostgreSQL at postgresql://127.0.0.1:1/dagster cannot be used: "),
        (["workers"], "[cluster] broker: Redis at redis://127.0.0.1:1/0 cannot be used: "),
    ],
)
def test_on_several_machines_a_command_says_what_it_cannot_do(project, monkeypatch, arguments, told):
    pytest.importorskip("dagster_postgres")
    pytest.importorskip("redis")
    monkeypatch.chdir(project.root)
    (project.root / "workspace.yaml").touch()
    with (project.root / "settings.toml").open("a") as overlay:
        overlay.write(CLUSTER)
    code, output, errors = project.command(*arguments)
    assert (code, output) == (FAILED, "")
    assert told in errors
    assert "secret" not in errors


def test_a_dagster_home_that_is_not_there_is_named(project):
    shutil.rmtree(project.home)
    code, _, errors = project.command("status")
    assert (code, project.home.exists()) == (FAILED, False)
    assert str(project.home) in errors
    assert "unset DAGSTER_HOME" in errors


@pytest.mark.parametrize("arguments", [["status"], ["export"], ["prune", "--json"]])
def test_a_pack_nobody_knows_is_named_with_those_there_are(project, arguments):
    with pytest.raises(RegistryError, match="there is no pack 'nope'; there are: real, demo"):
        project.command(*arguments, "--models", "nope")


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
