"""Which images are asked about, and what happens to those without an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.assets import descriptions
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.resize import encode
from dataset_pipeline.models.captioner import DESCRIBED, Captioner, Description
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

EPISODE = "show.e1"


@dataclass
class World:
    """Pictures whose blue level is their number, and a model that says it, but for those in `silent`."""

    store: Store
    changes: dict[str, Any] = field(default_factory=lambda: {"descriptions__enabled": True, "descriptions__model": "m"})
    silent: set[int] = field(default_factory=set)
    asked: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def select(self, *numbers: int) -> None:
        rows = []
        for number in numbers:
            image_id = f"{EPISODE}/{number:08d}"
            picture = np.full((4, 4, 3), number, np.uint8)
            path = self.store.put_picture("distinct_frames", EPISODE, image_id, encode(picture, "png"), "png")
            rows.append({"image_id": image_id, "selected": True, "path": path, "pixel_sha256": f"p{number}"})
        rows.append({"image_id": f"{EPISODE}/99999999", "selected": False, "path": "", "pixel_sha256": ""})
        self.store.write(
            "selection", SCHEMAS["selection"].table(rows), EPISODE, Provenance.from_json({"demo": True, "numbers": {}})
        )

    def describe(self, pictures: Iterable[np.ndarray]) -> Iterator[Description]:
        for picture in pictures:
            number = int(picture[0, 0, 0])
            self.asked.append(number)
            yield Description("", "failed: busy") if number in self.silent else Description(f"no {number}", DESCRIBED)

    def made(self) -> tuple[dict[int, tuple[str, str]], dict[str, Any]]:
        settings = load_settings(resources_folder() / "settings.toml", models__pack="demo", **self.changes)
        log = SimpleNamespace(warning=self.warnings.append)
        made = ASSETS["descriptions"].under(settings)
        step = Step(
            made.declaration,
            SimpleNamespace(store=self.store, settings=settings),
            EPISODE,
            log,
            [EPISODE],
        )
        pointer, _ = materialize(made, step)
        rows = self.store.read("descriptions", EPISODE).to_pylist()
        told = {int(row["image_id"][-8:]): (row["text"], row["status"]) for row in rows}
        return told, pointer.provenance.numbers


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(Store(str(tmp_path)))

    class Model(Captioner):
        def describe(self, pictures: Iterable[np.ndarray]) -> Iterator[Description]:
            return world.describe(pictures)

    monkeypatch.setattr(descriptions, "Captioner", Model)
    monkeypatch.setattr(descriptions, "SAVED_TOGETHER", 2)
    return world


def test_nothing_is_asked_unless_it_is_switched_on(world: World):
    world.changes = {}
    world.select(1, 2)
    assert world.made()[0] == {}
    assert world.asked == []


def test_every_selected_image_is_asked_about_once_and_for_good(world: World):
    world.select(1, 2, 3)
    told, numbers = world.made()
    assert told == {number: (f"no {number}", DESCRIBED) for number in (1, 2, 3)}
    assert (numbers["described"], numbers["asked"]) == (3, 3)
    world.select(2)
    assert set(world.made()[0]) == {2}
    world.select(1, 2, 4)
    assert world.made()[0][1] == ("no 1", DESCRIBED)
    assert world.asked == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "limit", [{"concept_balance__max_images": 2}, {"selection__by": "percentile", "selection__amount": 30.0}]
)
def test_what_a_cut_or_a_quota_leaves_out_of_the_set_is_not_asked_about(world: World, limit: dict[str, Any]):
    world.select(1, 2, 3)
    rows = [{"image_id": f"{EPISODE}/{number:08d}", "concept": "c", "multiply": 1.0} for number in (1, 3)]
    world.store.write(
        "multiplies", SCHEMAS["multiplies"].table(rows), EPISODE, Provenance.from_json({"demo": True, "numbers": {}})
    )
    world.changes |= limit
    assert set(world.made()[0]) == {1, 3}
    assert world.asked == [1, 3]


def test_an_image_without_an_answer_keeps_the_reason_and_is_asked_about_again(world: World):
    world.select(1, 2, 3)
    world.silent = {2}
    told, numbers = world.made()
    assert told[2] == ("", "failed: busy")
    assert told[3] == ("no 3", DESCRIBED)
    assert numbers["unanswered"] == 1
    assert len(world.warnings) == 1
    world.silent = set()
    told, numbers = world.made()
    assert told[2] == ("no 2", DESCRIBED)
    assert numbers["unanswered"] == 0
    assert world.asked == [1, 2, 3, 2]
    world.made()
    assert world.asked == [1, 2, 3, 2]


def test_another_prompt_asks_again_and_the_way_back_does_not(world: World):
    world.select(1)
    first = world.made()[0]
    before = dict(world.changes)
    world.changes["descriptions__prompt"] = "Who is it?"
    world.made()
    world.changes = before
    assert world.made()[0] == first
    assert world.asked == [1, 1]


def test_what_was_answered_before_a_run_broke_off_is_not_asked_again(world: World):
    world.select(1, 2, 3, 4)
    working = world.describe

    def breaking(pictures: Iterable[np.ndarray]) -> Iterator[Description]:
        for number, answer in enumerate(working(pictures)):
            if number == 3:
                raise RuntimeError("killed")
            yield answer

    world.describe = breaking  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="killed"):
        world.made()
    world.describe = working  # type: ignore[method-assign]
    assert len(world.made()[0]) == 4
    assert world.asked == [1, 2, 3, 4, 3, 4]
