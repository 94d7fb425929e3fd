"""Classes of regularization pictures through their assets, with a generator that draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.assets import regularization
from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.materializing import InputsMissing, materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.resize import decode
from dataset_pipeline.models.captioner import Description
from dataset_pipeline.models.generator import Request
from dataset_pipeline.reports.regularization import class_lines, hint_on
from dataset_pipeline.settings import DEFAULTS, RegularizationClass, load_settings
from dataset_pipeline.store.store import Pointer
from dataset_pipeline_tests.assets.drawn_models import Models
from dataset_pipeline_tests.assets.drawn_project import DrawnProject

GIRL = {"name": "girl", "source": "prompts", "prompts": ["a girl", "a boy"], "keep": 4, "generate": 6}
CHAIN = ("requests", "pictures", "scores", "detections", "tags", "embeddings", "judgements", "selection")
FACE = slice(20, 60), slice(30, 90)
MOUTH = (37, 57, 63, 83)  # of 20 px, and 0.15 of that on each side


@dataclass
class Drawing:
    """Noise by the seed. `stops_after`: so many pictures, then there is no generator any more."""

    stops_after: int = 1000
    is_gone: bool = False
    seen: list[Request] = field(default_factory=list)

    def fingerprint(self, repaints: bool = False) -> Any:
        if self.is_gone:
            raise PermanentError("the server is gone")
        return SimpleNamespace(model="drawn", sha256="d" * 64)

    def native_side_px(self) -> int:
        return 128

    def generate(self, requests: Iterable[Request]) -> Iterator[np.ndarray | Exception]:
        for request in requests:
            if len(self.seen) == self.stops_after:
                raise PermanentError("the server is down")
            self.seen.append(request)
            yield self.drawn(request)

    def drawn(self, request: Request) -> np.ndarray:
        return np.random.default_rng(request.seed).integers(0, 255, (request.height_px, request.width_px, 3), np.uint8)

    def repaint(self, picture: np.ndarray, mask: np.ndarray, request: Request, strength: float) -> np.ndarray:
        """The face in grey, but in every third version black."""
        self.seen.append(request)
        again = picture.copy()
        again[mask > 0] = 0 if len(self.seen) % 3 == 0 else 128
        return again


class Looking(Models):
    """Sees one face on every picture, and none like another."""

    def embed(self, pictures: Iterable[np.ndarray]) -> Iterator[Any]:
        for picture in self.watched("embedder", pictures):
            vector = np.random.default_rng(int(picture.sum())).normal(size=16)
            yield (vector / np.linalg.norm(vector)).tolist()

    def points(self, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Each picture shows a mouth from 40, 60 to 60, 80 px, counted from the corner of the drawing."""
        for picture in self.watched("pose", pictures):
            assert picture.shape == (213, 160, 3)  # of 128 x 128, with a quarter more, in 3:4
            points = np.zeros((133, 3), np.float32)
            mouth = np.linspace((40, 60), (60, 80), 20) + np.array([16, 43])
            points[71:91] = np.column_stack([mouth, np.full(20, 0.9)])
            yield points

    def detect(self, pictures: Iterable[np.ndarray], kinds: Any) -> Iterator[list[Any]]:
        rows, columns = FACE
        for _ in self.watched("detector", pictures):
            box = {"x0": columns.start, "y0": rows.start, "x1": columns.stop, "y1": rows.stop}
            yield [SimpleNamespace(kind="face", score=0.9, **box)]


@dataclass
class Classes(DrawnProject):
    """Makes the assets of one class after another, as a run does."""

    generator: Drawing = field(default_factory=Drawing)
    models: Looking = field(default_factory=Looking)

    def made(self, asset: str, **changes: Any) -> Pointer:
        settings = load_settings(DEFAULTS, **{"regularization__classes": [GIRL]} | changes)
        roles = dict.fromkeys(("quality", "detector", "tagger", "embedder", "pose"), self.models)
        resources = SimpleNamespace(store=self.store, settings=settings, generator=self.generator, **roles)
        name = f"regularization_{asset}"
        of_class = None if DECLARATIONS[name].joined else "girl"
        log = SimpleNamespace(warning=print)
        return materialize(ASSETS[name], Step(DECLARATIONS[name], resources, of_class, log, ["show.e1"]))[0]

    def all_made(self, assets: Iterable[str] = CHAIN, **changes: Any) -> dict[str, Pointer]:
        return {asset: self.made(asset, **changes) for asset in assets}

    def rows(self, asset: str, of_class: str | None = "girl") -> list[dict]:
        return self.store.read(f"regularization_{asset}", of_class).to_pylist()

    def bytes_of(self, asset: str) -> dict[str, bytes]:
        return {row["image_id"]: self.store.read_picture(row["path"]) for row in self.rows(asset)}


@pytest.fixture
def classes(tmp_path: Path) -> Classes:
    return Classes(tmp_path)


