"""The graph as a whole: every asset is declared, described and versioned by exactly what it reads."""

from __future__ import annotations

from unittest.mock import Mock

import dagster as dg
import pytest

from dataset_pipeline.base.errors import PassingError
from dataset_pipeline.definitions import _episodes_in, build_definitions, demo_defs
from dataset_pipeline.graph.catalog import ASSETS, GROUPS, pipeline_asset
from dataset_pipeline.graph.declaration import DECLARATIONS, Kind, ancestors, behind, declared, is_joined
from dataset_pipeline.graph.project import LOCATIONS
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store, StoreError

EXTERNAL = ("video", "corrections")
READS_SETTINGS = {
    "shots": {"shots", "video", "frame_pass"},
    "keyframes": {"keyframes", "shots", "video"},
    "distinct_frames": {"distinct_frames", "frame_defects", "keyframes", "video"},
    "alignments": {"alignments", "video"},
    "panoramas": {"panoramas", "video"},
    "backdrops": {"backdrops", "video"},
    "repeated_frames": {"repeated_frames", "frame_defects"},
    "tracks": {"tracks", "video"},
    "detections": {"detections"},
    "crops": {"crops"},
    "details": {"details", "crops"},
    "crop_embeddings": {"crop_embeddings"},
    "reference_embeddings": {"references", "crops", "tag_scores", "tag_rules"},
    "character_gallery": {"character_gallery", "named_characters"},
    "clusters": {"clusters", "named_characters"},
    "quality_scores": {"quality_scores"},
    "tag_scores": {"tag_scores"},
    "text_lines": {"text_lines"},
    "burnt_in_text": {"burnt_in_text"},
    "core_tags": {"core_tags", "tag_rules", "tag_thresholds"},
    "tags": {"tags", "people", "tag_rules", "tag_thresholds", "detections"},
    "selection": {"selection", "people", "tag_thresholds", "detections"},
    "descriptions": {"descriptions"},
    "captions": {"captions", "tag_rules"},
    "training_images": {"training_images"},
    "concept_balance": {"concept_balance", "training_set", "selection", "tag_thresholds"},
    "training_set": {"training_set"},
    "clips": {"clips", "captions", "tag_rules", "training_set"},
    "training_clips": {"training_clips", "keyframes", "video"},
    "exported_set": {"exported_set", "tag_rules", "regularization", "generator"},
    "native_size": {"keyframes", "video"},
    "release_alignment": {"release_alignment"},
    "release_pairs": {"release_pairs", "video"},
    "sr_sources": {"sr_sources", "frame_defects", "keyframes", "video"},
    "sr_tiles": {"sr_tiles"},
    "sr_tile_scores": {"quality_scores"},
    "sr_selection": {"super_resolution", "sr_sources", "sr_selection", "tag_thresholds"},
    "sr_tile_embeddings": {"sr_set", "sr_selection"},
    "sr_sequences": {"super_resolution", "sr_sequences", "sr_set", "keyframes", "video"},
    "sr_set": {"sr_set", "sr_selection", "keyframes", "video"},
    "regularization_requests": {
        "regularization",
        "people",
        "generator",
        "captions",
        "tag_rules",
        "tag_thresholds",
    },
    "regularization_pictures": {"generator", "training_images"},
    "regularization_scores": {"quality_scores"},
    "regularization_detections": {"detections"},
    "regularization_tags": {"tag_scores"},
    "regularization_judgements": {"regularization", "regularization_selection", "descriptions"},
    "regularization_selection": {"regularization", "regularization_selection"},
    "regularization_points": {"regularization_regions", "regularization_selection"},
    "regularization_repairs": {"regularization_regions", "regularization_selection", "generator"},
    "regularization_composites": {"regularization_regions", "regularization_selection", "quality_scores"},
}
USES_MODELS = {
    "frame_embeddings": {"embedder"},
    "stitched_embeddings": {"embedder"},
    "tracks": {"detector", "identity"},
    "detections": {"detector"},
    "crop_embeddings": {"identity"},
    "reference_embeddings": {"detector", "identity", "tagger"},
    "character_gallery": {"identity"},
    "clusters": {"identity"},
    "quality_scores": {"quality"},
    "tag_scores": {"tagger"},
    "text_lines": {"text_detector"},
    "sr_tile_scores": {"quality"},
    "sr_tile_embeddings": {"embedder"},
    "regularization_scores": {"quality"},
    "regularization_detections": {"detector"},
    "regularization_tags": {"tagger"},
    "regularization_embeddings": {"embedder"},
    "regularization_points": {"pose"},
    "regularization_composites": {"quality"},
}
KINDS = {
    "video_probe": Kind.MEASURE,
    "shots": Kind.MEASURE,
    "tracks": Kind.MEASURE,
    "keyframes": Kind.MEASURE,
    "frame_embeddings": Kind.MEASURE,
    "distinct_frames": Kind.RENDER,
    "alignments": Kind.MEASURE,
    "panoramas": Kind.RENDER,
    "backdrops": Kind.RENDER,
    "stitched_embeddings": Kind.MEASURE,
    "stills": Kind.DECIDE,
    "repeated_frames": Kind.JOIN,
    "detections": Kind.MEASURE,
    "crops": Kind.RENDER,
    "details": Kind.RENDER,
    "crop_embeddings": Kind.MEASURE,
    "images": Kind.DECIDE,
    "matched_corrections": Kind.DECIDE,
    "quality_scores": Kind.MEASURE,
    "tag_scores": Kind.MEASURE,
    "text_lines": Kind.MEASURE,
    "screen_marks": Kind.MEASURE,
    "burnt_in_text": Kind.DECIDE,
    "reference_embeddings": Kind.JOIN,
    "character_gallery": Kind.JOIN,
    "clusters": Kind.PROJECTION,
    "core_tags": Kind.JOIN,
    "hand_edited_tags": Kind.DECIDE,
    "tags": Kind.PROJECTION,
    "selection": Kind.PROJECTION,
    "descriptions": Kind.PROJECTION,
    "captions": Kind.PROJECTION,
    "training_images": Kind.PROJECTION,
    "concept_balance": Kind.JOIN,
    "multiplies": Kind.PROJECTION,
    "training_set": Kind.JOIN,
    "clips": Kind.PROJECTION,
    "training_clips": Kind.PROJECTION,
    "exported_set": Kind.EXPORT,
    "native_size": Kind.MEASURE,
    "release_alignment": Kind.JOIN,
    "release_pairs": Kind.PROJECTION,
    "sr_sources": Kind.RENDER,
    "sr_tiles": Kind.DECIDE,
    "sr_tile_signals": Kind.MEASURE,
    "sr_tile_scores": Kind.MEASURE,
    "sr_selection": Kind.JOIN,
    "sr_tile_embeddings": Kind.JOIN,
    "sr_sequences": Kind.EXPORT,
    "sr_set": Kind.EXPORT,
    "regularization_requests": Kind.DECIDE,
    "regularization_pictures": Kind.RENDER,
    "regularization_scores": Kind.MEASURE,
    "regularization_detections": Kind.MEASURE,
    "regularization_tags": Kind.MEASURE,
    "regularization_embeddings": Kind.MEASURE,
    "regularization_judgements": Kind.MEASURE,
    "regularization_selection": Kind.DECIDE,
    "regularization_points": Kind.MEASURE,
    "regularization_repairs": Kind.RENDER,
    "regularization_composites": Kind.RENDER,
    "regularization_set": Kind.JOIN,
}
ON_DEMAND = {
    *("native_size", "release_alignment", "release_pairs"),
    *(
        "sr_sources",
        "sr_tiles",
        "sr_tile_signals",
        "sr_tile_scores",
        "sr_selection",
        "sr_tile_embeddings",
        "sr_set",
        "sr_sequences",
    ),
}
BY_CLASS = {name for name in KINDS if name.startswith("regularization_")} - {"regularization_set"}
ON_DEMAND |= {*BY_CLASS, "regularization_set"}
ON_DEMAND_OF_CLASSES = BY_CLASS | {"regularization_set"}
CLASSES = dg.StaticPartitionsDefinition(["girl", "scenery"])
OF_ALL_SOURCES = [
    {"name": "girl", "source": "captions", "class_word": "1girl"},
    {"name": "scenery", "source": "stills", "caption": "scenery"},
]
# These compare vectors, by the distance and the threshold that belong to the weights; they look at no picture.
COMPARES_VECTORS = {"character_gallery", "clusters"}
# These measure pictures that belong to no episode, and tiles that a join has chosen.
OF_NO_EPISODE = {"reference_embeddings", "sr_tile_embeddings", "regularization_composites"}


