"""Files of Dagster's history stay open, for one thread at a time, and hold what was meant to be kept."""

import os
import sqlite3
import threading
import time
import uuid
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.runs import SqliteRunStorage
from sqlalchemy import event

from dataset_pipeline.cli.common import dagster_instance
from dataset_pipeline.orchestration.event_log import BatchedSqliteEventLog
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


def test_as_many_files_as_may_stay_open_are_opened_once(tmp_path: Path) -> None:
    opened: list[str] = []
    connections = counted(opened)
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(MOST_FILES)]
    for url in [*urls, *urls]:
        with connections.transaction(url) as connection:
            put(connection, 1)
    assert opened == urls
    connections.close()


def test_a_file_that_cannot_be_made_ready_is_closed(url: str) -> None:
    closed: list[object] = []

    def fail(url: str, engine: sa.Engine) -> None:
        event.listen(engine, "close", lambda connection, record: closed.append(connection))
        engine.connect().close()
        raise LookupError

    connections = KeptConnections(fail)
    with pytest.raises(LookupError), connections.transaction(url):
        pass
    assert len(closed) == 1


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed on Windows")
def test_a_file_that_another_process_removed_is_made_anew(url: str) -> None:
    connections = KeptConnections(on_connect=lambda url: ["PRAGMA journal_mode=WAL"])
    for number in range(2):
        with connections.transaction(url) as connection:
            put(connection, number)
        assert rows(url) == [number]
        for file in Path(sa.make_url(url).database or "").parent.glob("one.db*"):
            file.unlink()
    with sqlite3.connect(sa.make_url(url).database or "") as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE numbers (number INTEGER)")
        other.execute("INSERT INTO numbers VALUES (7)")
        other.commit()
        with connections.transaction(url) as connection:
            put(connection, 8)
    assert rows(url) == [7, 8]
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
    assert len(opened) == 2
    connections.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_what_a_fork_writes_stays_though_its_parent_closes_the_file_meanwhile(url: str) -> None:
    connections = KeptConnections(on_connect=lambda url: ["PRAGMA journal_mode=WAL"])
    with connections.transaction(url) as connection:
        put(connection, 1)
    written, go_on = os.pipe(), os.pipe()
    if not (child := os.fork()):
        try:
            with connections.transaction(url) as connection:
                put(connection, 2)
            os.write(written[1], b".")
            os.read(go_on[0], 1)
            with connections.transaction(url) as connection:
                put(connection, 3)
        finally:
            os._exit(0)
    os.read(written[0], 1)
    connections.close()
    os.write(go_on[1], b".")
    os.waitpid(child, 0)
    for end in (*written, *go_on):
        os.close(end)
    assert rows(url) == [1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_a_fork_waits_for_what_other_threads_have_begun(url: str) -> None:
    connections = KeptConnections()
    begun = threading.Event()

    def write() -> None:
        with connections.transaction(url) as connection:
            begun.set()
            time.sleep(0.3)
            put(connection, 1)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait()
    if not (child := os.fork()):
        try:
            with connections.transaction(url) as connection:
                put(connection, 2)
        finally:
            os._exit(0)
    thread.join()
    os.waitpid(child, 0)
    assert rows(url) == [1, 2]
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


def test_what_another_process_writes_into_the_first_runs_file_as_it_is_made_stays_out_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dagster_instance(tmp_path / "home") as instance:
        log = instance.event_log_storage
        assert isinstance(log, BatchedSqliteEventLog)
        make_tables = log.make_tables

        def make_and_write(engine: sa.Engine) -> None:
            make_tables(engine)
            if path := engine.url.database:
                with sqlite3.connect(path) as other:
                    other.execute("INSERT INTO event_logs (run_id, event) VALUES ('first', '{}')")

        monkeypatch.setattr(log, "make_tables", make_and_write)
        for run in ("first", "second"):
            with log.run_connection(run):
                pass
        with sqlite3.connect(log.path_for_shard("second")) as connection:
            assert connection.execute("SELECT count(*) FROM event_logs").fetchone() == (0,)


def test_who_watches_a_run_is_woken_once_for_a_batch_and_can_read_it_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readable: list[int] = []

    def count(path: str) -> None:
        with sqlite3.connect(path) as connection:
            readable.append(connection.execute("SELECT count(*) FROM event_logs").fetchone()[0])

    with dagster_instance(tmp_path / "home") as instance:
        run = dg.DagsterRun(job_name="measure", run_id=str(uuid.uuid4()))
        instance.add_run(run)
        instance.report_engine_event("one", run)
        entry = instance.all_logs(run.run_id)[0]
        monkeypatch.setattr(os, "utime", count)
        instance.event_log_storage.store_event_batch([entry] * 3)
        instance.event_log_storage.store_event(entry)
    assert readable == [4, 5]


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed on Windows")
def test_a_run_goes_on_after_another_process_wiped_the_history(tmp_path: Path) -> None:
    with dagster_instance(tmp_path / "home") as writer, dagster_instance(tmp_path / "home") as other:
        run = dg.DagsterRun(job_name="measure", run_id=str(uuid.uuid4()))
        writer.add_run(run)
        writer.report_engine_event("before", run)
        other.event_log_storage.wipe()
        writer.report_engine_event("after", run)
        assert [entry.message for entry in other.all_logs(run.run_id)] == ["after"]


def test_a_history_may_lie_in_a_folder_with_any_letters_in_its_name(tmp_path: Path) -> None:
    home = tmp_path / "映画 \U0001f3ac é"
    with dagster_instance(home) as instance:
        assert isinstance(instance.run_storage, KeptSqliteRunStorage)
    assert (home / "history" / "runs.db").exists()


def test_who_watches_a_run_hears_hears_of_what_another_process_writes_into_its_log(tmp_path: Path) -> None:
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