def test_a_run_that_stops_half_way_goes_on_and_makes_no_picture_twice(classes: Classes, tmp_path: Path):
    classes.generator.stops_after = 4
    classes.made("requests")
    with pytest.raises(PermanentError, match="the server is down"):
        classes.made("pictures")
    first = classes.generator.seen
    classes.generator = Drawing()
    numbers = classes.made("pictures").provenance.numbers
    assert (numbers["made"], numbers["taken_over"]) == (2, 4)
    assert len({*first, *classes.generator.seen}) == 6
    at_once = Classes(tmp_path / "other")
    at_once.all_made(["requests", "pictures"])
    assert classes.bytes_of("pictures") == at_once.bytes_of("pictures")


def test_another_keep_or_threshold_asks_neither_generator_nor_models(classes: Classes):
    classes.all_made()
    classes.made("set")
    assert len(classes.generator.seen) == 6
    classes.models.seen, classes.generator.seen = {}, []
    for changes, kept in (
        ({"regularization__classes": [GIRL | {"keep": 2}]}, 2),
        ({"regularization__classes": [GIRL | {"keep": 5}]}, 5),
        ({"regularization__classes": [GIRL | {"keep": 1000}]}, 6),
        ({"regularization_selection__hands_per_person": 1, "regularization_selection__max_likeness": 0.5}, 4),
        ({"regularization_selection__min_quality": 0.95}, 0),
    ):
        classes.all_made(**changes)
        classes.made("set", **changes)
        assert sorted(row["place"] for row in classes.rows("set", None)) == [*range(kept)]
    assert classes.generator.seen == []
    assert classes.models.seen == {}


def test_how_many_are_made_is_a_number_of_its_own_that_no_keep_changes(classes: Classes):
    unsaid = {name: told for name, told in GIRL.items() if name != "generate"}
    for keep in (1, 3, 9):
        changes = {"regularization__classes": [unsaid | {"keep": keep}], "regularization__generate": 5}
        classes.all_made((*CHAIN, "set"), **changes)
        assert len(classes.rows("set", None)) == min(keep, 5)
    assert len(classes.generator.seen) == 5
    classes.all_made(regularization__classes=[unsaid], regularization__generate=7)
    assert len(classes.generator.seen) == 7  # and the two that are new


def test_a_class_of_which_fewer_stay_than_it_wants_is_told_to_make_more():
    girl, mirror = RegularizationClass.model_validate(GIRL), {"name": "m", "source": "captions", "class_word": "1girl"}
    assert hint_on(girl, 6, 4) == ""
    assert hint_on(girl, 6, 3) == "3 of 6 pictures stay, and keep = 4: raise `generate` of the class for more"
    assert hint_on(RegularizationClass.model_validate(mirror), 150, 120) == ""  # one for each training image
    assert hint_on(RegularizationClass.model_validate(mirror | {"generate": 150}), 150, 120) != ""


def test_a_picture_that_is_gone_is_made_again_as_it_was_and_another_generator_makes_all_anew(classes: Classes):
    classes.all_made(["requests", "pictures"])
    before = classes.bytes_of("pictures")
    gone = classes.rows("pictures")[2]
    (classes.root / "store" / gone["path"]).unlink()
    classes.made("pictures")
    assert len(classes.generator.seen) == 7
    assert classes.bytes_of("pictures") == before
    other = Drawing()
    other.fingerprint = lambda repaints=False: SimpleNamespace(model="drawn", sha256="e" * 64)  # type: ignore[method-assign]
    classes.generator = other
    classes.made("pictures", generator__steps=12)
    assert len(other.seen) == 6


def test_a_class_waits_for_what_it_is_made_from(classes: Classes):
    with pytest.raises(InputsMissing, match="regularization_pictures of girl needs regularization_requests"):
        classes.made("pictures")


def test_regions_are_those_that_most_versions_agree_on_and_all_else_stays(classes: Classes):
    again = {"regularization_regions__enabled": True, "regularization_regions__grow": 0.0}
    again |= {"regularization_regions__feather_px": 0, "regularization_regions__regions": ["mouth"]}
    classes.all_made((*CHAIN, "repairs", "composites", "set"), **again)
    assert len(classes.rows("repairs")) == 4 * 5
    made = {row["image_id"]: row for row in classes.rows("pictures")}
    composites = {row["image_id"]: row for row in classes.rows("composites")}
    assert len(composites) == 4
    for image_id, row in composites.items():
        original, picture = (decode(classes.store.read_picture(it["path"])) for it in (made[image_id], row))
        changed = (original != picture).any(axis=2)
        assert changed.any()
        assert np.unique(picture[changed]).tolist() == [128]
        rows, columns = FACE
        outside = changed.copy()
        outside[rows, columns] = False
        assert not outside.any()
    assert {row["path"] for row in classes.rows("set", None)} == {row["path"] for row in composites.values()}


