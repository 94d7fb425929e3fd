from __future__ import annotations

import hashlib
import random
import re
import string

import pytest

from dataset_pipeline.base.ids import (
    check_episode,
    check_image,
    clip_id,
    crop_id,
    episode_of,
    file_name,
    frame_id,
    image_id,
    is_clip,
    kind_of_span,
    panorama_id,
    picture_id,
    picture_slug,
    plate_id,
    pts_ms_of,
    show_of,
    span_ms_of,
    still_of,
)

EPISODE = "frieren.s01e01"


def random_image(rng: random.Random) -> str:
    """An id of any kind, from the shortest to the longest."""
    letters = string.ascii_lowercase + string.digits + "_-"
    show = "".join(rng.choices(letters, k=rng.randint(1, 49)))
    episode = f"{show}." + "".join(rng.choices(letters, k=rng.randint(1, 49)))
    title = "".join(rng.choices(letters + "/. é写", k=rng.randint(1, 80))) + ".png"
    start_s, end_s, base_s = sorted(rng.uniform(0, 1e6) for _ in range(3))
    still = rng.choice(
        [
            frame_id(episode, rng.randrange(10**9)),
            picture_id(episode, title),
            panorama_id(episode, start_s, end_s),
            plate_id(episode, start_s, end_s, rng.choice([None, base_s])),
        ]
    )
    if rng.random() < 0.5:
        return still
    x, y = rng.uniform(-5, 1900), rng.uniform(-5, 1000)
    kind = rng.choice(["person", "halfbody", "head", "face", "hand"])
    return crop_id(still, kind, (x, y, x + rng.uniform(0, 1900), y + rng.uniform(0, 1000)), (1920, 1080))


def test_a_frame_is_named_by_its_milliseconds() -> None:
    assert frame_id(EPISODE, 0) == "frieren.s01e01/00000000"
    assert frame_id(EPISODE, 83_417) == "frieren.s01e01/00083417"
    assert frame_id(EPISODE, 100_000_000) == "frieren.s01e01/100000000"
    with pytest.raises(ValueError, match="pts_ms = -1 of frieren"):
        frame_id(EPISODE, -1)


def test_a_picture_is_named_by_its_path() -> None:
    digits = hashlib.sha256(b"Vol 1/Page 03.PNG").hexdigest()[:8]
    assert picture_id("art.folder", "Vol 1/Page 03.PNG") == f"art.folder/vol-1-page-03-{digits}"
    assert picture_id("art.folder", "Vol 1\\Page 03.PNG") == picture_id("art.folder", "Vol 1/Page 03.PNG")


def test_paths_that_slug_alike_stay_apart() -> None:
    names = ["a b.png", "a-b.png", "a/b.png", "A B.png", "a b.jpg", "a b", "ä b.png"]
    assert len({picture_id("art.folder", name) for name in names}) == len(names)


def test_a_composed_and_a_decomposed_accent_are_one_path() -> None:
    assert picture_id("art.folder", "caf\u00e9.png") == picture_id("art.folder", "cafe\u0301.png")


def test_titles_in_any_script_and_of_any_length_make_slugs() -> None:
    assert picture_slug("葬送のフリーレン") == "zangsongnofuriren"
    assert picture_slug("Ça va?  Très--bien!") == "ca-va-tres-bien"
    assert picture_slug("…!?") == ""
    assert picture_slug("x" * 300 + " 12") == "x" * 37 + "-12"
    assert re.fullmatch(r"art\.folder/picture-[0-9a-f]{8}", picture_id("art.folder", "!!!.png"))
    assert re.fullmatch(r"art\.folder/picture-[0-9a-f]{8}", picture_id("art.folder", ".png"))


def test_a_crop_is_named_by_its_detection_box_in_thousandths_of_the_still() -> None:
    still = frame_id(EPISODE, 1200)
    # 480/1920 = .25, 108/1080 = .1, 960/1920 = .5, 540/1080 = .5
    assert crop_id(still, "person", (480, 108, 1440, 648), (1920, 1080)) == f"{still}#person-250-100-500-500"
    assert crop_id(still, "head", (0.5, 1.5, 1.5, 2.4), (1000, 1000)) == f"{still}#head-1-2-1-1"
    assert crop_id(still, "hand", (-3, -2, 1003, 1005), (1000, 1000)) == f"{still}#hand-0-0-1000-1000"


