"""The pieces of the trainer, with worked numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dataset_pipeline.demo.characters import Character
from dataset_pipeline.demo.harder import LabelledCrop, Still, harder_cast
from dataset_pipeline.demo.scenes import NO_BOX, DrawnPerson
from dataset_pipeline.demo.training import boxes, degrade
from dataset_pipeline.demo.training.answers import framing_of, tags_of
from dataset_pipeline.demo.training.boxes import iou, matches, window, zoomed
from dataset_pipeline.demo.training.data import detector_sample, moment_sample, quality_sample, scene_views
from dataset_pipeline.demo.training.detector import (
    LARGE_THINGS,
    SMALL_THINGS,
    Detector,
    detection_loss,
    detector_rate,
    jittered,
    mirrored_boxes,
    peaks,
    targets,
)
from dataset_pipeline.demo.training.embedder import near_duplicate_loss
from dataset_pipeline.demo.training.export import difference_metric_onnx
from dataset_pipeline.demo.training.families import family_sample, hard_cast_sample
from dataset_pipeline.demo.training.harder_figures import appearances, median_differences, truth_of_clusters
from dataset_pipeline.demo.training.identity import best_distance
from dataset_pipeline.demo.training.people import (
    VIEWS_PER_CHARACTER,
    contrastive_loss,
    grouped,
    person_vectors,
    picked,
    twin_loss,
)
from dataset_pipeline.demo.training.vocabulary import INDEX, OUTFITS, TAGS
from dataset_pipeline.demo.training.worlds import CALIBRATION, MEASURED, TRAINING, Composed, cast_of, compose, staged


def test_overlap_of_boxes_is_shared_area_over_joint_area() -> None:
    assert iou(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [5, 5, 6, 6]])).tolist() == [[pytest.approx(1 / 3), 0]]


def test_a_true_box_is_taken_once_by_the_surest_box() -> None:
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], float)
    found = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [21, 0, 30, 10], [50, 50, 60, 60]], float)
    assert matches(found, truth) == [True, False, True, False]
    assert matches(found, np.empty((0, 4))) == [False] * 4


def test_heat_is_one_at_the_centre_of_a_box_and_tiny_boxes_are_ignored() -> None:
    head, face, hand = 2, 3, 4
    rows = np.array([[head, 100, 40, 140, 80], [face, 8, 8, 10, 10], [hand, 50, 50, 90, 90]], np.float32)
    heat, sides, counts = targets(LARGE_THINGS, [rows])
    assert heat[0, head, 60 // 8, 120 // 8] == 1
    assert heat.sum((2, 3))[0, face] == 0
    assert counts[0, face, 9 // 8, 9 // 8] == 0
    assert counts.sum() == counts.numel() - 1
    assert sides[0, head, :, 7, 15].tolist() == [100, 40, 140, 80]
    assert heat.shape == (1, 4, 40, 40)


def test_a_centre_between_two_cells_heats_both() -> None:
    heat, _, _ = targets(SMALL_THINGS, [np.array([[0, 40, 36, 55, 52]], np.float32)])
    assert heat[0, 0, 5, 5] == 1
    assert 0.8 < heat[0, 0, 5, 6] < 1
    assert heat[0, 0, 5, 8] == 0


def test_a_score_costs_least_where_it_says_how_well_its_box_fits() -> None:
    heat, sides, counts = targets(SMALL_THINGS, [np.array([[0, 40, 40, 56, 56]], np.float32)])
    centre = (0, 0, 6, 6)

    def cost(score: float, shift_px: float) -> float:
        predicted = sides.clone()
        predicted[:, :, ::2] += shift_px
        logits = torch.full_like(heat, -9.0).where(heat != 1, torch.logit(torch.tensor(score)))
        return detection_loss(logits, predicted, heat, sides, counts).item()

    assert heat[centre] == 1
    assert cost(0.99, 0) < cost(0.7, 0) < cost(0.3, 0)
    assert cost(0.7, 4) < cost(0.99, 4)  # a fit of 0.6 is worth 0.68
    assert cost(0.99, 4) > cost(0.99, 0)


def test_the_learning_rate_of_a_detector_warms_up_holds_and_ends_at_nothing() -> None:
    rates = [detector_rate(step, 300) for step in range(300)]
    assert max(rates) == pytest.approx(4e-3, rel=0.02)
    assert rates[0] < 0.1 * rates[20]
    assert 0.45 < rates[199] / rates[20] < 0.6
    assert 0 < rates[299] < 1e-5


def test_a_jittered_picture_moves_with_its_boxes() -> None:
    picture = torch.zeros(8, 3, 192, 192)
    picture[:, :, 80:120, 90:110] = 1
    rows = np.array([[1, 90, 80, 110, 120], [0, 0, 0, 4, 4]], np.float32)
    moved, moved_rows = jittered(picture, [rows] * 8, np.random.default_rng(0))
    sizes = set()
    for image, kept in zip(moved, moved_rows, strict=True):
        lit = torch.nonzero(image[0] > 0.5)
        shown = torch.cat([lit.amin(0).flip(0), lit.amax(0).flip(0) + 1]).numpy()
        assert np.abs(kept[0, 1:] - shown).max() <= 1
        assert (kept[:, 1:] >= 0).all()
        sizes.add(len(kept))
    assert sizes == {1, 2}  # the corner's box is out of some


def test_a_detector_of_small_things_learns_in_windows_and_looks_at_whole_pictures() -> None:
    net = Detector(SMALL_THINGS).eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 192, 192))[1].shape == (1, 2, 4, 24, 24)
        net.grid = 640 // 8
        logits, found = net(torch.zeros(1, 3, 640, 640))
    assert logits.shape == (1, 2, 80, 80)
    assert found[0, 0, 0, 0, 79] > found[0, 0, 0, 0, 0] + 600


def test_mirrored_boxes_change_sides() -> None:
    assert mirrored_boxes(np.array([[0, 10, 5, 30, 50]], np.float32), 320).tolist() == [[0, 290, 5, 310, 50]]


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


def test_the_loss_of_twins_looks_at_the_two_of_a_family_alone() -> None:
    identity = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
    twins_apart = torch.eye(2)[torch.tensor([0] * 4 + [1] * 4 + [0] * 4 + [1] * 4)]
    twins_together = torch.eye(2)[torch.tensor([0] * 8 + [1] * 8)]
    assert twin_loss(twins_apart, identity) == pytest.approx(np.log(3), abs=0.01)
    assert twin_loss(twins_together, identity) == pytest.approx(np.log(7), abs=0.01)


def test_what_tags_say_of_a_person_tells_two_apart_whose_learnt_vectors_are_equal() -> None:
    logits, identity = torch.zeros(3, len(TAGS)), torch.ones(3, 96)
    logits[0, INDEX["blue_eyes"]] = logits[1, INDEX["red_eyes"]] = 20
    logits[2, INDEX["red_dress"]] = 20
    vectors = person_vectors(logits, identity)
    assert vectors.shape == (3, 126)
    apart = 1 - vectors @ vectors.T
    assert apart[0, 1] == pytest.approx(0.5 / 3.4, abs=1e-3)  # all that the eyes weigh
    assert apart[0, 2] < apart[0, 1]


def test_near_duplicates_that_agree_and_strangers_that_do_not_cost_almost_nothing() -> None:
    pairs = torch.eye(4).repeat_interleave(2, 0)
    assert near_duplicate_loss(pairs) < 0.001
    assert near_duplicate_loss(torch.ones(8, 4) / 2) > 1


def test_a_batch_holds_two_people_of_each_group() -> None:
    names = ["", *(f"family-{g}-{k}" for g in range(20) for k in range(2) for _ in range(5)), "family-99-0"]
    groups = grouped(names)
    assert len(groups) == 20
    rows = picked(groups, np.random.default_rng(0), 6)
    assert len(rows) == 6 * 2 * VIEWS_PER_CHARACTER
    families = [names[row].rpartition("-")[0] for row in rows]
    assert {families.count(family) for family in families} == {2 * VIEWS_PER_CHARACTER}
    assert {[names[row] for row in rows].count(names[row]) for row in rows} == {VIEWS_PER_CHARACTER}


def test_a_family_is_two_people_in_the_same_outfits_who_differ_in_one_trait() -> None:
    for number in range(6):
        views = family_sample((TRAINING, number))
        worn = {
            name: {
                TAGS[i]
                for row, who in zip(views.tags, views.characters, strict=True)
                if who == name
                for i in np.flatnonzero(row)
                if TAGS[i] in OUTFITS
            }
            for name in set(views.characters)
        }
        assert len(worn) == 2
        assert max(map(len, worn.values())) >= 2


def test_casts_for_calibration_are_like_those_of_the_harder_season() -> None:
    images, names = hard_cast_sample((CALIBRATION, 0))
    assert len(set(names)) == 12
    assert images.shape == (len(names), 128, 128, 3)


def test_windows_show_a_scene_at_the_size_at_which_hands_are_looked_for() -> None:
    sample = detector_sample((TRAINING, 1, 8))
    assert sample.windows.shape == (6, 192, 192, 3)
    assert len(sample.window_boxes) == 6
    assert {int(row[0]) for inside in sample.window_boxes for row in inside} <= {0, 1}
    for inside in sample.window_boxes:
        assert (inside[:, 1:] >= 0).all()
        assert (inside[:, 1:] <= 192.01).all()


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
    one, two = detector_sample(job), detector_sample(job)
    assert np.array_equal(one.detection, two.detection)
    assert np.array_equal(one.windows, two.windows)
    views = scene_views(job)
    assert np.array_equal(views.images, scene_views(job).images)
    assert np.array_equal(family_sample((TRAINING, 3)).images, family_sample((TRAINING, 3)).images)
    assert views.characters == scene_views(job).characters
    assert np.array_equal(moment_sample(job), moment_sample(job))
    assert all(np.array_equal(a, b) for a, b in zip(quality_sample(job), quality_sample(job), strict=True))
    assert not np.array_equal(one.detection, detector_sample((TRAINING, 1, 8)).detection)


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


def test_figures_of_the_harder_season_are_medians_over_pairs() -> None:
    cast = harder_cast(0)
    looks = {look.name: look for look in cast.looks}
    one, other = (looks[name] for name in cast.twins[0].names)
    changed = [look for look in cast.looks if look.name == cast.distinct[0]]
    people = (one, other, other, *changed)
    crops = [crop_of(character) for character in people]
    places = np.array([0, 3, 5, 10, 11], float)
    apart = np.abs(places[:, None] - places[None])
    medians = median_differences(cast, crops, apart)
    assert medians["one person in two outfits"] == 1
    assert medians["twins by hair_style"] == 4
    assert truth_of_clusters(cast, crops, apart, 2.5) == {"adjusted_rand_distinct": 1, "adjusted_rand": 1}
    mixed = truth_of_clusters(cast, crops, apart, 4.5)
    assert mixed["adjusted_rand_distinct"] == 1
    assert 0 < mixed["adjusted_rand"] < 1


def test_an_appearance_is_the_mean_of_head_and_body_on_one_still() -> None:
    still = Still(1, 0, "talk", 0, np.zeros((4, 4, 3), np.uint8), ())
    person = person_at((40, 0, 60, 20), (30, 0, 70, 100))
    crops = [
        LabelledCrop(still, person, kind, person.person, np.zeros((4, 4, 3), np.uint8), extra=False)
        for kind in ("person", "head")
    ]
    chosen, vectors = appearances(crops, np.array([[2.0, 0], [0, 3]]))
    assert len(chosen) == 1
    assert vectors[0] == pytest.approx([0.7071, 0.7071], abs=1e-3)


def crop_of(character: Character) -> LabelledCrop:
    person = DrawnPerson(character, (0, 0, 9, 9), (0, 0, 9, 5), (0, 0, 3, 3), (0, 0, 3, 3), (), (), 1.0)
    picture = np.zeros((9, 9, 3), np.uint8)
    return LabelledCrop(
        Still(1, 0, "talk", 0, picture, (person,)), person, "person", person.person, picture, extra=False
    )


def test_how_windows_are_cut_changes_nothing_that_the_people_net_learns_from(monkeypatch: pytest.MonkeyPatch) -> None:
    job = (TRAINING, 1, 7)
    before, windows = scene_views(job), detector_sample(job).windows
    monkeypatch.setattr(boxes, "WINDOWS_PER_SCENE", (1, 0))
    assert np.array_equal(detector_sample(job).windows, windows[:1])
    assert np.array_equal(scene_views(job).images, before.images)
