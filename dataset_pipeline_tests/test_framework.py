"""An asset can read only what it declares."""

from __future__ import annotations

from types import SimpleNamespace

import dagster as dg
import pytest

from dataset_pipeline.assets import framework
from dataset_pipeline.assets.step import Declaration, Result, Step
from dataset_pipeline.runs import materialize_assets
from dataset_pipeline.settings import load_settings
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store, TableMissing
from dataset_pipeline.tags.rules import RulesError


@pytest.fixture
def step(tmp_path) -> Step:
    declaration = Declaration("crops", ("distinct_frames",), ("crops",), ("detector",), 1, False, False, False)
    resources = SimpleNamespace(store=Store(str(tmp_path)), settings=load_settings(), detector="the detector")
    return Step(declaration, resources, "show.e01", log=None, episodes=["show.e01"])


def test_an_undeclared_table_cannot_be_read(step):
    with pytest.raises(LookupError, match="crops does not declare that it reads tags"):
        step.read("tags")


def test_an_undeclared_section_of_the_settings_cannot_be_read(step):
    assert step.settings.crops.person_min_side_px > 0
    with pytest.raises(LookupError, match=r"\[captions\]"):
        _ = step.settings.captions


def test_an_undeclared_model_cannot_be_used(step):
    assert step.model("detector") == "the detector"
    with pytest.raises(LookupError, match="tagger"):
        step.model("tagger")


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
        write(Store(self.root), asset, multiplies(2.0), "show.e01", {"numbers": {"of": "the other run"}})
        return written

    monkeypatch.setattr(Store, "write", overtaken)
    declaration = Declaration("multiplies", (), (), (), 1, False, False, False)
    made = framework.PipelineAsset(
        declaration, lambda step: Result(multiplies(1.0), {"of": "this run"}), "set", frozenset(), {}, None
    )
    resources = SimpleNamespace(store=store, settings=load_settings())
    pointer, kept = framework.materialize(made, Step(declaration, resources, "show.e01", None, ["show.e01"]))
    assert (pointer.provenance["numbers"], kept) == ({"of": "this run"}, False)
    assert pointer != store.pointer("multiplies", "show.e01")


def failures_of(folder, error: BaseException, asked: list) -> list:
    def body(step: Step):
        asked.append(step)
        raise error

    declaration = Declaration("core_tags", (), (), (), 1, True, False, False)
    made = framework.PipelineAsset(declaration, body, "tags", frozenset(), {}, None)
    asset = framework.asset_definition(made, [], dg.DynamicPartitionsDefinition(name="episodes"), "1", None)
    settings = load_settings()
    defs = dg.Definitions(assets=[asset], resources={"store": Store(str(folder)), "settings": settings})
    with dg.DagsterInstance.ephemeral() as instance:
        return materialize_assets(defs, instance, settings, ["core_tags"])
