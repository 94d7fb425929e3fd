from __future__ import annotations

from dataset_pipeline.base.ids import crop_id, frame_id, picture_id
from dataset_pipeline.training.split import held_out

FRAMES = [frame_id(f"show.e{episode}", second * 1000) for episode in range(20) for second in range(0, 1440, 3)]


def test_about_the_wanted_share_is_held_out_in_whole_minutes():
    chosen = held_out(FRAMES, 0.1, seed=1)
    assert 0.07 < len(chosen) / len(FRAMES) < 0.13
    minutes = {(image.partition("/")[0], int(image.partition("/")[2]) // 60_000) for image in chosen}
    assert len(chosen) == 20 * len(minutes)
    assert held_out(FRAMES, 0.0, seed=1) == set()
    assert held_out(FRAMES, 1.0, seed=1) == set(FRAMES)


def test_crops_go_with_their_still_and_pictures_of_a_folder_each_alone():
    pictures = [picture_id("show.art", f"{number}.png") for number in range(300)]
    crops = {still: crop_id(still, "head", (10, 10, 200, 200), (640, 360)) for still in [*FRAMES[:200], *pictures]}
    chosen = held_out([*crops, *crops.values()], 0.3, seed=2)
    assert {crops[image] for image in chosen if image in crops} == chosen - crops.keys()
    assert 60 < len(chosen.intersection(pictures)) < 120


def test_further_episodes_and_a_larger_share_take_nothing_back():
    chosen = held_out(FRAMES, 0.1, seed=1)
    some = FRAMES[: len(FRAMES) // 2]
    assert held_out(some, 0.1, seed=1) == chosen.intersection(some)
    assert chosen < held_out(FRAMES, 0.2, seed=1)
    assert held_out(FRAMES, 0.1, seed=2) != chosen
