"""What is read back from the batched logs is what Dagster's own would have kept; slots are claimed one at a time."""

import _thread
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import Engine, event

from dataset_pipeline.orchestration import shared_log
from dataset_pipeline.orchestration.event_log import BatchedSqliteEventLog
from dataset_pipeline.orchestration.runs import QUIET
from dataset_pipeline.orchestration.unfinished import PROCESS_TAG
from dataset_pipeline.settings import PACKAGE
from dataset_pipeline_tests.servers.postgresql import postgresql
from dataset_pipeline_tests.servers.server import INSTALL, Server

EPISODES = [f"a.e{number}" for number in range(7)]
PARTITIONS = dg.DynamicPartitionsDefinition(name="episodes")
KEY = dg.AssetKey("clusters")
BATCHED = """
event_log_storage:
  module: dataset_pipeline.orchestration.event_log
  class: BatchedSqliteEventLog
  config: {base_dir: %s}
"""
IN_POSTGRESQL = """
run_storage:
  module: %(runs_module)s
  class: %(runs_name)s
  config: {postgres_url: "%(url)s"}
event_log_storage:
  module: %(module)s
  class: %(name)s
  config: {postgres_url: "%(url)s"}
"""
DAGSTERS = {
    "runs_module": "dagster_postgres.run_storage",
    "runs_name": "PostgresRunStorage",
    "module": "dagster_postgres.event_log",
    "name": "PostgresEventLogStorage",
}
OURS = {
    "runs_module": "dataset_pipeline.orchestration.patience",
    "runs_name": "PatientRunStorage",
    "module": "dataset_pipeline.orchestration.postgres_log",
    "name": "BatchedPostgresEventLog",
}
AWAY_S = 2.0
ON_BOTH = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("dagster_postgres", reason=INSTALL)
    with postgresql() as started:
        yield started


