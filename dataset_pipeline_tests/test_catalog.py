"""The graph as a whole: every asset is declared, described and versioned by exactly what it reads."""

from __future__ import annotations

import dagster as dg
import pytest

from dataset_pipeline.assets.step import DECLARATIONS
from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.runs import phases
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.store.schemas import SCHEMAS

READS_SETTINGS = {
    "keyframes": {"keyframes"},
    "distinct_frames": {"distinct_frames", "keyframes"},
    "detections": {"detections"},
    "crops": {"crops"},
    "crop_embeddings": {"crop_embeddings"},
    "character_gallery": {"character_gallery"},
    "clusters": {"clusters"},
    "quality_scores": {"quality_scores"},
    "tag_scores": {"tag_scores"},
    "tags": {"tags"},
    "selection": {"selection"},
    "captions": {"captions"},
    "training_images": {"training_images"},
    "concept_balance": {"concept_balance"},
    "exported_set": {"exported_set"},
}
USES_MODELS = {
    "frame_embeddings": {"embedder"},
    "detections": {"detector"},
    "crop_embeddings": {"identity"},
    "character_gallery": {"identity"},
    "clusters": {"identity"},
    "quality_scores": {"quality"},
    "tag_scores": {"tagger"},
}


def versions(settings: Settings) -> dict[str, str | None]:
    graph = build_definitions(settings).resolve_asset_graph()
    return {node.key.path[-1]: node.code_version for node in graph.asset_nodes}


@pytest.fixture(scope="module")
def defaults() -> dict[str, str | None]:
    return versions(load_settings(models__pack="demo"))


def test_every_asset_has_a_schema_a_sentence_and_a_version(defaults):
    graph = build_definitions(load_settings(models__pack="demo")).resolve_asset_graph()
    for node in graph.asset_nodes:
        name = node.key.path[-1]
        assert name in SCHEMAS
        assert (node.description or "").strip().endswith("."), name
        assert node.group_name != "default"
        assert name == "video" or node.code_version


def test_assets_read_just_the_settings_and_models_they_declare():
    for name, declaration in DECLARATIONS.items():
        assert set(declaration.settings) == READS_SETTINGS.get(name, set()), name
        assert set(declaration.models) == USES_MODELS.get(name, set()), name


@pytest.mark.parametrize(
    ("key", "value", "touched"),
    [
        ("distinct_frames__similarity", 0.9, {"distinct_frames"}),
        ("crops__person_min_side_px", 300, {"crops"}),
        ("keyframes__working_short_side_px", 200, {"keyframes", "distinct_frames"}),
        ("tags__max_tags", 5, {"tags"}),
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
    assert {name for name in changed if changed[name] != defaults[name]} == set(USES_MODELS)


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
