"""Pictures with three hands, a second head, somebody twice: which are left out, and how many good ones with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.models import Detector
from dataset_pipeline.regularization.selection import Looks, select
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline_tests.regularization.drawn_defects import Drawn, doubled, drawn, good, second_head, three_hands
from dataset_pipeline_tests.regularization.rows import asked_row, found_box

SETTINGS = load_settings(resources_folder() / "settings.toml").regularization_selection
KINDS = ("person", "head", "face", "hand")
FEW, MANY, SEEN_BY_NETS = 8, 100, 30
Boxes = list[dict[str, Any]]
DEFECTS: dict[str, tuple[Callable[[int], Drawn | None], str]] = {
    "three hands": (three_hands, "hands"),
    "a second head": (second_head, "more_people"),
    "doubled": (doubled, "more_people"),
}


def reasons(pictures: list[Drawn]) -> Counter[str]:
    """How many pictures of one person each are left out for each reason, or selected."""
    ids = [f"woman/{at:08d}" for at in range(len(pictures))]
    sizes = [{"width_px": it.shape[1], "height_px": it.shape[0], "reason": ""} for it, _ in pictures]
    boxes = {image_id: boxes for image_id, (_, boxes) in zip(ids, pictures, strict=True)}
    looks = Looks(dict(zip(ids, sizes, strict=True)), dict.fromkeys(ids, 0.5), boxes)
    rows = select([asked_row(image_id, people=1) for image_id in ids], looks, SETTINGS, len(ids))
    return Counter(row["reason"].partition(":")[0] for row in rows)


@pytest.mark.parametrize("defect", DEFECTS)
def test_drawn_defects_are_left_out_by_drawn_boxes(defect: str):
    draw, why = DEFECTS[defect]
    found = reasons(list(drawn(draw, FEW)))
    print(defect, dict(found))
    assert found[why] >= 0.95 * found.total()


def test_good_pictures_stay_by_drawn_boxes():
    found = reasons(list(drawn(good, FEW)))
    print("good", dict(found))
    assert found["selected"] >= 0.95 * found.total()


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_many_drawn_defects_are_left_out_by_drawn_boxes_and_by_those_of_the_pack():
    detector = Detector(pack="demo", device="cpu", batch_size=1)  # type: ignore[call-arg]

    def found_in(picture: np.ndarray) -> Boxes:
        (boxes,) = detector.detect([picture], KINDS)
        return [found_box(it.kind, (it.x0, it.y0, it.x1, it.y1), it.score) for it in boxes]

    for name, (draw, why) in {"good": (good, "selected"), **DEFECTS}.items():
        pictures = list(drawn(draw, MANY, first_seed=10_000))
        by_truth = reasons(pictures)
        by_nets = reasons([(picture, found_in(picture)) for picture, _ in pictures[:SEEN_BY_NETS]])
        print(f"{name}: drawn boxes {dict(by_truth)}, the pack's boxes {dict(by_nets)}")
        assert by_truth[why] >= 0.95 * by_truth.total()
        if why != "hands":
            assert by_nets[why] >= 0.9 * by_nets.total()
