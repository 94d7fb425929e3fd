"""sha256 of weight files, computed once per file: big ones are remembered by path, size and time of change."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from dataset_pipeline.base.file_names import sha256_of_file
from dataset_pipeline.base.paths import write_whole

REMEMBER_FROM_BYTES = 8 * 2**20
_KNOWN: dict[str, str] = {}


def sha256_of(path: Path, memory: Path | None = None) -> str:
    """Hex sha256 of a file.

    The answer is kept for the process, and for files from 8 MiB also in the JSON file `memory`, under a key of path,
    size and modification time, so that a changed file is read again.
    """
    facts = path.stat()
    key = f"{os.path.realpath(path)}|{facts.st_size}|{facts.st_mtime_ns}"
    if key not in _KNOWN:
        if memory is None or facts.st_size < REMEMBER_FROM_BYTES:
            _KNOWN[key] = sha256_of_file(path)
        else:
            _KNOWN[key] = _remembered(path, key, memory)
    return _KNOWN[key]


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the whole new one."""
    write_whole(path, f"{json.dumps(value, indent=2, sort_keys=True)}\n".encode())


def _remembered(path: Path, key: str, memory: Path) -> str:
    sums: dict[str, str] = json.loads(memory.read_text("utf-8")) if memory.is_file() else {}
    if key not in sums:
        sums[key] = sha256_of_file(path)
        # A cache folder that is mounted read-only is fine: the sum is computed again in the next process.
        with contextlib.suppress(OSError):
            write_json(memory, sums)
    return sums[key]
