"""What is said of the machines of a cluster."""

from __future__ import annotations

import pytest

from dataset_pipeline_tests.servers.server import INSTALL, free_port

pytest.importorskip("dagster_celery", reason=INSTALL)

import dagster as dg

from dataset_pipeline.cluster.launcher import ClusterRunLauncher
from dataset_pipeline.cluster.overview import machines_of


def test_machines_are_told_by_queue_and_the_silent_ones_that_have_runs():
    workers = {"gpu-1a@north": "gpu", "gpu-2b@north": "gpu", "gpu-3c@east": "gpu", "head-4d@desk": "head"}
    found = {
        "workers": {
            name: {"queue": queue, "refuses": "other settings" if "east" in name else ""}
            for name, queue in workers.items()
        },
        "silent": [{"worker": "gpu-5e@west"}, {"worker": "gpu-6f@west"}, {"worker": "gpu-7a@south"}],
    }
    assert machines_of(found) == [
        "machines for gpu runs: east (stands back), north (2 workers)",
        "machines for head runs: desk",
        "south does not answer and has 1 run",
        "west does not answer and has 2 runs",
    ]


def test_a_queue_that_nobody_works_for_is_told():
    assert machines_of({"workers": {}, "silent": []})[0] == "machines for gpu runs: none answers"


@pytest.mark.thorough
def test_a_broker_that_is_away_is_told_in_place_of_the_machines():
    with dg.DagsterInstance.ephemeral() as instance:
        launcher = ClusterRunLauncher(f"redis://127.0.0.1:{free_port()}/0")
        launcher.register_instance(instance)
        [said] = launcher.machines()
    assert said.startswith("the broker cannot be reached, which alone knows the machines")
