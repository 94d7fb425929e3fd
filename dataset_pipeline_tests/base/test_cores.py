import math
import os

import pytest

from dataset_pipeline.base import cores
from dataset_pipeline.base.cores import quota_cores, usable_cores


def group(folder, limit):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(limit)


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [("max 100000", math.inf), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("broken", math.inf)],
)
def test_a_quota_of_half_a_core_more_counts_as_a_core(tmp_path, limit, allowed):
    group(tmp_path, f"{limit}\n")
    assert quota_cores(tmp_path, "/") == allowed


def test_the_tightest_of_the_groups_above_a_process_counts(tmp_path):
    group(tmp_path / "machine", "400000 100000")
    group(tmp_path / "machine" / "box", "300000 100000")
    group(tmp_path / "machine" / "box" / "run", "max 100000")
    assert quota_cores(tmp_path, "/machine/box/run") == 3
    assert quota_cores(tmp_path, "/machine") == 4
    assert quota_cores(tmp_path, "/") == math.inf


def test_quotas_of_version_1_are_read(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert quota_cores(tmp_path, "/") == math.inf
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("120000\n")
    assert quota_cores(tmp_path, "/") == 2


def test_a_machine_without_control_groups_has_no_quota(tmp_path):
    assert quota_cores(tmp_path / "absent", "/") == math.inf


def test_no_more_cores_are_used_than_a_container_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "_own_group", lambda: "/")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert usable_cores() == 16
    group(tmp_path, "400000 100000")
    assert usable_cores() == 4