def test_a_box_moved_by_less_than_a_thousandth_keeps_its_crop_id() -> None:
    still = frame_id(EPISODE, 1200)
    ids = {crop_id(still, "person", (480 + d, 108 + d, 1440 + d, 648 + d), (1920, 1080)) for d in (0, 0.2, -0.2)}
    assert len(ids) == 1
    assert crop_id(still, "person", (484, 108, 1444, 648), (1920, 1080)) not in ids


@pytest.mark.parametrize(
    ("still", "kind", "box", "size"),
    [
        ("frieren.s01e01", "person", (0, 0, 1, 1), (10, 10)),
        ("frieren.s01e01/00000000#head-0-0-1-1", "person", (0, 0, 1, 1), (10, 10)),
        ("frieren.s01e01/00000000", "Person", (0, 0, 1, 1), (10, 10)),
        ("frieren.s01e01/00000000", "half-body", (0, 0, 1, 1), (10, 10)),
        ("frieren.s01e01/00000000", "person", (5, 0, 1, 1), (10, 10)),
        ("frieren.s01e01/00000000", "person", (0, float("nan"), 1, 1), (10, 10)),
        ("frieren.s01e01/00000000", "person", (0, 0, 1, 1), (0, 10)),
    ],
)
def test_impossible_crops_are_refused(still: str, kind: str, box: tuple, size: tuple) -> None:
    with pytest.raises(ValueError, match=r"image id|is a crop itself|no kind of crop|impossible"):
        crop_id(still, kind, box, size)


def test_parts_of_an_id_are_told() -> None:
    crop = f"{EPISODE}/00083417#head-1-2-3-4"
    assert (episode_of(crop), still_of(crop), show_of(crop), pts_ms_of(crop)) == (
        EPISODE, f"{EPISODE}/00083417", "frieren", 83_417,
    )  # fmt: skip
    assert (episode_of(EPISODE), still_of(f"{EPISODE}/00083417"), show_of(EPISODE)) == (
        EPISODE, f"{EPISODE}/00083417", "frieren",
    )  # fmt: skip
    assert pts_ms_of(f"{EPISODE}/pan-00012000-00015000") == 12_000
    assert pts_ms_of(f"{EPISODE}/plate-00012000-00015000#person-1-2-3-4") == 12_000
    clip = clip_id(EPISODE, 12.0, 17.0004)
    assert (clip, pts_ms_of(clip), is_clip(clip)) == (f"{EPISODE}/clip-00012000-00017000", 12_000, True)
    assert image_id(f"train/{file_name(clip)}.mp4") == clip
    assert not is_clip(f"{EPISODE}/pan-00012000-00015000")


def test_what_is_made_of_a_span_is_called_after_its_frames_and_is_told_from_them() -> None:
    pan, plate = panorama_id(EPISODE, 12.0, 15.0004), plate_id(EPISODE, 12.0, 100_000.0)
    subject = plate_id(EPISODE, 12.0, 15.0, 13.5)
    assert (pan, plate) == (f"{EPISODE}/pan-00012000-00015000", f"{EPISODE}/plate-00012000-100000000")
    assert subject == f"{EPISODE}/plate-00012000-00015000-with-00013500"
    assert [kind_of_span(it) for it in (pan, plate, subject, f"{subject}#head-1-2-3-4", clip_id(EPISODE, 1, 2))] == [
        "panorama", "plate", "plate_with_subject", "plate_with_subject", "clip",
    ]  # fmt: skip
    assert [span_ms_of(it) for it in (plate, subject, f"{EPISODE}/00000040", f"{EPISODE}/01-a1b2c3d4")] == [
        (12_000, 100_000_000), (12_000, 15_000), (40, 40), None,
    ]  # fmt: skip
    for image in (pan, plate, subject, crop_id(subject, "head", (1, 2, 3, 4), (9, 9))):
        assert image_id(f"train/{file_name(image)}.webp") == check_image(image)
        assert (episode_of(image), show_of(image)) == (EPISODE, "frieren")
    with pytest.raises(ValueError, match="cannot last"):
        panorama_id(EPISODE, 15.0, 12.0)


