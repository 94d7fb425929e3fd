"""What an asset reads may depend on the settings: then the graph of a project has just the edges that it needs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import dagster as dg
import pytest

from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.graph.catalog import ASSETS, pipeline_asset
from dataset_pipeline.graph.declaration import DECLARATIONS, Kind, ancestors, declared
from dataset_pipeline.graph.materializing import inputs_of
from dataset_pipeline.graph.step import Step
from dataset_pipeline.orchestration.runs import due, phases
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store


def by_shot(settings: Settings) -> bool:
    return settings.keyframes.mode == "shot"


@pytest.fixture
def reading_shots(monkeypatch: pytest.MonkeyPatch) -> None:
    """`stills` that read `shots` too where keyframes are sought shot by shot."""
    declaration = replace(DECLARATIONS["stills"], reads=("distinct_frames", "shots"), reads_if=(("shots", by_shot),))
    monkeypatch.setitem(DECLARATIONS, "stills", declaration)
    monkeypatch.setitem(ASSETS, "stills", replace(ASSETS["stills"], declaration=declaration))


PLAIN, READING = {"keyframes__mode": "iframes"}, {"keyframes__mode": "shot"}


def test_an_asset_reads_what_its_settings_ask_for(reading_shots):
    assert declared(load_settings(**PLAIN))["stills"].reads == ("distinct_frames",)
    assert declared(load_settings(**READING))["stills"].reads == ("distinct_frames", "shots")
    for name, it in declared(load_settings(**PLAIN)).items():
        assert it.under(load_settings(**READING)) == it, name  # settled for good


def test_dagster_sees_the_edge_where_it_is_read_and_no_other(reading_shots):
    for changes, parents in ((PLAIN, {"distinct_frames"}), (READING, {"distinct_frames", "shots"})):
        graph = build_definitions(load_settings(models__pack="demo", **changes)).resolve_asset_graph()
        node = graph.get(dg.AssetKey(["demo", "stills"]))
        assert {key.path[-1] for key in node.parent_keys} == parents


def test_what_is_not_read_is_neither_an_input_nor_an_ancestor_nor_to_be_had(reading_shots, tmp_path):
    def step(**changes: str) -> Step:
        resources = SimpleNamespace(store=Store(str(tmp_path)), settings=load_settings(**changes))
        return Step(DECLARATIONS["stills"], resources, "show.e01", None, ["show.e01"])

    assert inputs_of(step(**PLAIN)).versions.keys() == {"distinct_frames"}
    assert inputs_of(step(**READING)).versions.keys() == {"distinct_frames", "shots"}
    assert "shots" not in step(**PLAIN).ancestors
    assert "shots" in step(**READING).ancestors
    with pytest.raises(LookupError, match="stills does not declare that it reads shots"):
        step(**PLAIN).read("shots")


def test_the_version_of_the_code_knows_nothing_of_what_might_be_read():
    plain = DECLARATIONS["stills"]
    reading = replace(plain, reads=(*plain.reads, "shots"), reads_if=(("shots", by_shot),))
    settings = load_settings(**PLAIN)
    assert reading.code_version(settings, {}) == plain.code_version(settings, {})
    assert reading.under(settings) == plain


def test_what_is_not_read_makes_nothing_stale_and_what_is_read_does(reading_shots, tmp_path):
    store = Store(str(tmp_path))
    instance = dg.DagsterInstance.ephemeral()
    for changes, expected in ((PLAIN, set()), (READING, {"stills"})):
        settings = load_settings(**changes)
        for asset in ("distinct_frames", "shots", "stills"):
            key = dg.AssetKey(asset)
            instance.report_runless_asset_event(dg.AssetMaterialization(asset_key=key, partition="show.e01"))
        store.write("distinct_frames", SCHEMAS["distinct_frames"].empty(), "show.e01", Provenance())
        store.write("shots", SCHEMAS["shots"].empty(), "show.e01", Provenance())
        step = Step(
            DECLARATIONS["stills"], SimpleNamespace(store=store, settings=settings), "show.e01", None, ["show.e01"]
        )
        made = Provenance(code_version=step.code_version, inputs=inputs_of(step).versions)
        store.write("stills", SCHEMAS["stills"].empty(), "show.e01", made)
        row = {"episode": "show.e01", "number": 0, "start_s": 0.0, "end_s": 1.0}
        store.write("shots", SCHEMAS["shots"].table([row]), "show.e01", Provenance())
        found = due(["stills"], instance, settings, store, ["show.e01"])
        assert {asset for assets, _ in found for asset in assets} == expected


def test_without_settings_the_order_of_the_work_is_by_all_that_may_be_read(reading_shots):
    assert "shots" in ancestors(DECLARATIONS["stills"])
    order = [asset for phase in phases() for asset in phase.assets]
    assert order.index("shots") < order.index("stills")


def test_a_condition_on_what_is_not_read_is_refused():
    with pytest.raises(ValueError, match="reads_if names shots, which reads does not"):
        pipeline_asset(kind=Kind.DECIDE, reads=["stills"], group="stills", reads_if={"shots": by_shot})


def test_a_section_that_counts_for_nothing_makes_nothing_stale():
    def version(**changes: object) -> str:
        return DECLARATIONS["details"].code_version(load_settings(**changes), {})

    smaller = {"crops__person_min_side_px": 300}
    assert version(**smaller) == version()
    assert version(**smaller, details__enabled=True) != version(details__enabled=True)
    assert declared(load_settings())["details"].settings == ("details",)
