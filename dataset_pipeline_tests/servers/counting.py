"""A proxy in front of a server that counts requests, and adds the time that a distant one would take."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


class Requests:
    """What passed. url: the proxy's. by_kind: GET, HEAD, LIST, PUT, DELETE, POST. wait_s: added to each request."""

    def __init__(self, url: str) -> None:
        self.url, self.wait_s = url, 0.0
        self.lines: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def add(self, kind: str, path: str) -> None:
        with self._lock:
            self.lines.append((kind, path))

    @property
    def total(self) -> int:
        return len(self.lines)

    @property
    def by_kind(self) -> Counter[str]:
        return Counter(kind for kind, _ in self.lines)

    def clear(self) -> None:
        with self._lock:
            self.lines.clear()


@contextmanager
def counted(server_url: str) -> Iterator[Requests]:
    """Requests to the url that this gives go to the server, and are counted."""
    place = urlsplit(server_url)
    local = threading.local()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def pass_on(self) -> None:
            is_listing = self.command == "GET" and "list-type=" in self.path
            requests.add("LIST" if is_listing else self.command, self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(requests.wait_s)
            upstream = getattr(local, "upstream", None)
            if upstream is None:
                upstream = local.upstream = http.client.HTTPConnection(place.hostname or "", place.port)
            # The signature is over the host that the client named, so that all headers go on as they came.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            data = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", size or "0")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = pass_on  # noqa: N815

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    requests = Requests(f"http://127.0.0.1:{proxy.server_address[1]}")
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield requests
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
