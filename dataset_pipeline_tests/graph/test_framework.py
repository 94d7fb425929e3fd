"""An asset can read only what it declares, and a join by show is made in one place."""

from __future__ import annotations

import ast
import errno
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

import dataset_pipeline.assets
from dataset_pipeline.base import paths
from dataset_pipeline.graph import framework
from dataset_pipeline.graph.catalog import Check, PipelineAsset
from dataset_pipeline.graph.declaration import DECLARATIONS, Declaration, Kind
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.pictures import _ahead_of
from dataset_pipeline.graph.project import partitions_name
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.models.batching import prepared_batches
from dataset_pipeline.orchestration.runs import materialize_assets
from dataset_pipeline.settings import load_settings
from dataset_pipeline.settings.tag_rules import RulesError
from dataset_pipeline.store.left_out import UNMEASURED
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store, TableMissing
from dataset_pipeline.video.keyframes import ahead


@pytest.fixture
def step(tmp_path) -> Step:
    declaration = Declaration("crops", Kind.RENDER, ("distinct_frames",), ("crops",), ("detector",))
    resources = SimpleNamespace(
        store=Store(str(tmp_path)), settings=load_settings(), detector=SimpleNamespace(name="it")
    )
    return Step(declaration, resources, "show.e01", log=None, episodes=["show.e01"])


def test_an_undeclared_table_cannot_be_read(step):
    with pytest.raises(LookupError, match="crops does not declare that it reads tags"):
        step.read("tags")


def test_an_undeclared_section_of_the_settings_cannot_be_read(step):
    assert step.settings.crops.person_min_side_px > 0
    with pytest.raises(LookupError, match=r"\[captions\]"):
        _ = step.settings.captions


def test_an_undeclared_model_cannot_be_used(step):
    assert step.model("detector").name == "it"
    with pytest.raises(LookupError, match="tagger"):
        step.model("tagger")


UNDECLARED = {
    "the rows of a table": lambda step: step.rows("tags"),
    "the only row of a table": lambda step: step.row("video"),
    "how a table came about": lambda step: step.pointer("tags"),
    "where a set comes from": lambda step: step.origin("training_set"),
    "what is behind something else": lambda step: step.behind("crops"),
    "where the source lies": lambda step: step.source,
    "a picture that no table read so far names": lambda step: step.picture("crops/show.e01/a@b-0123456789ab.png"),
    "its bytes": lambda step: step.encoded_picture("crops/show.e01/a@b-0123456789ab.png"),
    "its place on the disk": lambda step: step.local_picture("crops/show.e01/a@b-0123456789ab.png"),
    "several of them": lambda step: list(step.pictures(["crops/show.e01/a@b-0123456789ab.png"])),
    "the folder of exports": lambda step: step.export_root,
    "answers by another section": lambda step: step.measure("detector", [], lambda model, pictures: (), "tags"),
    "a render given a table": lambda step: step.render([{"image_id": "a", "kept": True}], (), "tags", lambda rows: ()),
}


@pytest.mark.parametrize("what", UNDECLARED)
def test_what_is_not_declared_cannot_be_reached(step, what, tmp_path):
    everything = SimpleNamespace(sha256="m")
    step.model("detector").fingerprint = lambda: everything
    for asset in ("crops", "tags", "training_set"):
        provenance = {"demo": True, "code_version": "1-x", "inputs": {}}
        episode = None if asset == "training_set" else "show.e01"
        Store(str(tmp_path)).write(asset, SCHEMAS[asset].empty(), episode, Provenance.from_json(provenance))
    with pytest.raises(LookupError, match="crops "):
        UNDECLARED[what](step)


def test_a_step_has_neither_store_nor_resources_to_hand_out(step):
    found = {name: getattr(step, name) for name in vars(step) if not name.startswith("_")}
    assert set(found) == {"declaration", "episode", "episodes", "log"}
    assert not hasattr(step, "store")
    assert not hasattr(step, "resources")