def test_regions_are_found_by_points_of_each_person_where_that_is_wanted(classes: Classes):
    again = {"regularization_regions__enabled": True, "regularization_regions__grow": 0.0}
    again |= {"regularization_regions__feather_px": 0, "regularization_regions__by": "points"}
    classes.all_made((*CHAIN, "points", "repairs", "composites"), **again)
    assert classes.models.seen["pose"] == 4  # the pictures that are kept, whole, as nobody was found on them
    made = {row["image_id"]: row for row in classes.rows("pictures")}
    for row in classes.rows("composites"):
        pictures = [decode(classes.store.read_picture(it["path"])) for it in (made[row["image_id"]], row)]
        changed = (pictures[0] != pictures[1]).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == MOUTH
    classes.generator.seen = []
    classes.all_made(["points", "repairs", "composites"], **again, regularization_regions__min_point_score=0.5)
    assert classes.models.seen["pose"] == 4
    assert classes.generator.seen == []


def test_by_default_no_region_is_drawn_again(classes: Classes):
    pointers = classes.all_made((*CHAIN, "points", "repairs", "composites", "set"))
    assert len(classes.generator.seen) == 6
    assert pointers["points"].provenance.numbers == {"measured": 0, "reused": 0}
    assert classes.rows("composites") == []


def test_pictures_that_could_not_be_made_are_named_and_cost_no_other(classes: Classes):
    @dataclass
    class Failing(Drawing):
        def drawn(self, request: Request) -> np.ndarray | Exception:  # type: ignore[override]
            return ValueError("node 3: no VAE") if len(self.seen) == 2 else super().drawn(request)

    classes.generator = Failing()
    pointers = classes.all_made()
    [reason] = pointers["pictures"].provenance.left_out.values()
    assert reason == "node 3: no VAE"
    reasons = [row["reason"] for row in classes.rows("selection")]
    assert (reasons.count("selected"), reasons.count("unreadable")) == (4, 1)
    classes.generator = replace(Drawing())
    assert classes.made("pictures").rows in (5, 6)


def test_a_class_needs_only_what_its_own_source_reads(classes: Classes):
    """There is no training set: a class that mirrors it says so, and one of prompts beside it does not care."""
    mirror = {"name": "mirror", "source": "captions", "class_word": "1girl"}
    classes.made("requests", regularization__classes=[GIRL, mirror])
    assert len(classes.rows("requests")) == 6
    with pytest.raises(PermanentError, match="no training_set, core_tags, character_gallery yet: make the set first"):
        classes.made("requests", regularization__classes=[mirror | {"name": "girl"}])


def test_who_takes_the_place_of_a_refused_picture_is_asked_about_too(classes: Classes, monkeypatch: pytest.MonkeyPatch):
    said = iter(["No.", "yes", "yes", "yes", "No, a hand is wrong", "yes"])

    class Judge:
        def __init__(self, settings: Any) -> None:
            self.prompt = settings.prompt

        def fingerprint(self) -> str:
            return self.prompt

        def describe(self, pictures: Iterable[np.ndarray]) -> Iterator[Description]:
            return (Description(next(said), "described") for _ in pictures)

    monkeypatch.setattr(regularization, "Captioner", Judge)
    judging = {"regularization_selection__judge": True}
    pointers = classes.all_made(**judging)
    assert pointers["judgements"].provenance.numbers["asked"] == 6
    answers = {row["image_id"]: row["text"] for row in classes.rows("judgements")}
    kept = {row["image_id"] for row in classes.rows("selection") if row["selected"]}
    assert {answers[it] for it in kept} == {"yes"}
    assert len(kept) == 4
    assert classes.all_made(**judging)["judgements"].provenance.numbers["asked"] == 6  # and nobody anew
    assert next(said, None) is None


def test_with_the_generator_gone_what_is_there_can_be_chosen_from_anew(classes: Classes):
    classes.all_made()
    classes.made("set")
    classes.generator = Drawing(is_gone=True)
    fewer = {"regularization__classes": [GIRL | {"keep": 2, "generate": 4}]}
    classes.all_made(**fewer)
    assert len(classes.rows("pictures")) == 4
    classes.made("set", **fewer)
    assert len(classes.rows("set", None)) == 2


def test_a_class_that_is_half_way_to_new_requests_takes_nothing_from_the_set_but_what_it_lost(classes: Classes):
    classes.all_made()
    classes.generator = Drawing(is_gone=True)
    other = {"regularization__classes": [GIRL | {"prompts": ["a girl", "a cat"]}]}
    classes.made("requests", **other)
    with pytest.raises(PermanentError, match="the server is gone"):
        list(classes.all_made(["pictures"], generator__steps=3, **other))
    pointer = classes.made("set", **other)
    assert 0 < len(classes.rows("set", None)) < 4
    [fault] = pointer.provenance.faults.values()
    assert "kept pictures are not asked for any more" in fault


def test_explain_says_where_a_picture_comes_from_and_why_it_stays(classes: Classes):
    classes.all_made()
    kept = next(row for row in classes.rows("selection") if row["selected"])
    asked = next(row for row in classes.rows("requests") if row["image_id"] == kept["image_id"])
    first, second, third, _ = class_lines(classes.store, kept["image_id"])
    assert first == f"{kept['image_id']}: selected, place {kept['place'] + 1}, quality 0.900"
    assert second == f"asked for: {asked['prompt']} (seed {asked['seed']}, 128x128 px)"
    assert third == f"a trainer is told: {asked['caption']}"
    assert class_lines(classes.store, "show.e1/00000000") == []