def test_frames_and_pictures_are_made_of_no_span() -> None:
    no_clip = f"{EPISODE}/clip-00000001-00000002-with-00000001"
    for image in (f"{EPISODE}/00000040", f"{EPISODE}/pan_00000001-00000002-a1b2c3d4", no_clip):
        assert kind_of_span(image) == ""
    assert pts_ms_of(no_clip) is None


def test_no_picture_of_a_folder_passes_for_a_frame_or_a_panorama() -> None:
    for number in range(3000):
        for name in (f"{number:08d}.png", f"pan-{number:08d}.png", f"plate-{number:08d}.png", f"pan/{number:08d}.png",
                     f"clip-{number:08d}.png", f"plate-{number:08d}-{number:08d}-with-.png"):  # fmt: skip
            assert pts_ms_of(picture_id("art.folder", name)) is None


def test_file_names_hold_no_dots_or_underscores_and_come_back() -> None:
    crop = "my_show.e01/00083417#head-1-2-3-4"
    assert file_name(crop) == "my+show~e01@00083417=head-1-2-3-4"
    assert image_id("my+show~e01@00083417=head-1-2-3-4") == crop
    assert file_name(EPISODE) == "frieren~s01e01"
    assert image_id("frieren~s01e01") == EPISODE


def test_ids_come_back_from_any_file_that_bears_them() -> None:
    rng = random.Random(7)
    seen = {}
    for _ in range(5000):
        image = random_image(rng)
        name = file_name(image)
        assert seen.setdefault(name, image) == image
        digits = f"{rng.getrandbits(48):012x}"
        for bearer in (
            name,
            f"{name}.webp",
            f"{name}-{digits}.webp",
            f"{name}-{digits}.webp.txt",
            f"crops/{episode_of(image)}/{name}-{digits}.png",
            f"C:\\sets\\fern\\{name}.txt",
        ):
            assert image_id(bearer) == image


def test_file_names_are_safe_on_every_system() -> None:
    rng = random.Random(8)
    for _ in range(5000):
        image = random_image(rng)
        name = f"{file_name(image)}-{rng.getrandbits(48):012x}.webp"
        assert len(name) < 200
        assert re.fullmatch(r"[a-z0-9~@=+-]+\.webp", name)
        assert image == image.lower()
    # A device is a name before the first dot; an id always goes on after its show.
    for device in ("con", "aux", "nul", "prn", "com1", "lpt9"):
        assert file_name(f"{device}.e01/00000000").partition(".")[0] not in (device, device.upper())


@pytest.mark.parametrize("name", ["IMG_0001.png", "photo.png", "a@b@c.png", "a~b@c#d.png", "", "a b@c.png", "a@"])
def test_foreign_file_names_are_refused(name: str) -> None:
    if name == "photo.png":  # could be an episode's
        assert image_id(name) == "photo"
        return
    with pytest.raises(ValueError, match="not the file name of an image id"):
        image_id(name)


@pytest.mark.parametrize(
    "image", ["", "/", "a.b/", "a.b/C", "a.b/c/d", "a.b/c#d", "a.b/c#d-1-2-3", "../c", "a.b/c d", "a~b"]
)
def test_names_that_are_no_id_make_no_file(image: str) -> None:
    with pytest.raises(ValueError, match="no image id"):
        file_name(image)


def test_episode_keys_are_checked() -> None:
    assert check_episode("a" * 50 + "." + "b" * 49)
    for bad in ("a" * 101, "", "A.b", "a/b", "a..b", ".a", "a.", "a b", "a\n"):
        with pytest.raises(ValueError, match="no episode key"):
            check_episode(bad)