def test_another_episode_than_its_own_cannot_be_read(step, tmp_path):
    store = Store(str(tmp_path))
    for episode in ("show.e01", "show.e02"):
        row = {"image_id": f"{episode}/00000001", "path": f"{episode}.png"}
        store.write("distinct_frames", SCHEMAS["distinct_frames"].table([row]), episode)
    assert step.read("distinct_frames", ["show.e02"])["path"].to_pylist() == ["show.e01.png"]
    joined = Declaration("clusters", Kind.JOIN, ("distinct_frames",))
    over_one = Step(
        joined, SimpleNamespace(store=store, settings=load_settings()), None, log=None, episodes=["show.e01"]
    )
    assert over_one.read("distinct_frames")["path"].to_pylist() == ["show.e01.png"]
    for reach in (over_one.pointer, lambda asset, episode: over_one.read(asset, [episode])):
        with pytest.raises(LookupError, match=r"clusters is made of no episode show\.e02"):
            reach("distinct_frames", "show.e02")


def test_how_something_came_about_is_told_as_far_up_as_what_is_declared_is_made_from(tmp_path):
    store = Store(str(tmp_path))
    store.write("captions", SCHEMAS["captions"].empty(), "show.e01", Provenance(settings="these"))
    resources = SimpleNamespace(store=store, settings=load_settings())
    step = Step(DECLARATIONS["exported_set"], resources, None, log=None, episodes=["show.e01"])
    pointer = step.behind("captions", "show.e01")
    assert pointer is not None
    assert pointer.provenance.to_json() == {"settings": "these"}
    with pytest.raises(LookupError, match="exported_set reads nothing that is made from status"):
        step.behind("status")
    with pytest.raises(LookupError, match="exported_set does not declare that it reads captions"):
        step.read("captions")


# What a step is made of, and what handles it for Dagster.
FRAMEWORK = ("reading", "pictures", "measuring", "step", "materializing", "framework")


