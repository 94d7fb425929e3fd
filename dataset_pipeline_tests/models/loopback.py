"""A server on this machine whose answers a test gives."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from dataset_pipeline.models.generator import Request


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """status 0: the connection is dropped."""

    status: int = 200
    body: Any = b""

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


DROPPED = Reply(0)


@contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[str]:
    """The address of a server that answers so, and is gone afterwards, also for who holds a connection to it."""
    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: the second of two waits 40 ms for its leave

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = answer(Asked(self.command, url.path, query, body, dict(self.headers)))
            with suppress(OSError):  # who asked has gone
                if not reply.status or gone.is_set():
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(reply.data)))
                self.end_headers()
                self.wfile.write(reply.data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        gone.set()
        server.shutdown()
        server.server_close()


def requests(*seeds: int) -> list[Request]:
    return [Request(f"1girl, {seed}", "bad hands", seed, 64, 48) for seed in seeds]


def told(made: list[np.ndarray | Exception]) -> list[Any]:
    return [str(it) if isinstance(it, Exception) else int(it[0, 0, 0]) for it in made]
