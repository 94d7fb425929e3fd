"""The pieces of the trainer, with worked numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dataset_pipeline.demo.scenes import NO_BOX, DrawnPerson
from dataset_pipeline.demo.training import degrade
from dataset_pipeline.demo.training.data import (
    MEASURED,
    TRAINING,
    Composed,
    cast_of,
    compose,
    framing_of,
    iou,
    matches,
    moment_sample,
    quality_sample,
    scene_sample,
    staged,
    tags_of,
    window,
    zoomed,
)
from dataset_pipeline.demo.training.detector import GRID, mirrored_boxes, peaks, targets
from dataset_pipeline.demo.training.embedder import near_duplicate_loss
from dataset_pipeline.demo.training.export import difference_metric_onnx
from dataset_pipeline.demo.training.identity import best_distance
from dataset_pipeline.demo.training.people import contrastive_loss
from dataset_pipeline.demo.training.vocabulary import INDEX, TAGS


def test_overlap_of_boxes_is_shared_area_over_joint_area() -> None:
    assert iou(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [5, 5, 6, 6]])).tolist() == [[pytest.approx(1 / 3), 0]]


def test_a_true_box_is_taken_once_by_the_surest_box() -> None:
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], float)
    found = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [21, 0, 30, 10], [50, 50, 60, 60]], float)
    assert matches(found, truth) == [True, False, True, False]
    assert matches(found, np.empty((0, 4))) == [False] * 4


def test_heat_is_one_at_the_centre_of_a_box_and_tiny_boxes_are_ignored() -> None:
    head, eye = 2, 5
    rows = np.array([[head, 100, 40, 140, 80], [eye, 8, 8, 10, 10]], np.float32)
    heat, sides, counts = targets([rows])
    assert heat[0, head, 60 // 8, 120 // 8] == 1
    assert heat.sum((2, 3))[0, eye] == 0
    assert counts[0, eye, 9 // 8, 9 // 8] == -1
    assert sides[0, head, :, 7, 15].tolist() == [100, 40, 140, 80]
    assert heat.shape == (1, 6, GRID, GRID)


def test_mirrored_boxes_change_sides() -> None:
    assert mirrored_boxes(np.array([[0, 10, 5, 30, 50]], np.float32)).tolist() == [[0, 290, 5, 310, 50]]


def test_only_the_surest_of_neighbouring_cells_keeps_its_score() -> None:
    logits = torch.full((1, 1, 5, 5), -5.0)
    logits[0, 0, 2, 2], logits[0, 0, 2, 3] = 2.0, 1.0
    scores = peaks(logits)
    assert scores[0, 0, 2, 2] == pytest.approx(torch.sigmoid(torch.tensor(2.0)).item())
    assert scores[0, 0, 2, 3] == 0


def test_the_contrastive_loss_falls_when_views_of_one_character_agree() -> None:
    identity = torch.tensor([0, 0, 1, 1])
    together = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    apart = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    assert contrastive_loss(together, identity) < 0.01
    assert contrastive_loss(apart, identity) > 5


def test_near_duplicates_that_agree_and_strangers_that_do_not_cost_almost_nothing() -> None:
    pairs = torch.eye(4).repeat_interleave(2, 0)
    assert near_duplicate_loss(pairs) < 0.001
    assert near_duplicate_loss(torch.ones(8, 4) / 2) > 1


def test_the_identity_metric_is_scaled_cosine_distance() -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(difference_metric_onnx(2, 0.5), providers=["CPUExecutionProvider"])
    vectors = np.array([[2, 0], [0, 3], [-1, 0]], np.float32)
    (differences,) = session.run(None, {"input": vectors})
    np.testing.assert_allclose(differences, [[0, 0.5, 1], [0.5, 0, 0.5], [1, 0.5, 0]], atol=1e-6)


def test_the_best_distance_lies_between_views_of_one_and_views_of_others() -> None:
    angles = np.radians([0, 5, 10, 90, 95, 100])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1)
    distance = best_distance(vectors, np.array([0, 0, 0, 1, 1, 1]), np.zeros(6))
    assert 1 - np.cos(np.radians(10)) < distance < 1 - np.cos(np.radians(80))


def person_at(head: tuple[float, float, float, float], body: tuple[float, float, float, float]) -> DrawnPerson:
    half = (body[0], body[1], body[2], (body[1] + body[3]) / 2)
    return DrawnPerson(cast_of(TRAINING, 0)[0], body, half, head, head, (), (), 1.0)


def test_framing_goes_by_how_many_heads_of_a_person_are_in_view() -> None:
    person = person_at((40, 0, 60, 20), (30, 0, 70, 100))
    assert framing_of(person, (30, 0, 70, 22)) == "close-up"
    assert framing_of(person, (0, -10, 90, 30)) == "portrait"
    assert framing_of(person, (0, -10, 90, 45)) == "upper_body"
    assert framing_of(person, (0, -10, 90, 70)) == "cowboy_shot"
    assert framing_of(person, (0, -10, 90, 120)) == "full_body"


def test_tags_say_who_is_in_view_and_leave_open_what_cannot_be_told() -> None:
    person = person_at((40, 10, 60, 30), (30, 10, 70, 110))
    picture = Composed(np.zeros((120, 200, 3), np.uint8), (person,), (None,), "beach")
    tags, known = tags_of(picture, (0, 0, 200, 120), 1.0)
    told = {tag for tag in TAGS if tags[INDEX[tag]]}
    assert {"general", "solo", "beach", "outdoors", "full_body", *person.character.tags()} - {
        person.character.eye_color
    } <= told
    assert known[INDEX["blue_eyes"]] == 0
    nobody, _ = tags_of(picture, (100, 0, 200, 120), 1.0)
    assert nobody[INDEX["no_humans"]] == 1
    assert nobody[INDEX["solo"]] == 0


def test_a_window_keeps_boxes_that_are_mostly_inside() -> None:
    rows = np.array([[0, 10, 10, 30, 30]], np.float32)
    image = np.zeros((100, 100, 3), np.uint8)
    for seed in range(20):
        cut, kept = zoomed(image, rows, np.random.default_rng(seed))
        assert len(kept) <= 1
        assert (kept[:, 3:] <= np.array(cut.shape[1::-1])).all()
    assert window((10, 10, 20, 30), (0.5, 0, 0.5, 1), (100, 40)) == (5, 10, 25, 40)


def test_damage_shows_in_the_numbers() -> None:
    checks = (np.indices((64, 64)).sum(0) % 16 < 8)[..., None].repeat(3, 2).astype(np.uint8) * 255

    def detail(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image.astype(float), axis=1)).mean())

    assert detail(degrade.blurred(checks, 2)) < 0.8 * detail(checks)
    assert detail(degrade.motion_blurred(checks, 9, 0)) < detail(checks)
    assert detail(degrade.rescaled(checks, 0.3)) < detail(checks)
    assert degrade.relit(checks, 0.5, 1.0, (1, 1, 1)).max() == 128
    assert degrade.compressed(checks, 10).shape == checks.shape
    assert not np.array_equal(degrade.noisy(checks, 10, np.random.default_rng(0)), checks)
    assert degrade.motion_blurred(checks, 1, 0) is checks


def test_samples_depend_on_their_seeds_alone() -> None:
    job = (TRAINING, 1, 7)
    one, two = scene_sample(job), scene_sample(job)
    assert np.array_equal(one.detection, two.detection)
    assert np.array_equal(one.views.images, two.views.images)
    assert one.views.characters == two.views.characters
    assert np.array_equal(moment_sample(job), moment_sample(job))
    assert all(np.array_equal(a, b) for a, b in zip(quality_sample(job), quality_sample(job), strict=True))
    assert not np.array_equal(one.detection, scene_sample((TRAINING, 1, 8)).detection)


def test_scenes_list_their_people_with_poses_and_staged_shots_without() -> None:
    cast = cast_of(MEASURED, 0)
    scene = compose(MEASURED, 3, (320, 180), cast, people=2)
    assert len(scene.poses) == len(scene.people)
    assert {person.character for person in scene.people} <= set(cast)
    assert all(person.face != NO_BOX for person in scene.people)
    shot = staged(MEASURED, 3, (320, 180), cast, "pair")
    assert len(shot.people) >= 2
    assert set(shot.poses) == {None}
    assert staged(MEASURED, 3, (320, 180), cast, "title_card").place is None
