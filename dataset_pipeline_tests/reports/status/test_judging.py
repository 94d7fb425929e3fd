"""What is said of every episode and asset: from the store what it was made from, from Dagster what is under way."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.materializing import inputs_of, is_current
from dataset_pipeline.graph.project import partitions_name
from dataset_pipeline.graph.step import Step
from dataset_pipeline.models.injected import NOT_PULLED
from dataset_pipeline.orchestration.runs import QUIET, phases
from dataset_pipeline.orchestration.unfinished import HOST_TAG
from dataset_pipeline.reports.status import attempts
from dataset_pipeline.reports.status.asset import markdown, status_asset, status_sensor
from dataset_pipeline.reports.status.judging import status_of
from dataset_pipeline.reports.status.states import JOINED, Cell, Status
from dataset_pipeline.settings import load_settings
from dataset_pipeline.store.pointers import pointer_path
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

EPISODES = ("a.e1", "a.e2")
WEIGHTS = {role: role[0] * 64 for role in ("embedder", "detector", "identity", "quality", "tagger", "text_detector")}
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
EVERYTHING = [asset for phase in phases() for asset in phase.assets]


@dataclass(frozen=True)
class Weights:
    """As much of a model's fingerprint as versions read."""

    sha256: str


class Project:
    """A store that `make` fills as the framework does, and an instance that knows the episodes."""

    def __init__(self, store: Store, instance: dg.DagsterInstance) -> None:
        self.store, self.instance = store, instance

    def make(
        self, *assets: str, rows: list[dict] | None = None, numbers: dict[str, Any] | None = None, **changes: Any
    ) -> None:
        """Write tables of all episodes, made from what there is now."""
        settings = load_settings(**changes)
        for asset in assets:
            declaration = DECLARATIONS[asset]
            for episode in (None,) if declaration.joined else EPISODES:
                resources = SimpleNamespace(store=self.store, settings=settings)
                step = Step(declaration, resources, episode, None, EPISODES)
                sections = declaration.settings
                provenance = Provenance(
                    code_version=declaration.code_version(settings, WEIGHTS),
                    settings={name: getattr(settings, name).counted() for name in sections},
                    models=[{"role": role, "sha256": WEIGHTS[role]} for role in declaration.models],
                    inputs=inputs_of(step).versions,
                    numbers=numbers or {},
                )
                mine = [row for row in rows or [] if episode is None or episode_of(row["image_id"]) == episode]
                table = SCHEMAS[asset].table(mine)
                self.store.write(asset, table, episode, provenance)

    def status(self, weights: dict[str, str] | None = None, **changes: Any) -> Status:
        return status_of(load_settings(**changes), self.store, self.instance, weights or WEIGHTS)

    def runs(self, asset: str, episode: str | None) -> bool:
        """Whether a run would make the table again."""
        models = {role: SimpleNamespace(fingerprint=lambda role=role: Weights(WEIGHTS[role])) for role in WEIGHTS}
        resources = SimpleNamespace(store=self.store, settings=load_settings(), **models)
        return not is_current(Step(DECLARATIONS[asset], resources, episode, None, EPISODES))

    def states(self, status: Status) -> dict[str, set[str]]:
        return {asset: {cell.state for cell in cells.values()} for asset, cells in status.cells.items()}


def project(root: Path) -> Project:
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(partitions_name(load_settings()), list(EPISODES))
    return Project(Store(str(root / "store")), instance)


@pytest.fixture
def new(tmp_path: Path) -> Project:
    """Two registered episodes, nothing made of them."""
    made = project(tmp_path)
    for episode in EPISODES:
        made.store.write("video", SCHEMAS["video"].empty(), episode, Provenance(path=__file__, fingerprint=episode))
    return made


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("everything")
    made = project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda file: None)
        for episode in EPISODES:
            made.store.write("video", SCHEMAS["video"].empty(), episode, Provenance(path=__file__, fingerprint=episode))
        made.make(*EVERYTHING)
    return root


@pytest.fixture
def whole(everything: Path, tmp_path: Path) -> Project:
    """Everything made of two episodes."""
    shutil.copytree(everything / "store", tmp_path / "store")
    return project(tmp_path)


# ------------------------------------------------------------------------------------------------ the store