def test_no_asset_reaches_past_its_step():
    """Bodies and what they call with a step: no store, no resources, nothing private, no way to the framework's own."""
    package = Path(dataset_pipeline.__file__).parent
    framework_itself = {package / "graph" / f"{name}.py" for name in FRAMEWORK}
    assert all(path.is_file() for path in framework_itself)
    found = []
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        of_steps = any(isinstance(node, ast.ImportFrom) and _imports(node, {"Step"}) for node in ast.walk(tree))
        if path in framework_itself or not (of_steps or path.parent.name == "assets"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and _is_step(node.value):
                private = node.attr.startswith("_") or node.attr in ("store", "resources")
                found += [f"{path.name}:{node.lineno} step.{node.attr}"] if private else []
            if isinstance(node, ast.ImportFrom) and _imports(node, {"work_of", "Work"}):
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert found == []


def _is_step(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "step"


def _imports(node: ast.ImportFrom, names: set[str]) -> bool:
    return (node.module or "").startswith("dataset_pipeline.graph") and any(alias.name in names for alias in node.names)


def test_columns_are_read_without_the_others(tmp_path, monkeypatch):
    declaration = Declaration("clips", Kind.DECIDE, ("shots",))
    resources = SimpleNamespace(store=Store(str(tmp_path)), settings=load_settings())
    step = Step(declaration, resources, "show.e01", log=None, episodes=["show.e01"])
    row = {"episode": "show.e01", "number": 3, "start_s": 1.5, "signatures": bytes(576)}
    resources.store.write("shots", SCHEMAS["shots"].table([row]), "show.e01")
    decoded = []
    read = pq.ParquetFile.read
    monkeypatch.setattr(
        pq.ParquetFile, "read", lambda it, names, **more: decoded.extend(names) or read(it, names, **more)
    )
    assert step.read_columns("shots", ("start_s", "number")).to_pylist() == [{"start_s": 1.5, "number": 3}]
    assert sorted(decoded) == ["episode", "number", "start_s"]
    with pytest.raises(LookupError, match="clips does not declare that it reads stills"):
        step.read_columns("stills", ("image_id",))


def test_a_table_that_is_not_there_is_named(step):
    with pytest.raises(TableMissing, match=r"distinct_frames.*show\.e01"):
        step.read("distinct_frames")


def test_rows_of_one_key_are_refused():
    row = {"image_id": "show.e01/00000000", "concept": "a", "multiply": 1.0}
    with pytest.raises(ValueError, match="two rows"):
        SCHEMAS["multiplies"].table([row, row])


def test_broken_rules_of_tags_fail_at_once_with_their_own_words(monkeypatch):
    def broken(made, step):
        raise RulesError("mine/implications.csv, line 2: 'dress' is no `tag,implies` of two tags")

    monkeypatch.setattr(framework, "materialize", broken)
    with pytest.raises(dg.Failure) as caught:
        framework._alone(None, None)
    assert caught.value.description == "mine/implications.csv, line 2: 'dress' is no `tag,implies` of two tags"
    assert not caught.value.allow_retries


@pytest.mark.parametrize(("error", "attempts"), [(OSError("busy"), 2), (TableMissing("gone"), 1)])
def test_what_may_pass_is_tried_once_more_and_what_is_wrong_for_good_is_not(tmp_path, monkeypatch, error, attempts):
    monkeypatch.setattr(framework, "RETRY_DELAY_S", 0)
    asked = []
    [failure] = failures_of(tmp_path, error, asked)
    assert len(asked) == attempts
    assert str(error) in failure.error


def test_a_full_disk_is_named_with_what_was_to_be_written_and_not_tried_again(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    fill_the_disk(monkeypatch)

    def body(step: Step):
        asked.append(step)
        store.put_picture("crops", "show.e01", "show.e01/00000000", b"pixels", "png")

    asked: list[Step] = []
    [failure] = failures_of(tmp_path, None, [], body)
    assert failure.error.startswith(f"No space left on device: {tmp_path / 'crops' / 'show.e01'}")
    assert len(asked) == 1
    assert not list(tmp_path.rglob("*.tmp"))


def fill_the_disk(monkeypatch) -> None:
    """From now on the store's files take no byte more."""

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(paths, "open", Full, raising=False)


def test_a_full_disk_under_one_of_many_episodes_is_named(monkeypatch):
    def full(made, step):
        raise OSError(errno.ENOSPC, "No space left on device", "/store/table.parquet")

    monkeypatch.setattr(framework, "materialize", full)
    made = SimpleNamespace(name="multiplies", declaration=DECLARATIONS["multiplies"])
    context = SimpleNamespace(resources=SimpleNamespace(store=None, settings=None), log=None)
    with pytest.raises(dg.Failure) as caught:
        framework._together(made, context, ["a.e01"])
    assert caught.value.description == (
        "multiplies failed for 1 of 1 episodes (a.e01); a.e01: No space left on device: /store/table.parquet"
    )


def test_what_a_person_interrupts_is_not_tried_again_and_ends_the_run(tmp_path):
    asked = []
    with pytest.raises(KeyboardInterrupt):
        failures_of(tmp_path, KeyboardInterrupt(), asked)
    assert len(asked) == 1


def test_materializing_reports_what_it_wrote_though_another_run_replaces_it_at_once(tmp_path, monkeypatch):
    def multiplies(value: float):
        return SCHEMAS["multiplies"].table([{"image_id": "show.e01/00000000", "concept": "a", "multiply": value}])

    store, write = Store(str(tmp_path)), Store.write

    def overtaken(self, asset, *rest):
        written = write(self, asset, *rest)
        write(Store(self.root), asset, multiplies(2.0), "show.e01", Provenance(numbers={"of": "the other run"}))
        return written

    monkeypatch.setattr(Store, "write", overtaken)
    declaration = Declaration("multiplies", Kind.DECIDE, ())
    made = PipelineAsset(
        declaration, lambda step: Result(multiplies(1.0), {"of": "this run"}), "set", frozenset(), {}, None
    )
    resources = SimpleNamespace(store=store, settings=load_settings())
    pointer, kept = materialize(made, Step(declaration, resources, "show.e01", None, ["show.e01"]))
    assert (pointer.provenance.numbers, kept) == ({"of": "this run"}, False)
    assert pointer != store.pointer("multiplies", "show.e01")


def failures_of(folder, error: BaseException | None, asked: list, body=None) -> list:
    def raises(step: Step):
        asked.append(step)
        assert error is not None
        raise error

    body = body or raises
    declaration = Declaration("core_tags", Kind.JOIN, ())
    made = PipelineAsset(declaration, body, "tags", frozenset(), {}, None)
    asset = framework.asset_definition(made, [], dg.DynamicPartitionsDefinition(name="episodes"), "1", None)
    settings = load_settings()
    defs = dg.Definitions(assets=[asset], resources={"store": Store(str(folder)), "settings": settings})
    with dg.DagsterInstance.ephemeral() as instance:
        return materialize_assets(defs, instance, settings, ["core_tags"])


JOINED_BY_SHOW = Declaration("core_tags", Kind.JOIN, ("tag_scores", "clusters"), ("core_tags",), ("tagger",))


class Shows:
    """Episodes of several shows, and an asset over them that uses a model and remembers which shows it joined."""

    def __init__(self, root: Path) -> None:
        self.store, self.weights, self.changes = Store(str(root)), "weights", {}
        self.episodes: list[str] = []

    def add(self, episode: str, seen: str = "", assets: tuple[str, ...] = ("tag_scores", "clusters")) -> None:
        self.episodes = sorted({*self.episodes, episode})
        for asset in assets:
            row: dict[str, Any] = {"image_id": f"{episode}/00000001"}
            row |= {"pixel_sha256": seen, "model_sha256": "m", "algorithm": "1"} if asset == "tag_scores" else {}
            self.store.write(asset, SCHEMAS[asset].table([row]), episode)

    def joined(self) -> list[tuple[str, list[str]]]:
        """The shows that are joined, each with its episodes."""
        asked: list[tuple[str, list[str]]] = []

        def join(show: str, episodes: list[str]) -> list[dict]:
            asked.append((show, episodes))
            return [{"show": show, "character": "fern", "images": step.read("tag_scores", episodes).num_rows}]

        weights = SimpleNamespace(fingerprint=lambda: SimpleNamespace(sha256=self.weights))
        resources = SimpleNamespace(store=self.store, settings=load_settings(**self.changes), tagger=weights)
        step = Step(JOINED_BY_SHOW, resources, None, log=None, episodes=self.episodes)
        table, count = step.by_show(join)
        assert count == len(asked)
        assert table["images"].to_pylist() == [
            sum(episode.startswith(f"{show}.") for episode in self.episodes if self.store.pointer("clusters", episode))
            for show in table["show"].to_pylist()
        ]
        self.store.write("core_tags", table)
        return asked


@pytest.fixture
def shows(tmp_path) -> Shows:
    found = Shows(tmp_path)
    found.add("one.e1")
    found.add("other.e1")
    assert found.joined() == [("one", ["one.e1"]), ("other", ["other.e1"])]
    return found


def test_a_join_by_show_keeps_the_shows_that_did_not_change(shows):
    assert shows.joined() == []
    shows.add("other.e2")
    assert shows.joined() == [("other", ["other.e1", "other.e2"])]
    shows.add("one.e1", seen="otherwise")
    assert shows.joined() == [("one", ["one.e1"])]
    assert shows.joined() == []


def test_a_join_by_show_goes_without_episodes_that_lack_a_table(shows):
    shows.add("one.e2", assets=("tag_scores",))
    assert shows.joined() == []
    shows.add("one.e2")
    assert shows.joined() == [("one", ["one.e1", "one.e2"])]


READERS_AHEAD = {
    "stored pictures": lambda prepare: _ahead_of(prepare, pictures_of_shades()),
    "frames": lambda prepare: ahead(prepare, pictures_of_shades()),
    "a model's pictures": lambda prepare: prepared_batches(pictures_of_shades(), prepare, 1),
}


def pictures_of_shades() -> Iterator[np.ndarray]:
    return (np.full((2, 2, 3), shade, np.uint8) for shade in range(40))


@pytest.mark.parametrize("what", READERS_AHEAD)
def test_what_is_read_ahead_and_taken_by_nobody_is_let_go_without_waiting(what):
    go_on = threading.Event()
    taken = READERS_AHEAD[what](lambda picture: picture.any() and go_on.wait(2))
    next(taken)
    before = time.monotonic()
    taken.close()
    waited_s = time.monotonic() - before
    go_on.set()
    assert waited_s < 1


def test_what_a_joined_asset_goes_without_is_told_in_plain_words(tmp_path):
    store, warned = Store(str(tmp_path)), []
    store.write("crops", SCHEMAS["crops"].empty(), "show.e01", Provenance(demo=True))
    declaration = Declaration("clusters", Kind.JOIN, ("crops", "crop_embeddings"))
    empty = Result(SCHEMAS["clusters"].empty())
    made = PipelineAsset(declaration, lambda step: empty, "characters", frozenset(), {}, None)
    resources = SimpleNamespace(store=store, settings=load_settings())
    log = SimpleNamespace(warning=warned.append)
    materialize(made, Step(declaration, resources, None, log, ["show.e01", "show.e02"]))
    assert warned == [
        "clusters goes without some episodes' crops, crop_embeddings (show.e01, show.e02): materialize them first"
    ]


def test_other_weights_or_settings_join_every_show_again(shows):
    shows.weights = "other weights"
    assert [show for show, _ in shows.joined()] == ["one", "other"]
    shows.changes = {"core_tags__min_share": 0.123}
    assert [show for show, _ in shows.joined()] == ["one", "other"]
    assert shows.joined() == []
    shows.episodes.remove("other.e1")
    assert shows.joined() == []
    assert shows.store.read("core_tags")["show"].to_pylist() == ["one"]


@pytest.mark.parametrize("how", ["alone", "together", "together with one that fails"])
def test_dagster_sees_news_where_a_table_stays_equal_and_only_what_it_left_out_changes(tmp_path, how):
    store, reported = Store(str(tmp_path)), []
    unmeasured = {"show.e01/00000000": "broken"}

    def body(step: Step) -> Result:
        if step.episode == "show.e02" and how == "together with one that fails":
            raise ValueError("of this episode")
        return Result(SCHEMAS["detections"].empty(), {UNMEASURED: len(unmeasured)}, left_out=dict(unmeasured))

    declaration = Declaration("detections", Kind.PROJECTION, ())
    made = PipelineAsset(declaration, body, "stills", frozenset(), {}, None)
    resources = SimpleNamespace(store=store, settings=load_settings())
    context: Any = SimpleNamespace(
        resources=resources,
        log=None,
        asset_key=dg.AssetKey("detections"),
        add_asset_metadata=lambda *_, **__: None,
        log_event=lambda event: reported.append(event.tags["dagster/data_version"]),
    )
    episodes = ["show.e01", "show.e02"]

    def version() -> str:
        if how == "alone":
            told = framework._alone(made, Step(declaration, resources, "show.e01", None, episodes))
        elif how == "together":
            told = framework._together(made, context, episodes)
        else:
            with pytest.raises(dg.Failure):
                framework._together(made, context, episodes)
            return reported[-1]
        assert told.data_version is not None
        return told.data_version.value

    before = version()
    unmeasured.clear()
    after = version()
    assert before != after
    plain = store.pointer("detections", "show.e01")
    assert plain is not None
    if how != "together":
        assert after == plain.data_version  # as ever, where nothing was left out


@pytest.mark.parametrize("broken", [[], ["show.e02"]], ids=["nothing", "one episode"])
def test_the_checks_of_many_episodes_in_one_run_speak_of_each(tmp_path, broken):
    episodes, settings = ["show.e01", "show.e02"], load_settings()

    def body(step: Step) -> Result:
        row = {"image_id": f"{step.episode}/00000000", "concept": "a", "multiply": 1.0}
        return Result(SCHEMAS["multiplies"].table([row]), {}, {"is_fine": "broken" if step.episode in broken else ""})

    declaration = Declaration("multiplies", Kind.PROJECTION, ())
    checks = {"is_fine": Check("All is well.")}
    made = PipelineAsset(declaration, body, "set", frozenset(), checks, None)
    partitions = dg.DynamicPartitionsDefinition(name=partitions_name(settings))
    asset = framework.asset_definition(made, [], partitions, "1", None)
    store = Store(str(tmp_path))
    defs = dg.Definitions(assets=[asset], resources={"store": store, "settings": settings})
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(partitions.name, episodes)
        tags = {ASSET_PARTITION_RANGE_START_TAG: episodes[0], ASSET_PARTITION_RANGE_END_TAG: episodes[-1]}
        assert materialize_assets(defs, instance, settings, ["multiplies"], tags=tags) == []
        [said] = instance.get_event_records(dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION))
    assert store.episodes("multiplies") == episodes
    check = said.event_log_entry.asset_check_evaluation
    assert (check.passed, check.description) == (not broken, "show.e02: broken" if broken else "")


def test_what_is_registered_is_looked_up_as_often_for_many_episodes_in_one_run_as_for_few(tmp_path, monkeypatch):
    settings = load_settings()

    def body(step: Step) -> Result:
        row = {"image_id": f"{step.episode}/00000000", "concept": "a", "multiply": 1.0}
        return Result(SCHEMAS["multiplies"].table([row]), {"rows": 1})

    made = PipelineAsset(Declaration("multiplies", Kind.PROJECTION, ()), body, "set", frozenset(), {}, None)
    partitions = dg.DynamicPartitionsDefinition(name=partitions_name(settings))
    asset = framework.asset_definition(made, [], partitions, "1", None)
    lookups = []
    for number in (2, 12):
        store = Store(str(tmp_path / str(number)))
        defs = dg.Definitions(assets=[asset], resources={"store": store, "settings": settings})
        with dg.DagsterInstance.ephemeral() as instance:
            episodes, log = [f"show.e{it:02d}" for it in range(number)], instance.event_log_storage
            instance.add_dynamic_partitions(partitions.name, episodes)
            ask, asked = log.get_dynamic_partitions, []
            monkeypatch.setattr(
                log, "get_dynamic_partitions", lambda name, ask=ask, to=asked: to.append(1) or ask(name)
            )
            tags = {ASSET_PARTITION_RANGE_START_TAG: episodes[0], ASSET_PARTITION_RANGE_END_TAG: episodes[-1]}
            assert materialize_assets(defs, instance, settings, ["multiplies"], tags=tags) == []
            found = instance.fetch_materializations(dg.AssetKey("multiplies"), limit=99).records
            assert sorted(it.partition_key for it in found) == episodes
            assert all(it.asset_materialization.metadata["rows"].value == 1 for it in found)
        lookups.append(len(asked))
    assert lookups[0] == lookups[1]


def test_once_a_run_is_over_what_is_registered_is_looked_up_anew():
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("episodes", ["show.e01"])
        with framework._registered_once(instance, "episodes"), framework._registered_once(instance, "episodes"):
            instance.add_dynamic_partitions("episodes", ["show.e02"])
            assert instance.get_dynamic_partitions("episodes") == ["show.e01"]
            assert not instance.has_dynamic_partition("episodes", "show.e02")
        assert instance.get_dynamic_partitions("episodes") == ["show.e01", "show.e02"]
        assert instance.has_dynamic_partition("episodes", "show.e02")
