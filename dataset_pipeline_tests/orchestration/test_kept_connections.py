"""Files of Dagster's history stay open, for one thread at a time, and hold what was meant to be kept."""

import os
import sqlite3
import threading
import uuid
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.runs import SqliteRunStorage

from dataset_pipeline.cli.common import dagster_instance
from dataset_pipeline.orchestration.kept_connections import MOST_FILES, KeptConnections
from dataset_pipeline.orchestration.run_storage import KeptSqliteRunStorage


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/one.db"


def counted(opened: list[str]) -> KeptConnections:
    def opening(url: str) -> list[str]:
        opened.append(url)
        return []

    return KeptConnections(on_connect=opening)


def rows(url: str) -> list[int]:
    with sa.create_engine(url).connect() as connection:
        return list(connection.scalars(sa.text("SELECT * FROM numbers")))


def put(connection: sa.Connection, number: int) -> None:
    connection.execute(sa.text("CREATE TABLE IF NOT EXISTS numbers (number INTEGER)"))
    connection.execute(sa.text("INSERT INTO numbers VALUES (:number)"), {"number": number})


def test_a_file_is_opened_once_until_it_is_closed(url: str) -> None:
    opened: list[str] = []
    connections = counted(opened)
    for number in range(3):
        with connections.transaction(url) as connection:
            put(connection, number)
        assert rows(url) == list(range(number + 1))
    assert len(opened) == 1
    connections.close()
    with connections.transaction(url) as connection:
        put(connection, 3)
    assert len(opened) == 2
    connections.close()


def test_an_error_takes_back_what_was_written_since_the_outermost_began(url: str) -> None:
    connections = KeptConnections()
    with connections.transaction(url) as connection:
        put(connection, 1)

    def break_off() -> None:
        with connections.transaction(url) as outer:
            put(outer, 2)
            with connections.transaction(url) as inner:
                put(inner, 3)
                assert inner is outer
            raise LookupError

    with pytest.raises(LookupError):
        break_off()
    assert rows(url) == [1]
    with connections.transaction(url) as connection:
        put(connection, 4)
    assert rows(url) == [1, 4]
    connections.close()


def test_of_many_files_the_last_stay_open(tmp_path: Path) -> None:
    opened: list[str] = []
    connections = counted(opened)
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(MOST_FILES + 2)]
    with connections.transaction(urls[0]) as first:  # in use, it is not closed however old
        for url in urls[1:]:
            with connections.transaction(url) as connection:
                put(connection, 1)
        put(first, 1)
    assert opened == urls
    for url in (urls[0], urls[-1], urls[1]):
        with connections.transaction(url) as connection:
            assert connection.scalar(sa.text("SELECT number FROM numbers")) == 1
    assert opened == [*urls, urls[1]]
    connections.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_a_fork_opens_the_file_for_itself(url: str) -> None:
    opened: list[str] = []
    connections = counted(opened)
    with connections.transaction(url) as connection:
        put(connection, 1)
    if not (child := os.fork()):
        try:
            with connections.transaction(url) as connection:
                put(connection, len(opened))
            connections.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert rows(url) == [1, 2]
    with connections.transaction(url) as connection:
        put(connection, 3)
    assert len(opened) == 1
    connections.close()


def test_dagsters_own_storage_reads_the_runs_that_ours_keeps(tmp_path: Path) -> None:
    with dagster_instance(tmp_path / "home") as instance:
        assert isinstance(instance.run_storage, KeptSqliteRunStorage)
        run = dg.DagsterRun(job_name="measure", run_id=str(uuid.uuid4()))
        instance.add_run(run)
        stored = SqliteRunStorage.from_local(str(tmp_path / "home" / "history"))
        assert [it.run_id for it in stored.get_runs()] == [run.run_id]
        stored.add_run(dg.DagsterRun(job_name="measure", run_id=str(uuid.uuid4())))
        assert len(instance.get_runs()) == 2


def test_the_files_of_later_runs_are_made_like_the_first(tmp_path: Path) -> None:
    def made(path: Path) -> list[str]:
        with sqlite3.connect(path) as connection:
            return [*connection.iterdump(), str(connection.execute("PRAGMA journal_mode").fetchone())]

    with dagster_instance(tmp_path / "home") as instance:
        log = instance.event_log_storage
        for run in ("first", "second", "third"):
            assert not log.get_logs_for_run(run)
        folder = tmp_path / "home" / "history" / "runs"
        assert made(folder / "first.db") == made(folder / "second.db") == made(folder / "third.db")
        assert any("alembic_version" in line and "INSERT" in line for line in made(folder / "third.db"))


def test_who_watches_a_run_hears_of_what_another_process_writes_into_its_log(tmp_path: Path) -> None:
    heard: list[str] = []
    several = threading.Event()

    def hear(event: dg.EventLogEntry, cursor: str) -> None:
        heard.append(event.message)
        if len(heard) == 2:
            several.set()

    with dagster_instance(tmp_path / "home") as writer, dagster_instance(tmp_path / "home") as watcher:
        run = dg.DagsterRun(job_name="measure", run_id=str(uuid.uuid4()))
        writer.add_run(run)
        writer.report_engine_event("before", run)
        assert len(watcher.all_logs(run.run_id)) == 1
        watcher.watch_event_logs(run.run_id, None, hear)
        writer.report_engine_event("one", run)
        writer.report_engine_event("two", run)
        assert several.wait(60)
        watcher.end_watch_event_logs(run.run_id, hear)
    assert heard[:2] == ["before", "one"]