def test_what_was_made_from_what_is_there_now_is_fresh(whole):
    status = whole.status()
    assert list(status.cells) == EVERYTHING
    assert all(states == {"fresh"} for states in whole.states(status).values())
    assert status.worst == "fresh"
    assert status.problems() == status.reasons() == []
    assert status.counts()["fresh"] == sum(1 if DECLARATIONS[asset].joined else 2 for asset in EVERYTHING)


def test_a_changed_setting_is_named_with_both_values_and_what_follows_waits(whole):
    status = whole.status(distinct_frames__similarity=0.9)
    assert status.cells["distinct_frames"]["a.e1"] == Cell("stale", "[distinct_frames] similarity 0.95 -> 0.9")
    states = whole.states(status)
    assert states["keyframes"] == states["frame_embeddings"] == {"fresh"}
    assert status.cells["crops"]["a.e2"] == Cell("waiting", "after distinct_frames")
    assert status.cells["training_set"][JOINED] == Cell("waiting", "after distinct_frames")
    assert str(status.reasons()[0]) == "distinct_frames: 2 episodes stale: [distinct_frames] similarity 0.95 -> 0.9"


def test_of_a_changed_list_the_difference_is_named(whole):
    before = load_settings().detections.kinds
    status = whole.status(detections__kinds=[*before[1:], "eye"])
    assert status.cells["detections"]["a.e1"].why == f'[detections] kinds +"eye" -{json.dumps(before[0])}'


def test_a_reordered_list_is_given_whole(whole):
    before = load_settings().captions.order
    status = whole.status(captions__order=before[::-1])
    assert "order [" in status.cells["captions"]["a.e1"].why
    assert "->" in status.cells["captions"]["a.e1"].why


def test_settings_that_no_table_depends_on_make_nothing_stale(whole):
    status = whole.status(exported_set__root="elsewhere", models__batch_size=1, models__device="cpu")
    assert status.worst == "fresh"


def test_of_changed_settings_only_what_counts_is_named(whole):
    before = load_settings().video.hardware
    other = "none" if before == "cuda" else "cuda"
    status = whole.status(video__hardware=other, keyframes__every_s=7.0)
    assert "every_s" in status.cells["keyframes"]["a.e1"].why
    assert "hardware" not in status.cells["keyframes"]["a.e1"].why


def test_changed_files_of_a_section_are_told(whole, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "implications.csv").write_text("tag,implies\ndress,clothes\n")
    status = whole.status(tag_rules__folder=str(tmp_path / "mine"))
    assert status.cells["tags"]["a.e1"] == Cell("stale", "[tag_rules] its files")


def test_other_weights_name_the_role(whole):
    status = whole.status(WEIGHTS | {"embedder": "0" * 64})
    assert status.cells["frame_embeddings"]["a.e1"] == Cell("stale", "embedder: other weights")
    assert status.cells["detections"]["a.e1"] == Cell("waiting", "after frame_embeddings")


def test_weights_that_were_not_pulled_are_a_note_and_make_nothing_stale(whole):
    status = whole.status(WEIGHTS | {"tagger": NOT_PULLED, "quality": NOT_PULLED})
    assert status.worst == "fresh"
    assert status.problems() == [
        "the weights of quality, tagger are not here: `dataset-pipeline models pull` fetches them"
    ]


def test_a_raised_algorithm_number_is_a_newer_version_of_the_step(whole, monkeypatch):
    older = DECLARATIONS["crops"]
    newer = type(older)(**{**vars(older), "algorithm": older.algorithm + 1})
    monkeypatch.setitem(DECLARATIONS, "crops", newer)
    assert whole.status().cells["crops"]["a.e1"] == Cell("stale", "newer version of the step")
    both = whole.status(crops__person_min_side_px=161).cells["crops"]["a.e1"].why
    assert both.startswith("[crops] person_min_side_px ")
    assert both.endswith(" -> 161; newer version of the step")


def test_a_table_made_anew_makes_its_readers_stale_and_no_others(whole):
    whole.make("crops", rows=[{"image_id": "a.e1/00000001#person-0-0-9-9"}])
    status = whole.status()
    assert status.cells["crop_embeddings"]["a.e1"] == Cell("stale", "crops changed")
    assert status.cells["crop_embeddings"]["a.e2"] == Cell("fresh")
    assert status.cells["training_set"][JOINED] == Cell("stale", "crops changed")
    assert status.cells["character_gallery"][JOINED] == Cell("stale", "crops changed")
    assert status.cells["clusters"]["a.e2"] == Cell("waiting", "after crop_embeddings, images")


