"""Several machines on one project: what they make is what one makes, and whoever is killed costs time alone.

The tests share one cluster and are one story: they stand in their order.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import pytest

from dataset_pipeline.demo.episodes import TEST_SHOW, write_show
from dataset_pipeline.store.files import open_files
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.servers.machines import Machine
from dataset_pipeline_tests.servers.postgresql import postgresql
from dataset_pipeline_tests.servers.redis import redis
from dataset_pipeline_tests.servers.s3 import s3_server
from dataset_pipeline_tests.servers.server import INSTALL, Server, free_port
from dataset_pipeline_tests.store.looks import intact

pytest.importorskip("dagster_celery", reason=INSTALL)
pytest.importorskip("dagster_postgres", reason=INSTALL)

WANTED = "DATASET_PIPELINE_CLUSTER"
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not os.environ.get(WANTED), reason=f"five minutes of both cores alone: {WANTED}=1 runs it"),
]

SCRIPTS = (
    "solo 1.2, talk 1.6, pair 1",
    "solo 0.7, pair 1.2, talk 1",
    "establish 1, trio 1, talk 1.6",
    "talk 1.6, solo 1, pair 1",
    "pair 1, solo 1, trio 1",
    "talk 1, pair 1, solo 1.2",
    "solo 1, pair 1, talk 1",
)
PROJECT = """
[models]
pack = "demo"
device = "cpu"
[episodes]
roots = ["{shows}"]
[arrivals]
settle_s = 0.0
[crops]
person_min_side_px = 60
head_min_side_px = 48
[selection]
min_short_side_px = 48
[store]
root = "{store}"
[corrections]
root = "{root}/corrections"
[exported_set]
root = "{exports}"
"""
CLUSTER = """
[cluster]
broker = "{broker}"
database = "{database}"
gpu_slots = 2
"""
FAILED_WITHIN_S, BEGUN_AGAIN_WITHIN_S = 45, 60
MEASURED_WITHIN_S = 600
STATUS = dg.DagsterRunStatus
UNFINISHED = [STATUS.QUEUED, STATUS.NOT_STARTED, STATUS.STARTING, STATUS.STARTED, STATUS.CANCELING]
WORKER_TAG = "dataset_pipeline/worker"
# Made on demand; made of where sources lie; and the examples of characters, which tell in which order episodes came.
APART = ("exported_set", "video", "character_gallery")
SILENT = ("clusters",)  # tell how near the nearest example is, in columns that nobody reads


@dataclass
class Lab:
    """A head and two workers, whose store lies in a bucket; `alone`: the store of a machine that made the same episodes
    by itself, on its disk."""

    root: Path
    store: Store
    database: Server
    broker: Server
    settings: str
    alone: Store
    alone_machine: Machine
    alone_s: float  # how long that took
    begun_s: float = 0.0  # when the head began
    cancelled: str = ""  # the id of a run
    machines: dict[str, Machine] = field(default_factory=dict)

    def machine(self, name: str, settings: str = "") -> Machine:
        self.machines[name] = Machine(name, self.root / name, settings or self.settings)
        return self.machines[name]

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.machines["head"].folder / ".dagster" / "cluster"))

    def runs(self, *statuses: STATUS) -> list[dg.DagsterRun]:
        with self.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(statuses=list(statuses)) if statuses else None))

    def run(self, run_id: str) -> dg.DagsterRun:
        with self.instance() as instance:
            found = instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def being_measured(self) -> dg.DagsterRun:
        """A run that a worker is in the middle of: some asset of it is made, others are not. Where nothing is left to
        measure another episode is handed over."""

        def found() -> dg.DagsterRun | None:
            with self.instance() as instance:
                for run in filter(measures, instance.get_runs(dg.RunsFilter(statuses=[STATUS.STARTED]))):
                    if 2 <= instance.get_run_stats(run.run_id).steps_succeeded <= 15:
                        return run
            if not any(map(measures, self.runs(*UNFINISHED))) and (brought := self.bring(1)):
                said = self.machines["head"].say("run", "--submit", "--json", *map(str, brought))
                assert said.returncode == 0, said.stdout + said.stderr
                self.wait_for(lambda: any(map(measures, self.runs(*UNFINISHED))), "run of what was handed over", 60)
            return None

        return self.wait_for(found, "a run in the middle of its work", 240)

    def bring(self, count: int) -> list[Path]:
        """The next episodes of the show come to lie among the sources. Returns where."""
        shows = self.root / "shows" / "robins"
        shows.mkdir(parents=True, exist_ok=True)
        waiting = [path for path in sorted((self.root / "drawn").iterdir()) if not (shows / path.name).exists()]
        return [shutil.copy(path, shows / f"{path.name}.part").rename(shows / path.name) for path in waiting[:count]]

    def worker_of(self, run: dg.DagsterRun) -> Machine:
        return self.machines[run.tags[WORKER_TAG].rpartition("@")[2]]

    def wait_for(self, what: Callable[[], object], name: str, patience_s: float):
        give_up_s = time.monotonic() + patience_s
        trouble = ""
        while time.monotonic() < give_up_s:
            try:
                if found := what():
                    return found
            except Exception as error:  # the database may be away
                trouble = str(error)
            time.sleep(0.5)
        logs = "\n".join(f"--- {it.name}\n{it.said()[-3000:]}" for it in self.machines.values())
        pytest.fail(f"no {name} within {patience_s} s {trouble}\n{logs}")

    def wait_until(self, run_id: str, status: STATUS, patience_s: float) -> None:
        self.wait_for(lambda: self.run(run_id).status == status, f"{status.value} of run {run_id}", patience_s)

    def begun_again(self, run_id: str) -> dg.DagsterRun:
        """The run in which a failed one is tried again, once a worker has taken it up."""

        def found() -> dg.DagsterRun | None:
            tries = [it for it in self.runs(STATUS.STARTED, STATUS.SUCCESS) if it.parent_run_id == run_id]
            return tries[0] if tries else None

        return self.wait_for(found, f"other try of {run_id}", BEGUN_AGAIN_WITHIN_S)


def measures(run: dg.DagsterRun) -> bool:
    """Whether a run measures an episode: that the sensor asked for, or that was handed over."""
    return run.job_name == "measure_episode" or dg.AssetKey(["demo", "detections"]) in (run.asset_selection or ())


def _copy_identities(folder: Path, store: str) -> None:
    """Let a store begin with the identity log of another."""
    files = open_files(store)
    for path in (folder / "_identities").rglob("*.json"):
        files.write(path.relative_to(folder).as_posix(), path.read_bytes())


def project(root: Path, shows: Path, store: str, exports: Path) -> str:
    return PROJECT.format(shows=shows, store=store, exports=exports, root=root)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    root = tmp_path_factory.mktemp("lab")
    write_show(root / "drawn", replace(TEST_SHOW, scripts=SCRIPTS, size=(320, 180)))
    shutil.copytree(root / "drawn", root / "all" / "robins")
    by_itself = project(root, root / "all", str(root / "alone_store"), root / "alone_exports")
    alone = Machine("alone", root / "alone", by_itself)
    begun_s = time.monotonic()
    said = alone.say("run", "--json", timeout_s=900)
    alone_s = time.monotonic() - begun_s
    assert said.returncode == 0, said.stdout + said.stderr
    with ExitStack() as stack:
        database, broker = stack.enter_context(postgresql()), stack.enter_context(redis(root / "redis"))
        bucket = stack.enter_context(s3_server(root / "s3"))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in bucket.environment.items():
            environment.setenv(name, value)
        store = bucket.root("store")
        _copy_identities(root / "alone_store", store)
        url = database.url.replace("+psycopg2", "")
        cluster = CLUSTER.format(broker=broker.url, database=url)
        settings = project(root, root / "shows", store, root / "exports") + cluster
        made = Lab(root, Store(store), database, broker, settings, Store(str(root / "alone_store")), alone, alone_s)
        made.bring(2)
        head = made.machine("head")
        said = head.say("engine", "init")
        assert said.returncode == 0, said.stdout + said.stderr
        try:
            yield made
        finally:
            for machine in made.machines.values():
                machine.kill()


def test_a_worker_with_other_settings_leaves_runs_to_those_that_have_the_heads(lab: Lab):
    odd = lab.machine("odd", lab.settings.replace("head_min_side_px = 48", "head_min_side_px = 47"))
    odd.start("worker")
    lab.begun_s = time.monotonic()
    lab.machines["head"].start("cluster", "--port", str(free_port()))

    def refused() -> dg.DagsterRun | None:
        for run in lab.runs(STATUS.STARTING):
            if "its settings are not" in run.tags.get("dataset_pipeline/refused", ""):
                return run
        return None

    run = lab.wait_for(refused, "run that is refused", 240)
    said = json.loads(lab.machines["head"].say("workers", "--json").stdout)
    assert [it["run_id"] for it in said["refused"]] == [run.run_id]
    assert sum(it["queue"] == "gpu" and "its settings" in it["refuses"] for it in said["workers"].values()) == 1
    for name in ("gpu-1", "gpu-2"):
        lab.machine(name).start("worker")
    lab.wait_for(lambda: lab.run(run.run_id).tags.get(WORKER_TAG), "worker that takes it", 120)
    assert lab.worker_of(lab.run(run.run_id)).name in ("gpu-1", "gpu-2")
    odd.kill()


def test_the_run_of_a_process_that_is_killed_begins_again(lab: Lab):
    run = lab.being_measured()
    [process] = lab.worker_of(run).carriers()
    process.kill()
    lab.wait_until(run.run_id, STATUS.FAILURE, FAILED_WITHIN_S)
    lab.begun_again(run.run_id)


def test_the_run_of_a_machine_that_is_lost_begins_again_elsewhere(lab: Lab):
    run = lab.being_measured()
    lost = lab.worker_of(run)
    lost.kill()
    lab.wait_until(run.run_id, STATUS.FAILURE, FAILED_WITHIN_S)
    again = lab.begun_again(run.run_id)
    assert lab.worker_of(again).name != lost.name
    assert again.tags["dataset_pipeline/host"] != lost.name
    lab.wait_for(lambda: run.run_id not in slots(lab), "slot that is given back", 30)
    lost.start("worker")
    lab.wait_until(again.run_id, STATUS.SUCCESS, 240)


def test_the_run_of_a_machine_that_does_not_answer_begins_again_elsewhere(lab: Lab):
    run = lab.being_measured()
    silent = lab.worker_of(run)
    silent.pause()
    lab.wait_until(run.run_id, STATUS.FAILURE, FAILED_WITHIN_S)
    assert lab.worker_of(lab.begun_again(run.run_id)).name != silent.name
    silent.kill()
    silent.start("worker")


def slots(lab: Lab) -> set[str]:
    with lab.instance() as instance:
        found = instance.event_log_storage.get_concurrency_info("gpu")
    return {it.run_id for it in [*found.claimed_slots, *found.pending_steps]}


def test_a_run_that_is_cancelled_ends_and_is_not_tried_again(lab: Lab):
    run = lab.being_measured()
    carriers = lab.worker_of(run).carriers()
    for it in carriers:
        it.suspend()  # or it may have ended before it is told
    try:
        with lab.instance() as instance:
            assert instance.run_coordinator.cancel_run(run.run_id)
    finally:
        for it in carriers:
            it.resume()
    lab.wait_until(run.run_id, STATUS.CANCELED, FAILED_WITHIN_S)
    said = lab.machines["head"].say("run", "--submit", "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    told = json.loads(said.stdout)
    assert run.tags["dagster/partition"] in [*told["episodes"], *told["under_way"]]
    lab.cancelled = run.run_id


def test_a_broker_that_is_killed_and_comes_back_costs_no_run(lab: Lab):
    run = lab.being_measured()
    lab.broker.kill()
    time.sleep(3)
    lab.broker.start()
    lab.wait_until(run.run_id, STATUS.SUCCESS, 240)


def test_a_database_that_is_killed_and_comes_back_leaves_no_run_behind(lab: Lab):
    run = lab.being_measured()
    lab.database.kill()
    time.sleep(3)
    lab.database.start()
    lab.wait_for(lambda: lab.run(run.run_id).is_finished, "end of the run", 240)
    if lab.run(run.run_id).status == STATUS.FAILURE:
        lab.begun_again(run.run_id)


def test_all_episodes_are_measured_once_all_are_back(lab: Lab):
    lab.bring(len(SCRIPTS))
    measured = set(lab.alone.episodes("tag_scores"))
    assert len(measured) == len(SCRIPTS)
    lab.wait_for(lambda: set(lab.store.episodes("tag_scores")) == measured, "table of each episode", MEASURED_WITHIN_S)
    print(told_of_retries(lab))
    print(
        f"{len(measured)} episodes were measured {time.monotonic() - lab.begun_s:.0f} s after the head began, with all "
        f"that was killed; a machine alone made them and the set in {lab.alone_s:.0f} s"
    )


def test_the_set_is_the_one_that_a_machine_alone_makes(lab: Lab):
    expected = lab.alone.pointer("training_set")
    assert expected is not None

    def made() -> bool:
        found = lab.store.pointer("training_set")
        return found is not None and found.file == expected.file

    lab.wait_for(made, "training set like that of one machine", MEASURED_WITHIN_S)
    # Clips are made beside the set, which waits for none.
    lab.wait_for(lambda: not unlike(lab), "tables like those of one machine", MEASURED_WITHIN_S)
    for asset in SCHEMAS:
        for episode in [*lab.store.episodes(asset), None]:
            if lab.store.pointer(asset, episode) is not None:
                assert intact(lab.store, asset, episode), (asset, episode)


def told_of_retries(lab: Lab) -> str:
    """How long clean runs took, and how long after a run had failed it began again and its episode was measured."""
    with lab.instance() as instance:
        runs = {it.dagster_run.run_id: it for it in instance.get_run_records() if measures(it.dagster_run)}
    lines = []
    for it in runs.values():
        if it.dagster_run.status == STATUS.SUCCESS and it.start_time and it.end_time:
            before = runs.get(it.dagster_run.parent_run_id or "")
            if before is None:
                lines.append(f"a clean run took {it.end_time - it.start_time:.0f} s")
            elif before.end_time:
                begun_s, measured_s = it.start_time - before.end_time, it.end_time - before.end_time
                lines.append(f"begun again {begun_s:.0f} s after it had failed, measured after {measured_s:.0f} s")
    return "\n".join(sorted(lines))


def unlike(lab: Lab) -> list[str]:
    """The tables that are not there or are not as the machine alone made them."""
    found = []
    for asset in sorted(SCHEMAS.keys() - set(APART)):
        told = "data_version" if asset in SILENT else "file"
        for episode in [*lab.alone.episodes(asset), None]:
            one, many = lab.alone.pointer(asset, episode), lab.store.pointer(asset, episode)
            if one is not None and getattr(many, told, None) != getattr(one, told):
                found.append(f"{asset} {episode}")
    return found


def test_the_exported_folder_is_the_one_that_a_machine_alone_makes(lab: Lab):
    exported = []
    for machine in (lab.alone_machine, lab.machines["head"]):
        said = machine.say("export", "kohya", "--json")
        assert said.returncode == 0, said.stdout + said.stderr
        exported.append(Path(json.loads(said.stdout)["folder"]))
    one, many = exported
    names = [sorted(it.relative_to(folder) for it in folder.rglob("*") if it.is_file()) for folder in exported]
    assert names[0] == names[1]
    for name in names[0]:
        if name.name != "checksums.sha256":  # which tells of the paths that others hold
            here = (one / name).read_bytes().replace(str(one).encode(), str(many).encode())
            assert here == (many / name).read_bytes(), name


def test_a_worker_that_does_not_see_the_sources_does_not_join(lab: Lab):
    (lab.root / "nothing").mkdir()
    blind = lab.machine("blind", lab.settings.replace(str(lab.root / "shows"), str(lab.root / "nothing")))
    said = blind.say("worker")
    assert said.returncode == 1
    assert "this machine cannot be a worker" in said.stderr
    assert f"{lab.root / 'nothing'} is empty on " in said.stderr
    del lab.machines["blind"]


def test_in_the_end_no_run_is_left_and_no_slot_is_kept(lab: Lab):
    lab.wait_for(lambda: not lab.runs(*UNFINISHED), "rest", MEASURED_WITHIN_S)
    assert lab.cancelled
    assert not [it for it in lab.runs() if it.parent_run_id == lab.cancelled]
    assert slots(lab) == set()
    said = json.loads(lab.machines["head"].say("workers", "--json").stdout)
    assert {name.rpartition("@")[2] for name in said["workers"]} == {"head", "gpu-1", "gpu-2"}
    assert not any(it["runs"] for it in said["workers"].values())
    assert said["silent"] == []
    status = json.loads(lab.machines["head"].say("status", "--json").stdout)
    assert status["machines"] == ["machines for gpu runs: gpu-1, gpu-2", "machines for head runs: head"]