def versions(settings: Settings) -> dict[str, str | None]:
    graph = build_definitions(settings).resolve_asset_graph()
    return {node.key.path[-1]: node.code_version for node in graph.asset_nodes}


@pytest.fixture(scope="module")
def defaults() -> dict[str, str | None]:
    return versions(load_settings(models__pack="demo"))


@pytest.fixture(scope="module")
def graph():
    settings = load_settings(models__pack="demo", regularization__classes=OF_ALL_SOURCES)
    return build_definitions(settings).resolve_asset_graph()


def test_every_asset_has_a_schema_a_sentence_and_a_version(defaults):
    graph = build_definitions(load_settings(models__pack="demo")).resolve_asset_graph()
    for node in graph.asset_nodes:
        name = node.key.path[-1]
        assert (node.description or "").strip().endswith("."), name
        assert node.group_name != "default"
        if name != "status":
            assert name in SCHEMAS
            assert name in EXTERNAL or node.code_version


def test_assets_read_just_the_settings_and_models_they_declare():
    for name, declaration in DECLARATIONS.items():
        assert set(declaration.settings) == READS_SETTINGS.get(name, set()), name
        assert set(declaration.models) == USES_MODELS.get(name, set()), name


@pytest.mark.parametrize(
    ("key", "value", "touched"),
    [
        ("distinct_frames__similarity", 0.9, {"distinct_frames"}),
        ("video__hardware", "cuda", set()),
        ("crops__person_min_side_px", 300, {"crops", "reference_embeddings"}),
        ("details__target_px", 768, {"details"}),
        (
            "keyframes__working_short_side_px",
            200,
            {"keyframes", "distinct_frames", "training_clips", "sr_sources", "native_size", "sr_sequences"},
        ),
        # Shots are found on the frames that such a mode decodes.
        (
            "keyframes__mode",
            "interval",
            {"shots", "keyframes", "distinct_frames", "training_clips", "sr_sources", "native_size", "sr_sequences"},
        ),
        ("tags__max_tags", 5, {"tags"}),
        ("people__counts", "both", {"tags", "selection"}),
        ("tag_thresholds__general", 0.5, {"core_tags", "tags", "selection"}),
        ("concept_balance__max_images", 5, {"concept_balance"}),
        ("training_images__filter", "area", {"training_images"}),
        (
            "regularization__seed",
            3,
            {
                "regularization_requests",
                "regularization_selection",
                "regularization_judgements",
            },
        ),
        ("regularization_selection__hands_per_person", 3, {"regularization_selection", "regularization_judgements"}),
        ("generator__url", "http://elsewhere", set()),
        ("training_set__validation_share", 0.1, {"concept_balance", "training_set", "clips"}),
        ("clips__fps", 24, {"clips"}),
        ("training_clips__crf", 20, {"training_clips"}),
        ("sr_tiles__step_px", 300, {"sr_tiles"}),
        ("sr_selection__amount", 30.0, {"sr_selection", "sr_set", "sr_tile_embeddings"}),
        ("sr_set__filter", "box", {"sr_set", "sr_tile_embeddings", "sr_sequences"}),
        ("descriptions__url", "http://elsewhere/v1", set()),
        ("descriptions__prompt", "What is it?", {"descriptions"}),
        ("models__device", "cpu", set()),
        ("models__batch_size", 3, set()),
        ("store__root", "elsewhere", set()),
        ("exported_set__root", "elsewhere", set()),
    ],
)
def test_a_changed_setting_touches_just_the_assets_that_read_it(defaults, key, value, touched):
    changed = versions(load_settings(models__pack="demo", **{key: value}))
    assert {name for name in changed if changed[name] != defaults[name]} == touched


