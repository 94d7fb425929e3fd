"""What the broker knows: which runs wait in its queues, and what the workers that answer hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from celery import Celery
from celery.exceptions import OperationalError
from redis.exceptions import RedisError

from dataset_pipeline.cluster.home import GPU, HEAD

QUEUES = (GPU, HEAD)
UNREACHABLE = (OperationalError, RedisError, OSError)
ANSWER_S = 1.5
# As kombu names the lists of one queue in Redis, by the priority of what lies in them.
LISTS = ("", "\x06\x163", "\x06\x166", "\x06\x169")

CONFIG: dict[str, Any] = {
    "task_ignore_result": True,
    "task_default_priority": 0,
    # A worker takes a run when a slot is free and not before: what a lost one had taken waits for nobody.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "task_acks_late": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # A child answers once its model libraries are imported, which takes minutes on a busy disk.
    "worker_proc_alive_timeout": 900.0,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {
        "visibility_timeout": 1800,  # longer than a run that was taken waits for its process
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
}


def waiting(app: Celery) -> dict[str, list[str]]:
    """By queue the ids of runs that no worker has taken. Raises one of UNREACHABLE."""
    with app.connection_for_write() as connection:
        client = connection.default_channel.client
        return {queue: [_run_of(raw) for _, raw in _messages(client, queue)] for queue in QUEUES}


def on_the_way(app: Celery) -> set[str]:
    """The ids of runs that a worker has been handed and has not taken up. Raises one of UNREACHABLE."""
    with app.connection_for_write() as connection:
        handed = connection.default_channel.client.hvals("unacked")
    return {message["headers"]["id"] for message, *_ in map(json.loads, handed)}


def withdraw(app: Celery, run_id: str) -> bool:
    """Take a run out of its queue; False if it is in none. Raises one of UNREACHABLE."""
    with app.connection_for_write() as connection:
        client = connection.default_channel.client
        found = [(key, raw) for queue in QUEUES for key, raw in _messages(client, queue) if _run_of(raw) == run_id]
        return sum(client.lrem(key, 0, raw) for key, raw in found) > 0


def answers(app: Celery, wait_s: float = ANSWER_S) -> dict[str, dict[str, Any]]:
    """What each worker that answers says of itself, see `worker.describe`. Raises one of UNREACHABLE."""
    replies = app.control.broadcast("describe", reply=True, timeout=wait_s) or []
    return {name: told for reply in replies for name, told in reply.items() if "runs" in told}


def _messages(client: Any, queue: str) -> Iterator[tuple[str, bytes]]:
    for suffix in LISTS:
        yield from ((f"{queue}{suffix}", raw) for raw in client.lrange(f"{queue}{suffix}", 0, -1))


def _run_of(raw: bytes) -> str:
    return json.loads(raw)["headers"]["id"]