@pytest.fixture
def database_url(server: Server) -> Callable[[], str]:
    """Makes a database that nobody has used."""

    def make() -> str:
        name = f"made_{uuid.uuid4().hex}"
        with sa.create_engine(server.url, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        return sa.make_url(server.url).set(database=name).render_as_string(hide_password=False)

    return make


@contextmanager
def opened(home: Path, settings: str) -> Iterator[dg.DagsterInstance]:
    home.mkdir()
    (home / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{settings}")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("episodes", EPISODES)
        yield instance


def run(instance: dg.DagsterInstance, first: str, last: str, version: str, fails: bool = False) -> str:
    """One run over a range of episodes, with a check of all; its id."""

    @dg.asset(
        key=KEY,
        partitions_def=PARTITIONS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("holds", asset=KEY)],
    )
    def clusters(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        if fails:
            raise dg.Failure("no", allow_retries=False)
        for episode in context.partition_keys:
            context.add_asset_metadata({"rows": len(episode)}, asset_key=KEY, partition_key=episode)
        check = dg.AssetCheckResult(check_name="holds", passed=True)
        return dg.MaterializeResult(data_version=dg.DataVersion(version), check_results=[check])

    job = dg.Definitions(assets=[clusters]).resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    result = job.execute_in_process(instance=instance, tags=tags, run_config=QUIET, raise_on_error=False)
    assert result.success != fails
    return result.run_id


def recorded(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    log = instance.event_log_storage
    fetched = instance.fetch_materializations(KEY, limit=20, ascending=True).records
    tags = log.get_latest_tags_by_partition(KEY, dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"])
    (record,) = instance.get_asset_records([KEY])
    entry = record.asset_entry
    planned = instance.get_latest_planned_materialization_info(KEY)
    return {
        "materialized": instance.get_materialized_partitions(KEY),
        "unanswered": set(log.get_latest_asset_partition_materialization_attempts_without_materializations(KEY)),
        "events": [
            (made.partition, made.metadata["rows"].value)
            for record in fetched
            if (made := record.asset_materialization)
        ],
        "in_order": [record.storage_id for record in fetched] == sorted({record.storage_id for record in fetched}),
        "versions": {episode: dict(found) for episode, found in tags.items()},
        "last": (
            record.asset_entry.last_materialization_record.partition_key if entry.last_materialization else None,
            entry.last_run_id == run_id,
            (entry.last_materialization_storage_id or 0) == fetched[-1].storage_id,
        ),
        "planned": planned and planned.run_id == run_id,
        "steps_of_run": [entry.dagster_event_type for entry in instance.all_logs(run_id) if entry.is_dagster_event],
        "checks": [
            record.status.value for record in log.get_asset_check_execution_history(dg.AssetCheckKey(KEY, "holds"), 10)
        ],
    }


def story(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    ranges = [("a.e0", "a.e4", "v1", False), ("a.e3", "a.e6", "v2", False), ("a.e5", "a.e6", "v3", True)]
    return [recorded(instance, run(instance, *entry)) for entry in ranges]


def test_a_run_of_many_episodes_is_recorded_as_dagsters_own_log_records_it(tmp_path):
    with opened(tmp_path / "own", "") as instance:
        assert type(instance.event_log_storage) is SqliteEventLogStorage
        own = story(instance)
    with opened(tmp_path / "batched", BATCHED % (tmp_path / "events")) as instance:
        assert isinstance(instance.event_log_storage, BatchedSqliteEventLog)
        batched = story(instance)
    assert batched == own
    assert own[1]["materialized"] == set(EPISODES)
    assert own[2]["unanswered"] == {"a.e5", "a.e6"}
    versions = {episode: tags["dagster/data_version"] for episode, tags in own[2]["versions"].items()}
    assert versions == {episode: "v1" if number < 3 else "v2" for number, episode in enumerate(EPISODES)}
    assert all(entry["in_order"] and entry["planned"] for entry in own)


@pytest.mark.thorough
def test_a_run_of_many_episodes_is_recorded_as_dagsters_own_log_in_postgresql_records_it(tmp_path, database_url):
    with opened(tmp_path / "own", IN_POSTGRESQL % {"url": database_url(), **DAGSTERS}) as instance:
        own = story(instance)
    with opened(tmp_path / "batched", IN_POSTGRESQL % {"url": database_url(), **OURS}) as instance:
        assert type(instance.event_log_storage).__name__ == "BatchedPostgresEventLog"
        batched = story(instance)
    assert batched == own
    assert own[1]["materialized"] == set(EPISODES)


@pytest.mark.thorough
def test_what_a_run_plans_for_many_episodes_goes_to_postgresql_in_few_statements(tmp_path, database_url):
    counted = {}
    for name, log in (("own", DAGSTERS), ("batched", OURS)):
        with opened(tmp_path / name, IN_POSTGRESQL % {"url": database_url(), **log}) as instance:
            with inserts_of_events() as found:
                run(instance, "a.e0", "a.e6", "v1")
            counted[name] = len(found)
    assert counted["batched"] <= counted["own"] - len(EPISODES) + 1


@pytest.mark.thorough
def test_the_log_in_postgresql_is_written_and_read_on_after_its_server_was_killed_and_started_again(
    tmp_path, server, database_url
):
    with opened(tmp_path / "batched", IN_POSTGRESQL % {"url": database_url(), **OURS}) as instance:
        before = recorded(instance, run(instance, "a.e0", "a.e4", "v1"))
        server.kill()
        server.start()
        after = recorded(instance, run(instance, "a.e3", "a.e6", "v2"))
    assert after["materialized"] == set(EPISODES)
    assert after["events"][: len(before["events"])] == before["events"]


@pytest.mark.thorough
def test_who_asks_while_the_server_is_away_waits_for_it(tmp_path, server, database_url):
    with opened(tmp_path / "batched", IN_POSTGRESQL % {"url": database_url(), **OURS}) as instance:
        run(instance, "a.e0", "a.e4", "v1")
        server.kill()
        comes_back = threading.Event()

        def come_back() -> None:
            comes_back.set()
            server.start()

        back = threading.Timer(AWAY_S, come_back)
        back.start()
        assert not comes_back.is_set()
        assert instance.get_runs_count() == 1
        assert comes_back.is_set()
        back.join()
        assert recorded(instance, run(instance, "a.e3", "a.e6", "v2"))["materialized"] == set(EPISODES)


@pytest.mark.thorough
def test_what_was_asked_when_the_server_ended_is_asked_again(tmp_path, server, database_url):
    url = database_url()
    with opened(tmp_path / "batched", IN_POSTGRESQL % {"url": url, **OURS}) as instance:
        instance.event_log_storage.set_concurrency_slots("gpu", 1)
        with instance.event_log_storage.pools_locked():  # so that another waits in the middle of what it asks
            answer: list[Any] = []
            waits = threading.Thread(
                target=lambda: answer.append(instance.event_log_storage.claim_concurrency_slot("gpu", "run", "step"))
            )
            waits.start()
            engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                asked = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory'"
                ended_s = time.monotonic() + 10
                while not connection.execute(sa.text(asked)).all():
                    assert time.monotonic() < ended_s
                    time.sleep(0.05)
            engine.dispose()
        waits.join(20)
    assert [it.is_claimed for it in answer] == [True]


@pytest.mark.thorough
def test_a_server_that_stays_away_is_named_without_its_password(tmp_path, server, database_url, monkeypatch):
    monkeypatch.setattr("dataset_pipeline.orchestration.patience.PATIENCE_S", 0.0)
    url = sa.make_url(database_url()).set(password="secret").render_as_string(hide_password=False)
    with opened(tmp_path / "batched", IN_POSTGRESQL % {"url": url, **OURS}) as instance:
        instance.get_runs_count()
        server.kill()
        try:
            with pytest.raises(OSError, match="has not answered for 0 s") as told:
                instance.get_runs_count()
        finally:
            server.start()
    assert "127.0.0.1" in str(told.value)
    assert "secret" not in str(told.value)


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_asks_postgresql_on_a_connection_of_its_own(tmp_path, database_url):
    with opened(tmp_path / "batched", IN_POSTGRESQL % {"url": database_url(), **OURS}) as instance:
        assert instance.get_dynamic_partitions("episodes") == EPISODES
        with connections() as made:
            child = os.fork()
            if child == 0:
                seen = instance.get_dynamic_partitions("episodes") == EPISODES
                os._exit(0 if seen and len(made) == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert instance.get_dynamic_partitions("episodes") == EPISODES


@contextmanager
def connections() -> Iterator[list[Any]]:
    made: list[Any] = []

    def look(connection: Any, record: Any) -> None:
        made.append(record)

    event.listen(Engine, "connect", look)
    try:
        yield made
    finally:
        event.remove(Engine, "connect", look)


@contextmanager
def inserts_of_events() -> Iterator[list[str]]:
    found: list[str] = []

    def look(connection: Any, cursor: Any, text: str, *rest: Any) -> None:
        if text.startswith("INSERT INTO event_logs"):
            found.append(text)

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", look)


def test_a_batch_that_the_index_refuses_leaves_nothing_in_the_log_of_its_run(tmp_path, monkeypatch):
    with opened(tmp_path / "batched", BATCHED % (tmp_path / "events")) as instance:
        log = instance.event_log_storage
        run_id = run(instance, "a.e0", "a.e4", "v1")
        before = instance.all_logs(run_id)
        made = [entry for entry in before if entry.is_dagster_event and entry.dagster_event.is_step_materialization]
        assert len(made) == 5
        monkeypatch.setattr(log, "index_transaction", locked)
        with pytest.raises(sqlite3.OperationalError):
            log.store_event_batch(made)
        assert instance.all_logs(run_id) == before


def locked() -> NoReturn:
    raise sqlite3.OperationalError("database is locked")


def test_the_projects_instance_uses_the_batched_log():
    import yaml

    config = yaml.safe_load((PACKAGE.parent / "dagster.yaml").read_text())
    assert config["event_log_storage"]["class"] == BatchedSqliteEventLog.__name__
    assert config["event_log_storage"]["config"]["base_dir"].startswith(config["run_storage"]["config"]["base_dir"])


@pytest.fixture
def two_processes(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[dg.DagsterInstance]]:
    """Dagster's history opened twice, as by two commands, with one slot in the pool `gpu`."""
    home = tmp_path / "home"
    if database == "postgresql":
        settings = IN_POSTGRESQL % {"url": request.getfixturevalue("database_url")(), **OURS}
    else:
        settings = BATCHED % (home / "events")
    settings += "concurrency: {pools: {granularity: op, default_limit: 1}}\n"
    with opened(home, settings) as one, dg.DagsterInstance.from_config(str(home)) as other:
        one.event_log_storage.initialize_concurrency_limit_to_default("gpu")
        yield [one, other]


@contextmanager
def meanwhile(statement: str, done: Callable[[], object]) -> Iterator[None]:
    """What another process does, or tries to for a while, before the first statement that begins so."""
    threads: list[threading.Thread] = []

    def look(connection: Any, cursor: Any, text: str, *rest: Any) -> None:
        if text.startswith(statement) and not threads:
            threads.append(threading.Thread(target=done))
            threads[0].start()
            threads[0].join(0.5)

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", look)
    threads[0].join()


@ON_BOTH
def test_a_slot_freed_while_another_process_queues_for_it_is_handed_on(two_processes):
    one, other = two_processes
    holder, waiting = one.event_log_storage, other.event_log_storage
    assert holder.claim_concurrency_slot("gpu", "first", "tags").is_claimed
    with meanwhile("INSERT INTO pending_steps", lambda: holder.free_concurrency_slot_for_step("first", "tags")):
        waiting.claim_concurrency_slot("gpu", "second", "tags")
    assert waiting.claim_concurrency_slot("gpu", "second", "tags").is_claimed


@ON_BOTH
def test_a_slot_whose_holder_was_killed_before_handing_it_on_goes_to_who_waits(two_processes, monkeypatch):
    one, other = two_processes
    holder, waiting = one.event_log_storage, other.event_log_storage
    assert holder.claim_concurrency_slot("gpu", "first", "tags").is_claimed
    assert not waiting.claim_concurrency_slot("gpu", "second", "tags").is_claimed
    monkeypatch.setattr(holder, "assign_pending_steps", lambda pools: None)
    holder.free_concurrency_slot_for_step("first", "tags")
    assert waiting.claim_concurrency_slot("gpu", "second", "tags").is_claimed


@ON_BOTH
def test_two_processes_never_hold_the_one_slot_together(two_processes):
    one, other = two_processes
    for run_id in ("first", "second"):  # as where both look for a free slot before either is queued
        one.event_log_storage.add_pending_step("gpu", run_id, "tags", should_assign=True)
    claims = {}

    def claim(instance: dg.DagsterInstance, run_id: str) -> None:
        claims[run_id] = instance.event_log_storage.claim_concurrency_slot("gpu", run_id, "tags").is_claimed

    with meanwhile("UPDATE concurrency_slots SET run_id", lambda: claim(other, "second")):
        claim(one, "first")
    assert claims == {"first": True, "second": False}


@ON_BOTH
def test_who_waits_for_a_slot_takes_it_from_a_run_whose_process_is_gone_and_says_whom_else_it_waits_for(
    two_processes, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(shared_log, "TOLD_AFTER_S", 0.0)
    job = dg.Definitions(assets=[dg.asset(name="tags")(lambda: None)]).resolve_implicit_global_asset_job_def()
    one, other = two_processes
    log = other.event_log_storage
    alive = one.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    (tmp_path / "home" / "processes").mkdir()
    (tmp_path / "home" / "processes" / "gone.lock").touch()
    gone = {PROCESS_TAG: "gone"}
    dead = one.create_run_for_job(job, tags=gone, status=dg.DagsterRunStatus.STARTED)
    assert log.claim_concurrency_slot("gpu", alive.run_id, "tags").is_claimed
    assert not log.claim_concurrency_slot("gpu", dead.run_id, "tags").is_claimed
    assert not log.claim_concurrency_slot("gpu", "third", "tags").is_claimed
    assert f"tags of run {alive.run_id} holds" in caplog.text
    log.free_concurrency_slot_for_step(alive.run_id, "tags")
    assert log.claim_concurrency_slot("gpu", "third", "tags").is_claimed


@ON_BOTH
def test_a_run_that_waits_for_a_slot_can_be_interrupted_and_leaves_no_claim(two_processes):
    @dg.asset(pool="gpu")
    def tags() -> None: ...

    one, other = two_processes
    assert one.event_log_storage.claim_concurrency_slot("gpu", "first", "tags").is_claimed
    job = dg.Definitions(assets=[tags]).resolve_implicit_global_asset_job_def()

    def interrupt_once_it_waits() -> None:
        while len(one.event_log_storage.get_concurrency_info("gpu").pending_steps) < 2:
            time.sleep(0.1)
        _thread.interrupt_main()

    threading.Thread(target=interrupt_once_it_waits, daemon=True).start()
    result = job.execute_in_process(instance=other, run_config=QUIET, raise_on_error=False)
    failures = result.filter_events(lambda entry: entry.is_failure)
    assert [entry.event_specific_data.error.cls_name for entry in failures] == ["DagsterExecutionInterruptedError"]
    assert [step.run_id for step in one.event_log_storage.get_concurrency_info("gpu").pending_steps] == ["first"]


def test_only_a_server_that_is_away_is_waited_for():
    pytest.importorskip("dagster_postgres", reason=INSTALL)
    from dagster_postgres.utils import DagsterPostgresException

    from dataset_pipeline.orchestration.patience import patient

    class Storage:
        postgres_url = "postgresql+psycopg2://me@host/dagster"

        def __init__(self, *errors: Exception) -> None:
            self.errors = list(errors)

        def ask(self) -> str:
            if self.errors:
                raise self.errors.pop(0)
            return "answered"

    patient(Storage)
    ended = sa.exc.OperationalError("", {}, Exception("the server ended"), connection_invalidated=True)
    refused = DagsterPostgresException("too many retries")
    refused.__cause__ = ended
    assert Storage(ended, refused).ask() == "answered"
    for other in (
        sa.exc.OperationalError("", {}, Exception("a lock timed out")),
        sa.exc.IntegrityError("", {}, Exception("it is there")),
        DagsterPostgresException("of another kind"),
    ):
        with pytest.raises(type(other)):
            Storage(other).ask()