def test_news_of_one_show_makes_no_episode_of_another_stale(whole):
    row = {"show": "b", "character": "mina", "tags": ["long_hair"]}
    whole.make("core_tags", rows=[row])
    assert {cell.state for cell in whole.status().cells["tags"].values()} == {"fresh"}
    whole.make("core_tags", rows=[row, {"show": "a", "character": "mina", "tags": ["long_hair"]}])
    assert set(whole.status().cells["tags"].values()) == {Cell("stale", "core_tags changed")}


def test_a_replaced_file_makes_its_probe_stale(whole):
    pointer = whole.store.pointer("video", "a.e1")
    whole.store.write("video", SCHEMAS["video"].empty(), "a.e1", replace(pointer.provenance, fingerprint="another"))
    status = whole.status()
    assert status.cells["video_probe"]["a.e1"] == Cell("stale", "video changed")
    assert status.cells["keyframes"]["a.e1"] == Cell("waiting", "after video_probe")


def test_an_episode_that_nothing_was_made_of_misses_its_first_table_first(new):
    status = new.status()
    assert status.cells["video_probe"]["a.e1"] == Cell("missing", "never made")
    assert status.cells["tag_scores"]["a.e1"] == Cell("missing", "its inputs are missing: video_probe")
    assert status.worst == "missing"


def test_an_arriving_episode_lets_the_joined_assets_wait(whole):
    whole.instance.add_dynamic_partitions(partitions_name(load_settings()), ["a.e3"])
    whole.store.write(
        "video", SCHEMAS["video"].empty(), "a.e3", Provenance.from_json({"path": "", "fingerprint": "a.e3"})
    )
    status = whole.status()
    assert status.cells["character_gallery"][JOINED] == Cell("waiting", "after video_probe")
    assert status.cells["clusters"]["a.e1"] == Cell("waiting", "after video_probe")
    assert status.cells["crops"]["a.e1"] == Cell("fresh")


def test_a_damaged_pointer_and_a_table_that_is_cut_off_are_missing(whole, tmp_path):
    (tmp_path / "store" / pointer_path("crops", "a.e1")).write_text('{"file": ')
    table = whole.store.local_path(whole.store.pointer("keyframes", "a.e2").file)
    table.write_bytes(table.read_bytes()[:-3])
    whole.store.local_path(whole.store.pointer("training_set").file).unlink()
    status = whole.status()
    assert status.cells["crops"]["a.e1"] == Cell("missing", "its pointer is damaged: materialize it again")
    assert status.cells["keyframes"]["a.e2"] == Cell("missing", "its table is gone or cut off: materialize it again")
    assert status.cells["training_set"][JOINED].state == "missing"
    assert status.cells["crop_embeddings"]["a.e1"] == Cell("waiting", "after crops")
    assert status.cells["crop_embeddings"]["a.e2"] == Cell("waiting", "after keyframes")


def without_a_picture(project: Project, asset: str) -> None:
    path = project.store.put_picture(asset, "a.e1", "a.e1/00000001", b"a picture", "png")
    project.make(asset, rows=[{"image_id": "a.e1/00000001", "path": path}])
    later = [name for name in EVERYTHING if name not in (asset, *before(asset))]
    project.make(*later)
    project.store.local_path(path).unlink()


def before(asset: str) -> set[str]:
    reads = [read for read in DECLARATIONS[asset].reads if read in DECLARATIONS]
    return {*reads, *(name for read in reads for name in before(read))}


def with_other_columns(project: Project) -> None:
    pointer = project.store.local_path(pointer_path("crops", "a.e1"))
    told = json.loads(pointer.read_text())
    table = project.store.read("crops", "a.e1").append_column("mood", pa.nulls(0, pa.string()))
    pq.write_table(table, project.store.local_path(told["file"]))


