"""What the launcher does with runs that wait, are cancelled or get lost, with a real broker and no worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dataset_pipeline_tests.servers.redis import redis
from dataset_pipeline_tests.servers.server import INSTALL, Server

pytest.importorskip("dagster_celery", reason=INSTALL)

from dataset_pipeline.cluster.broker import waiting, withdraw
from dataset_pipeline.cluster.launcher import ClusterRunLauncher, hand_over, look
from dataset_pipeline.cluster.watch import Look

pytestmark = pytest.mark.thorough
STATUS = dg.DagsterRunStatus


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def launcher(broker: Server, instance: dg.DagsterInstance) -> ClusterRunLauncher:
    made = ClusterRunLauncher(broker.url, 30.0)
    made.register_instance(instance)
    for run_id in [run_id for runs in waiting(made.celery).values() for run_id in runs]:
        withdraw(made.celery, run_id)
    return made


def begun(instance: dg.DagsterInstance, status: STATUS = STATUS.STARTING, **tags: str) -> dg.DagsterRun:
    @dg.job
    def job() -> None: ...

    return instance.create_run_for_job(job, status=status, tags=tags)


def test_a_run_that_was_handed_over_waits_in_its_queue_and_is_known_to_the_watch(
    launcher: ClusterRunLauncher, instance: dg.DagsterInstance
):
    one, other = begun(instance), begun(instance)
    hand_over(launcher.celery, one.run_id, "gpu")
    hand_over(launcher.celery, other.run_id, "head")
    assert waiting(launcher.celery) == {"gpu": [one.run_id], "head": [other.run_id]}
    seen = look(launcher.celery)
    assert seen == Look({}, {one.run_id, other.run_id})
    assert launcher.fail_what_was_lost_before_it_began() == []


def test_a_run_that_is_cancelled_while_it_waits_leaves_its_queue(
    launcher: ClusterRunLauncher, instance: dg.DagsterInstance
):
    run = begun(instance)
    hand_over(launcher.celery, run.run_id, "gpu")
    assert launcher.terminate(run.run_id)
    assert run.run_id not in waiting(launcher.celery)["gpu"]
    assert status_of(instance, run) == STATUS.CANCELED


def test_a_run_that_is_cancelled_while_it_is_worked_on_is_told_so_first(
    launcher: ClusterRunLauncher, instance: dg.DagsterInstance
):
    run = begun(instance, STATUS.STARTED)
    assert launcher.terminate(run.run_id)
    assert status_of(instance, run) == STATUS.CANCELING


def test_a_run_that_the_broker_forgot_fails_in_time(launcher: ClusterRunLauncher, instance: dg.DagsterInstance):
    run, now_s = begun(instance), [0.0]
    launcher.watch.clock = lambda: now_s[0]
    assert launcher.fail_what_was_lost_before_it_began() == []
    now_s[0] = 31.0
    assert launcher.fail_what_was_lost_before_it_began() == [run.run_id]
    assert status_of(instance, run) == STATUS.FAILURE


def test_a_run_that_no_worker_of_the_cluster_carries_is_left_to_its_own_process(
    launcher: ClusterRunLauncher, instance: dg.DagsterInstance
):
    assert launcher.check_run_worker_health(begun(instance, STATUS.STARTED)).status.name == "RUNNING"


def test_while_the_broker_is_away_nobody_counts_as_lost(broker: Server, instance: dg.DagsterInstance):
    launcher, now_s = ClusterRunLauncher(broker.url, 5.0), [0.0]
    launcher.register_instance(instance)
    launcher.watch.clock = lambda: now_s[0]
    run = begun(instance, STATUS.STARTED, **{"dataset_pipeline/worker": "gpu-1@here"})
    broker.kill()
    try:
        for now_s[0] in (10.0, 20.0, 60.0):
            assert health(launcher, run) == "RUNNING"
    finally:
        broker.start()
    now_s[0] = 90.0
    assert health(launcher, run) == "RUNNING"
    found = []
    for now_s[0] in (140.0, 190.0, 240.0):  # the first may still hold a connection to the broker that was killed
        found.append(health(launcher, run))
    assert found[-1] == "FAILED"


def health(launcher: ClusterRunLauncher, run: dg.DagsterRun) -> Any:
    return launcher.check_run_worker_health(run).status.name


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> STATUS:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_broker_that_is_not_there_says_nothing():
    assert look(ClusterRunLauncher("redis://127.0.0.1:1/0").celery) is None