def test_other_weights_touch_just_the_assets_that_use_them(defaults):
    changed = versions(load_settings(models__pack="real"))
    # The detector of text is installed with the project: both packs have it. Points are found where that is wanted.
    untouched = {"text_lines", "regularization_points"}
    assert {name for name in changed if changed[name] != defaults[name]} == set(USES_MODELS) - untouched


def test_a_model_counts_where_it_is_asked_and_its_weights_are_needed_nowhere_else():
    points = DECLARATIONS["regularization_points"]
    assert points.under(load_settings()).models == ()
    wanted = load_settings(regularization_regions__enabled=True, regularization_regions__by="points")
    assert points.under(wanted).models == ("pose",)
    assert model_resources(wanted).keys() - model_resources(load_settings()).keys() == {"pose"}
    with pytest.raises(ValueError, match="models_if names pose, which models does not"):
        pipeline_asset(kind=Kind.MEASURE, reads=(), group="stills", models_if={"pose": bool})


def test_every_asset_is_of_its_kind():
    assert {name: declaration.kind for name, declaration in DECLARATIONS.items()} == KINDS


@pytest.mark.parametrize("name", KINDS)
def test_what_the_kind_of_an_asset_promises_holds(name, graph):
    kind, declaration = KINDS[name], DECLARATIONS[name]
    node = graph.get(dg.AssetKey(["demo", name]))
    joined = {read for read in declaration.reads if is_joined(read)}
    assert (node.partitions_def is None) == (kind in (Kind.JOIN, Kind.EXPORT))
    assert (node.automation_condition is None) == (kind is Kind.EXPORT or name in ON_DEMAND)
    in_one_run = node.backfill_policy == dg.BackfillPolicy.single_run()
    assert in_one_run == (kind is Kind.PROJECTION)
    if kind is Kind.PROJECTION:  # what reads no join itself reads another projection
        assert joined or any(KINDS.get(read) is Kind.PROJECTION for read in declaration.reads)
    if kind in (Kind.MEASURE, Kind.DECIDE, Kind.RENDER) and name not in ON_DEMAND:  # which no automation runs
        assert not any(is_joined(above) for above in ancestors(declaration))
    if kind is not Kind.MEASURE:
        assert not declaration.models or name in COMPARES_VECTORS | OF_NO_EPISODE
    assert f"dagster/kind/{kind.value}" in node.tags