TAMPERED = {
    "nothing": ("crops", "fresh", "", lambda project: None),
    "picture": ("crops", "stale", "1 picture is gone", lambda project: without_a_picture(project, "crops")),
    "frame": ("keyframes", "stale", "1 picture is gone", lambda project: without_a_picture(project, "keyframes")),
    "unreadable": (
        "distinct_frames",
        "stale",
        "2 pictures could not be read: tried again",
        lambda project: project.make("distinct_frames", numbers={"unreadable": 2}),
    ),
    "unanswered": (
        "descriptions",
        "stale",
        "3 images unanswered: asked again",
        lambda project: project.make("descriptions", numbers={"unanswered": 3}),
    ),
    "source": (
        "video_probe",
        "stale",
        "the source could not be read: tried again",
        lambda project: project.make("video_probe", numbers={"readable": False}),
    ),
    "columns": (
        "crops",
        "missing",
        "its table has the columns of another version: materialize it again",
        with_other_columns,
    ),
    "cut off": (
        "crops",
        "missing",
        "its table is gone or cut off: materialize it again",
        lambda project: project.store.local_path(project.store.pointer("crops", "a.e1").file).write_bytes(b"PAR1"),
    ),
    "pointer": (
        "crops",
        "missing",
        "its pointer is damaged: materialize it again",
        lambda project: project.store.local_path(pointer_path("crops", "a.e1")).write_text("{"),
    ),
}


@pytest.mark.parametrize("change", TAMPERED)
def test_status_and_a_run_agree_on_what_is_stale(whole, change):
    asset, state, why, tamper = TAMPERED[change]
    tamper(whole)
    cells = whole.status().cells
    assert cells[asset]["a.e1"] == Cell(state, why)
    for name in (asset, "captions", "selection", "quality_scores", "crop_embeddings"):
        if cells[name]["a.e1"].state in ("fresh", "stale", "missing"):
            assert whole.runs(name, "a.e1") == (cells[name]["a.e1"].state != "fresh"), name


def test_nothing_waits_for_what_may_be_unreadable_for_good(whole):
    whole.make("video_probe", numbers={"readable": False})
    status = whole.status()
    assert {cell.state for cell in status.cells["video_probe"].values()} == {"stale"}
    assert status.counts()["stale"] == 2
    assert status.counts()["waiting"] == 0


def test_of_a_picture_that_is_gone_only_the_asset_that_made_it_is_stale(whole):
    path = whole.store.put_picture("crops", "a.e1", "a.e1/00000001#person-0-0-9-9", b"a picture", "png")
    row = {"image_id": "a.e1/00000001#person-0-0-9-9", "path": path}
    whole.make("crops", rows=[row])
    whole.make(*[name for name in EVERYTHING if name not in ("crops", "selection", *before("crops"))])
    whole.make("selection", rows=[row])
    whole.make(*[name for name in EVERYTHING if "selection" in before(name)])
    assert whole.status().worst == "fresh"
    whole.store.local_path(path).unlink()
    cells = whole.status().cells
    assert cells["crops"]["a.e1"] == Cell("stale", "1 picture is gone")
    assert cells["selection"]["a.e1"] == Cell("waiting", "after crops")
    assert cells["crops"]["a.e2"] == Cell("fresh")
    # Made again under another name, as other bytes of equal pixels are: whoever names the old one is stale then.
    whole.make("crops", rows=[row | {"path": ""}])
    cells = whole.status().cells
    assert cells["selection"]["a.e1"] == Cell("stale", "1 picture is gone that other assets made")
    assert whole.runs("selection", "a.e1")


def test_a_source_that_is_gone_and_damage_are_named_by_episode(whole, tmp_path):
    gone = Provenance(path=str(tmp_path / "a.e2.mkv"), fingerprint="a.e2")
    whole.store.write("video", SCHEMAS["video"].empty(), "a.e2", gone)
    pointer = whole.store.pointer("video_probe", "a.e1")
    faults = {"source_can_be_read": "cut off", "source_is_undamaged": "cut off"}
    whole.store.write("video_probe", SCHEMAS["video_probe"].empty(), "a.e1", replace(pointer.provenance, faults=faults))
    status = whole.status()
    assert status.gone == {"a.e2": str(tmp_path / "a.e2.mkv")}
    assert status.faults == {"a.e1": ["cut off"]}
    assert len(status.problems()) == 2
    assert status.worst == "fresh"


