"""A folder of its own for Dagster's history, instead of the project's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def lay_out(home: Path) -> None:
    """Make a folder from which Dagster opens a history that lies in it, in the files where Dagster would keep it by
    itself, by this package's storages."""

    def stored(module: str, name: str, folder: Path) -> dict[str, Any]:
        module = f"dataset_pipeline.orchestration.{module}"
        return {"module": module, "class": name, "config": {"base_dir": str(folder)}}

    history = home.absolute() / "history"
    settings = {
        "telemetry": {"enabled": False},
        "run_storage": stored("run_storage", "KeptSqliteRunStorage", history),
        "event_log_storage": stored("event_log", "BatchedSqliteEventLog", history / "runs"),
    }
    home.mkdir(parents=True, exist_ok=True)
    # Python's escapes are YAML's. JSON's are not: a character beyond U+FFFF would be read as two that are none.
    (home / "dagster.yaml").write_bytes(json.dumps(settings, ensure_ascii=False).encode("ascii", "backslashreplace"))