def test_an_asset_of_an_unknown_group_is_refused():
    with pytest.raises(ValueError, match="'colours' is no group of assets"):
        pipeline_asset(kind=Kind.DECIDE, reads=["stills"], group="colours")


def test_the_graph_runs_measuring_first_and_joins_in_order():
    order = [(phase.joined, phase.projection) for phase in phases()]
    assert order == [(False, False), (True, False), (False, True), (True, False), (False, True), (True, False)]
    assert phases()[0].assets[0] == "video_probe"
    assert phases()[-1].assets == ("training_set", "exported_set")


def test_the_demo_shares_an_instance_without_sharing_keys_or_partitions():
    real = build_definitions(load_settings()).resolve_asset_graph()
    demo = build_definitions(load_settings(models__pack="demo")).resolve_asset_graph()
    assert not real.get_all_asset_keys() & demo.get_all_asset_keys()
    key, demo_key = dg.AssetKey("keyframes"), dg.AssetKey(["demo", "keyframes"])
    assert real.get(key).partitions_def != demo.get(demo_key).partitions_def


def test_what_is_made_on_demand_belongs_to_no_run_that_does_not_ask_for_it():
    assert {name for name, it in DECLARATIONS.items() if it.on_demand} == ON_DEMAND
    assert not ON_DEMAND.intersection(asset for phase in phases() for asset in phase.assets)
    reading = {it.name for it in DECLARATIONS.values() if not it.on_demand and ON_DEMAND.intersection(it.reads)}
    assert reading == {"exported_set"}  # which is made when it is asked for, of what is there
    settings = load_settings(sr_selection__metric="sharpness")
    needed = behind("sr_set", settings)
    assert [phase.assets for phase in phases(only=needed, graph=declared(settings))] == [
        ("video_probe", "keyframes", "sr_sources", "sr_tiles", "sr_tile_signals"),
        ("sr_selection", "sr_set"),
    ]
    assert behind("sr_set", load_settings()) - needed == {"sr_tile_scores"}
    pairs = load_settings(sr_sources__of="releases", sr_set__scales=[2], sr_selection__metric="sharpness")
    assert [phase.assets for phase in phases(only=behind("sr_set", pairs), graph=declared(pairs))] == [
        ("video_probe", "shots"),
        ("release_alignment",),
        ("release_pairs",),
        ("sr_sources", "sr_tiles", "sr_tile_signals"),
        ("sr_selection", "sr_set"),
    ]
    assert "native_size" in behind("sr_set", load_settings(sr_sources__on_upscaled="drop"))
    assert {"stills", "burnt_in_text"} <= behind("sr_set", load_settings(sr_sources__of="stills"))


