"""What this machine is called, for people: no rule goes by it, as two machines may have one name."""

from __future__ import annotations

import os
import platform

HOST_VARIABLE = "DATASET_PIPELINE_HOST"


def host_name() -> str:
    """DATASET_PIPELINE_HOST if that is set, else the name that the machine has in its network."""
    return os.environ.get(HOST_VARIABLE, "").strip() or platform.node() or "this machine"