CLUSTER = {"cluster__broker": "redis://head:6379/0", "cluster__database": "postgresql://me:word@head:5432/show"}


@pytest.mark.parametrize(
    ("changes", "command"), [({}, "`dataset-pipeline run`"), (CLUSTER, "`dataset-pipeline run --submit`")]
)
def test_episodes_that_the_instance_does_not_know_are_mentioned(whole, changes, command):
    with dg.DagsterInstance.ephemeral() as another:
        status = status_of(load_settings(**changes), whole.store, another, WEIGHTS)
    assert status.episodes == ()
    assert "holds 2 episodes that this Dagster instance does not know, a.e1 the first" in status.notes[0]
    assert f"{command} on their sources makes them known" in status.notes[0]


def test_the_plain_form_lists_what_is_not_fresh(whole):
    told = json.loads(json.dumps(whole.status(tags__max_tags=5).as_dict()))
    assert told["counts"]["stale"] == told["assets"]["tags"]["stale"] == 2
    assert {"asset": "training_set", "episode": None, "state": "waiting", "why": "after tags", "host": ""} in told[
        "open"
    ]
    assert not any(cell["asset"] == "crops" for cell in told["open"])


# ------------------------------------------------------------------------------------------------ runs


def graph(**bodies) -> dg.Definitions:
    """Assets of the real names and dependencies with other bodies: a function of the episode, which may fail."""
    partitions = dg.DynamicPartitionsDefinition(name=partitions_name(load_settings()))

    def made(name: str, body) -> dg.AssetsDefinition:
        declaration = DECLARATIONS[name]
        many = {"backfill_policy": dg.BackfillPolicy.single_run()} if declaration.projection else {}

        @dg.asset(
            name=name,
            deps=[read for read in declaration.reads if read in bodies],
            partitions_def=None if declaration.joined else partitions,
            retry_policy=dg.RetryPolicy(max_retries=1, delay=0),
            **many,
        )
        def asset(context) -> dg.MaterializeResult:
            body(context)
            return dg.MaterializeResult()

        return asset

    return dg.Definitions(assets=[made(name, body) for name, body in bodies.items()])


def execute(project: Project, defs: dg.Definitions, **partition) -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    job.execute_in_process(instance=project.instance, run_config=QUIET, raise_on_error=False, **partition)


def well(context) -> None: ...


def bad(context) -> None:
    raise ValueError("clip.mkv cannot be read: bring it back\nand a second line")


def test_a_failed_step_is_told_by_the_first_line_of_its_error(whole):
    execute(whole, graph(keyframes=well, frame_embeddings=bad, distinct_frames=well), partition_key="a.e1")
    status = whole.status()
    assert status.cells["keyframes"]["a.e1"] == Cell("fresh")
    failed = status.cells["frame_embeddings"]["a.e1"]
    assert failed == Cell("failed", "ValueError: clip.mkv cannot be read: bring it back")
    assert status.cells["distinct_frames"]["a.e1"] == Cell("waiting", "after frame_embeddings")
    assert status.cells["frame_embeddings"]["a.e2"] == Cell("fresh")
    assert status.cells["character_gallery"][JOINED] == Cell("fresh"), "joined assets go on without failed episodes"
    assert status.worst == "failed"
    assert status.problems() == ["frame_embeddings: a.e1 failed: ValueError: clip.mkv cannot be read: bring it back"]


def test_what_was_made_after_a_failure_is_not_failed(whole):
    for body in (bad, well):
        execute(whole, graph(frame_embeddings=body), partition_key="a.e1")
    assert whole.status().worst == "fresh"


def test_a_step_that_was_right_on_its_second_try_is_not_failed(whole):
    tries = []

    def right_at_last(context) -> None:
        tries.append(context.retry_number)
        if context.retry_number == 0:
            raise OSError("the disk is busy")

    execute(whole, graph(frame_embeddings=right_at_last), partition_key="a.e1")
    assert tries == [0, 1]
    assert whole.status().worst == "fresh"


def test_each_of_several_failed_steps_has_its_own_error(whole):
    def refuse(context) -> None:
        raise dg.Failure("no weights: pull them", allow_retries=False)

    execute(whole, graph(crops=well, quality_scores=refuse, tag_scores=bad), partition_key="a.e1")
    status = whole.status()
    assert status.cells["quality_scores"]["a.e1"] == Cell("failed", "no weights: pull them")
    assert status.cells["tag_scores"]["a.e1"].why.startswith("ValueError: clip.mkv")