def test_everything_but_exports_keeps_current_by_itself():
    graph = build_definitions(load_settings(models__pack="demo")).resolve_asset_graph()
    for node in graph.asset_nodes:
        condition, name = node.automation_condition, node.key.path[-1]
        assert (condition is None) == (name in {*EXTERNAL, "exported_set", "status", *ON_DEMAND}), name
        assert condition is None or condition.get_label() == "keep_current"


def test_joined_assets_wait_for_everything_upstream():
    assert ancestors(DECLARATIONS["character_gallery"]) == {
        "video", "video_probe", "keyframes", "frame_embeddings", "distinct_frames", "stills", "detections",
        "crops", "crop_embeddings",
        "details",  # where they are made
        "images", "tag_scores", "reference_embeddings",  # where there are references
        "shots", "tracks",  # where keyframes choose poses
        "alignments", "panoramas", "backdrops",
        "corrections", "matched_corrections",
    }  # fmt: skip
    run = {*EXTERNAL, *DECLARATIONS} - ON_DEMAND
    not_before = {"training_set", "clips", "training_clips", "exported_set"}
    assert ancestors(DECLARATIONS["training_set"]) == run - not_before
    assert ancestors(DECLARATIONS["exported_set"]) - ON_DEMAND == run - {"exported_set"}


def test_checks_are_named_as_statements_and_bear_the_episode():
    graph = build_definitions(load_settings(models__pack="demo")).resolve_asset_graph()
    checks = {key.name: graph.get(key) for key in graph.asset_check_keys}
    assert {"source_can_be_read", "every_frame_was_decoded", "every_image_has_a_caption"} <= checks.keys()
    assert [name for name in checks if checks[name].blocking] == ["every_image_has_a_caption"]
    for name, check in checks.items():
        asset = check.key.asset_key.path[-1]
        joined = asset == "status" or DECLARATIONS[asset].joined
        assert (check.partitions_def is None) == joined, name
        assert (check.description or "").endswith("."), name


