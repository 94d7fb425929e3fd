"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than its container is given time on."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(bound, quota_cores(CGROUPS, _own_group()))))


@cache
def _own_group() -> str:
    """Path of this process's control group below CGROUPS; "/" in a container that sees its own as the root."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return "/"
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")


def quota_cores(root: Path, group: str) -> float:
    """Whole cores that the quotas of a control group and of those above it allow, rounded up; infinity without one.

    Linux gives a quota as microseconds of CPU time a period: `cpu.max` of version 2, `cpu.cfs_quota_us` and
    `cpu.cfs_period_us` of version 1.
    """
    folders = [root / group.strip("/"), *(root / group.strip("/")).parents] if group.strip("/") else [root]
    quotas = [_quota(folder) for folder in folders if folder == root or root in folder.parents]
    return min([*quotas, _quota_of_version_1(root / "cpu")])


def _quota(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return math.inf if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return math.inf


def _quota_of_version_1(folder: Path) -> float:
    try:
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        period_us = int((folder / "cpu.cfs_period_us").read_text())
        return math.ceil(quota_us / period_us) if quota_us > 0 else math.inf
    except (OSError, ValueError):
        return math.inf