def test_of_a_run_over_many_episodes_only_those_not_made_have_failed(whole):
    def second_fails(context) -> None:
        assert list(context.partition_keys) == list(EPISODES)
        context.log_event(dg.AssetMaterialization(asset_key=context.asset_key, partition="a.e1"))
        raise dg.Failure("tags failed for 1 of 2 episodes", allow_retries=False)

    execute(whole, graph(tags=second_fails, captions=well), tags={RANGE_START: "a.e1", RANGE_END: "a.e2"})
    status = whole.status()
    assert status.cells["tags"] == {"a.e1": Cell("fresh"), "a.e2": Cell("failed", "tags failed for 1 of 2 episodes")}
    assert status.cells["captions"] == {"a.e1": Cell("fresh"), "a.e2": Cell("waiting", "after tags")}


def test_a_joined_asset_can_fail_and_be_made_again(whole):
    execute(whole, graph(character_gallery=bad))
    failed = whole.status()
    assert failed.cells["character_gallery"][JOINED].state == "failed"
    assert failed.cells["clusters"]["a.e1"] == Cell("waiting", "after character_gallery")
    assert str(failed.reasons()[0]).startswith("character_gallery: failed: ValueError")
    execute(whole, graph(character_gallery=well))
    assert whole.status().worst == "fresh"


def test_a_blocking_check_fails_what_would_have_come_after(whole):
    partitions = dg.DynamicPartitionsDefinition(name=partitions_name(load_settings()))
    spec = dg.AssetCheckSpec("is_sound", asset="keyframes", blocking=True)

    @dg.asset(partitions_def=partitions, check_specs=[spec])
    def keyframes() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="is_sound", passed=False)])

    @dg.asset(partitions_def=partitions, deps=[keyframes])
    def frame_embeddings() -> None: ...

    execute(whole, dg.Definitions(assets=[keyframes, frame_embeddings]), partition_key="a.e1")
    status = whole.status()
    assert status.cells["keyframes"]["a.e1"] == Cell("fresh")
    assert status.cells["frame_embeddings"]["a.e1"].state == "failed"
    assert "is_sound" in status.cells["frame_embeddings"]["a.e1"].why


def planned_run(project: Project, **arguments: Any) -> dg.DagsterRun:
    job = graph(keyframes=well, frame_embeddings=well).resolve_implicit_global_asset_job_def()
    return project.instance.create_run_for_job(job, **arguments)


def test_a_run_that_was_killed_and_marked_failed_counts_as_failed(whole):
    run = planned_run(whole, tags={"dagster/partition": "a.e1"})
    whole.instance.report_run_failed(run, "the machine went down")
    status = whole.status()
    assert status.cells["keyframes"]["a.e1"] == Cell("failed", "the machine went down")
    assert status.cells["frame_embeddings"]["a.e1"] == Cell("waiting", "after keyframes")
    assert status.cells["keyframes"]["a.e2"] == Cell("fresh")


def test_of_what_failed_on_another_machine_that_is_named(whole):
    run = planned_run(whole, tags={"dagster/partition": "a.e1", HOST_TAG: "gpu-2"})
    whole.instance.report_run_failed(run, "its sources are not there")
    failed = whole.status().cells["keyframes"]["a.e1"]
    assert failed == Cell("failed", "its sources are not there (on gpu-2)")


def test_a_canceled_run_leaves_what_the_store_says(whole):
    whole.instance.report_run_canceled(planned_run(whole, tags={"dagster/partition": "a.e1"}))
    assert whole.status().worst == "fresh"