def test_the_jobs_a_person_looks_for_are_there_and_nothing_runs_at_night_unasked():
    defs = build_definitions(load_settings(models__pack="demo"))
    names = {job.name for job in defs.resolve_all_job_defs()}
    assert {"measure_episode", "rebuild_set", "process_new_episodes", "export", "regularize"} <= names
    [nightly] = [*(defs.schedules or ())]
    assert nightly.default_status == dg.DefaultScheduleStatus.STOPPED


def test_projections_declare_no_checks_as_one_run_answers_for_many_episodes():
    assert [made.name for made in ASSETS.values() if made.declaration.projection and made.checks] == []


def test_every_asset_that_runs_a_model_over_pictures_says_which_it_could_not_measure():
    measuring = {
        "frame_embeddings",
        "stitched_embeddings",
        "detections",
        "crop_embeddings",
        "quality_scores",
        "tag_scores",
        "text_lines",
        "sr_tile_signals",
        "sr_tile_scores",
        "sr_tile_embeddings",
        "regularization_scores",
        "regularization_detections",
        "regularization_tags",
        "regularization_embeddings",
        "regularization_points",
    }
    checked = {made.name for made in ASSETS.values() if "every_picture_was_measured" in made.checks}
    assert checked == measuring


def test_groups_follow_the_flow_and_no_arrow_leads_back(graph):
    place = {node.key: GROUPS.index(node.group_name or "") for node in graph.asset_nodes}
    arrows = [(parent, node.key) for node in graph.asset_nodes for parent in node.parent_keys]
    back = [f"{one.path[-1]} -> {other.path[-1]}" for one, other in arrows if place[one] > place[other]]
    assert back == []
    assert {GROUPS[number] for number in place.values()} == set(GROUPS)
    entered = {place[other] for one, other in arrows if place[one] < place[other]}
    assert entered == set(range(1, GROUPS.index("status")))  # each is reached from one before it


def test_classes_are_partitions_and_what_is_made_by_class_has_them(graph):
    by_class = {name for name in KINDS if graph.get(dg.AssetKey(["demo", name])).partitions_def == CLASSES}
    assert by_class == BY_CLASS == {name for name, it in DECLARATIONS.items() if it.by_class}
    settings = load_settings(regularization__classes=OF_ALL_SOURCES)
    assert [
        (phase.by_class, len(phase.assets)) for phase in phases(only=ON_DEMAND_OF_CLASSES, graph=declared(settings))
    ] == [
        (True, 11),
        (False, 1),
    ]


def test_a_class_reads_the_tables_of_all_episodes_and_its_own(graph):
    requests, selection = (graph.get(dg.AssetKey(["demo", f"regularization_{it}"])) for it in ("requests", "selection"))
    assert {"training_set", "stills", "detections"} <= {key.path[-1] for key in requests.parent_keys}
    mapping = requests.partition_mappings[dg.AssetKey(["demo", "stills"])]
    assert isinstance(mapping, dg.AllPartitionMapping)
    assert dg.AssetKey(["demo", "regularization_scores"]) not in selection.partition_mappings


@pytest.mark.parametrize("error", [PassingError("away"), StoreError("no such bucket"), PermissionError("refused")])
def test_definitions_are_there_whatever_is_wrong_with_the_store(error: Exception, monkeypatch, caplog):
    monkeypatch.setattr(Store, "episodes", Mock(side_effect=error))
    assert _episodes_in(Store("memory://away")) == 0
    assert "memory://away cannot be listed" in caplog.text


def test_where_the_project_has_the_demo_s_models_no_other_location_defines_its_assets(monkeypatch: pytest.MonkeyPatch):
    assert list(demo_defs().assets or ())
    monkeypatch.setitem(LOCATIONS, "defs", LOCATIONS["demo_defs"])
    assert not list(demo_defs().assets or ())