@pytest.mark.parametrize("event", ["PIPELINE_START", "PIPELINE_CANCELING"])
def test_what_a_run_is_to_make_is_queued_and_then_running_until_it_is_made(whole, event):
    run = planned_run(whole, tags={RANGE_START: "a.e1", RANGE_END: "a.e2", HOST_TAG: "gpu-2"})
    for begun in (None, "PIPELINE_STARTING"):  # it may wait for a worker then
        if begun:
            whole.instance.report_dagster_event(dg.DagsterEvent(begun, run.job_name), run.run_id)
        queued = whole.status().cells["keyframes"]
        assert queued == {episode: Cell("queued", f"run {run.run_id[:8]}") for episode in EPISODES}
    whole.instance.report_dagster_event(dg.DagsterEvent(event, run.job_name), run.run_id)
    status = whole.status()
    for asset in ("keyframes", "frame_embeddings"):
        assert {cell.state for cell in status.cells[asset].values()} == {"running"}
        assert f"{asset}: 2 episodes running: on gpu-2" in map(str, status.reasons())
        assert f"run {run.run_id[:8]} on gpu-2" in status.cells[asset]["a.e1"].why
    assert status.cells["crops"]["a.e1"] == Cell("waiting", "after keyframes")
    assert status.cells["training_set"][JOINED].state == "waiting"


def test_errors_are_found_beyond_the_first_page_of_failures(whole, monkeypatch):
    monkeypatch.setattr(attempts, "PAGE", 1)
    for episode in EPISODES:
        execute(whole, graph(keyframes=bad), partition_key=episode)
    whys = {cell.why for cell in whole.status().cells["keyframes"].values()}
    assert whys == {"ValueError: clip.mkv cannot be read: bring it back"}


def test_a_project_on_demo_models_looks_at_its_own_episodes_and_runs(whole):
    execute(whole, graph(keyframes=bad), partition_key="a.e1")
    settings = load_settings(models__pack="demo")
    whole.instance.add_dynamic_partitions(partitions_name(settings), ["a.e1"])
    status = status_of(settings, whole.store, whole.instance, WEIGHTS)
    assert status.episodes == ("a.e1",)
    assert status.cells["keyframes"]["a.e1"] == Cell("fresh")


# ------------------------------------------------------------------------------------------------ in the web UI


def test_the_summary_gives_counts_reasons_and_a_bounded_number_of_rows(whole):
    text = markdown(whole.status(crops__person_min_side_px=161))
    # Crops of both episodes, and references, of which heads are cut as of them.
    assert "3 stale" in text.splitlines()[0]
    assert "| crops | | 2 |" in text
    assert "[crops] person_min_side_px" in text
    many = Status(
        "store",
        tuple(f"a.e{number:04}" for number in range(1000)),
        {"crops": {f"a.e{number:04}": Cell("failed", f"error {number} | with a bar") for number in range(1000)}},
        {},
        {},
        [],
    )
    lines = markdown(many).splitlines()
    assert len(lines) < 120
    assert lines[-1] == "- … and 940 more"


def test_the_status_asset_shows_the_summary_and_plots_the_counts(whole):
    resources = {"settings": load_settings(tags__max_tags=5, models__pack="demo"), "store": whole.store}
    whole.instance.add_dynamic_partitions("episodes_demo", list(EPISODES))
    made = status_asset(["demo"])
    result = dg.materialize([made], resources=resources, instance=whole.instance, run_config=QUIET)
    [event] = result.get_asset_materialization_events()
    assert event.asset_key == dg.AssetKey(["demo", "status"])
    metadata = event.materialization.metadata
    assert metadata["stale"].value > 0
    assert "[tags] max_tags" in metadata["summary"].value
    assert "status" not in DECLARATIONS


def test_the_sensor_reports_the_summary_only_when_it_has_changed(whole):
    def look(cursor: str | None, **changes) -> Any:
        sensor = status_sensor(load_settings(**changes), whole.store, dg.AssetKey("status"), WEIGHTS)
        return sensor(dg.build_sensor_context(instance=whole.instance, cursor=cursor))

    first = look(None)
    [event] = first.asset_events
    assert event.asset_key == dg.AssetKey("status")
    assert event.metadata["fresh"].value == whole.status().counts()["fresh"]
    assert isinstance(look(first.cursor), dg.SkipReason)
    changed = look(first.cursor, tags__max_tags=5)
    assert changed.asset_events[0].metadata["stale"].value == 2
    assert not changed.run_requests


def test_every_asset_of_the_graph_has_its_cells(whole):
    graph = build_definitions(load_settings()).resolve_asset_graph()
    made = {node.key.path[-1] for node in graph.asset_nodes} - {"video", "corrections", "status"}
    assert made - {name for name, it in DECLARATIONS.items() if it.on_demand} == set(whole.status().cells)
