"""Regularization classes in sets: what each trainer makes of them, by the rules of its loader."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.training.exporters import PROFILES, ExportError, load_profile
from dataset_pipeline.training.exporters.documents import CARD, MANIFEST
from dataset_pipeline.training.exporters.folder import differences_in
from dataset_pipeline.training.exporters.regularization import left_out_text, origin_text
from dataset_pipeline.training.exporters.remake import rebalance, recaption
from dataset_pipeline_tests.training.exporters.conftest import ABOUT, SampleSet, encoded
from dataset_pipeline_tests.training.exporters.test_everydream import as_everydream_reads
from dataset_pipeline_tests.training.exporters.test_kohya import class_of, reg_by_dataset_file, reg_by_folders

FERN, STARK = "1_character/fern", "1_character/stark"
SETTINGS = load_settings(resources_folder() / "settings.toml")
RECIPE = {
    "captions": SETTINGS.captions.model_dump(mode="json"),
    "balance": SETTINGS.concept_balance.model_dump(mode="json"),
    "tag_kinds": {},
}
ORIGIN = {
    "class": "woman",
    "source": "prompts",
    "generator": {
        "backend": "diffusers",
        "model": "animagine-xl",
        "sha256": "ef" * 32,
        "licence": "Fair AI Public License 1.0-SD",
        "steps": 28,
        "guidance": 7.0,
        "sampler": "euler",
    },
    "prompts": ["1girl, solo", "[x](http://x) <b> `y` | *z*\nsecond line"],
    "negative_prompt": "bad hands",
    "seed": "of each picture's id and 42",
    "requested": 700,
    "kept": 200,
}


def set_with(
    classes: Mapping[str, int],
    training: Mapping[str, tuple[int, float]],
    beside: Mapping[str, list[str]] | None = None,
    size_px: tuple[int, int] = (64, 48),
) -> SampleSet:
    """A set with so many pictures of each class. training: images and multiply by concept. The first in the order of
    preference has the last id."""
    sample = SampleSet(size_px)
    for concept, (images, multiply) in training.items():
        for _ in range(images):
            sample.add(len(sample.rows) % 50, concept, multiply, image_id=f"show.e1/{len(sample.rows):08d}")
    picture = encoded((9, 9, 9), (64, 64), ".webp")
    sample.data["regularization/one.webp"] = picture
    for name, count in classes.items():
        for place in range(count):
            sample.rows.append(
                sample.rows[0]
                | {
                    "image_id": f"{name}/{0xFFFFFFFF - place:08x}",
                    "episode": name,
                    "show": name,
                    "characters": [],
                    "concept": name,
                    "multiply": 1.0,
                    "caption": f"a {name}",
                    "path": "regularization/one.webp",
                    "width_px": 64,
                    "height_px": 64,
                    "file_sha256": hashlib.sha256(picture).hexdigest(),
                    "is_reg": True,
                    "place": place,
                    "beside": (beside or {}).get(name),
                }
            )
    return sample


def place_of(picture: str) -> int:
    """Of a class picture's file, by its id and by its name, which agree."""
    place = 0xFFFFFFFF - int(Path(picture).stem[-8:], 16)
    assert Path(picture).name.startswith(f"{place:05d}-")
    return place


def by_class(times: Mapping[str, int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for picture, count in times.items():
        counts[class_of(picture)] += count
    return counts


CASES = {  # classes, what each is to be shown, and the repeats that its folders are called by
    "300 and 300 for 200 slots": ({"woman": 300, "man": 300}, {"woman": 100, "man": 100}, {"woman": {1}, "man": {1}}),
    "30 for 200 slots": ({"woman": 30}, {"woman": 200}, {"woman": {1}}),
    "30 and 30 for 200 slots": ({"woman": 30, "man": 30}, {"woman": 100, "man": 100}, {"woman": {3, 4}, "man": {3, 4}}),
    "300 and 30 for 200 slots": ({"woman": 300, "man": 30}, {"woman": 100, "man": 100}, {"woman": {1}, "man": {3, 4}}),
    "three for 200 slots": (
        {"woman": 300, "man": 70, "old_man": 7},
        {"man": 67, "old_man": 67, "woman": 66},
        {"woman": {1}, "man": {1}, "old_man": {9, 10}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_kohya_shows_every_picture_it_is_given_and_each_class_its_share(case: str, tmp_path: Path):
    classes, wanted, repeats = CASES[case]
    folder = set_with(classes, {FERN: (20, 10.0)}).export("kohya", tmp_path).folder
    given = {str(path) for path in folder.glob("reg/*/*.webp")}
    found: dict[str, set[int]] = {}
    for path in folder.glob("reg/*"):
        found.setdefault(path.name.partition("_")[2], set()).add(int(path.name.partition("_")[0]))
    assert found == repeats
    backwards: Callable[[list[str]], list[str]] = lambda names: sorted(names, reverse=True)  # noqa: E731
    for times in (
        reg_by_folders(folder),
        reg_by_folders(folder, backwards),
        reg_by_dataset_file(folder / "dataset.toml", folder),
        reg_by_dataset_file(folder / "absolute/dataset.toml", Path("/")),
    ):
        assert times.keys() == given
        assert by_class(times) == wanted
        for name, count in classes.items():
            of_class = sorted((place_of(it), shown) for it, shown in times.items() if class_of(it) == name)
            assert [place for place, _ in of_class] == list(range(min(count, wanted[name])))
            shown = [shown for _, shown in of_class]
            assert shown == sorted(shown, reverse=True)
            assert shown[0] - shown[-1] <= 1


def test_the_checker_starves_a_class_as_kohya_does_where_pictures_are_not_cut(tmp_path: Path):
    folder = set_with({"woman": 3, "man": 3}, {FERN: (2, 2.0)}).export("kohya", tmp_path).folder
    assert by_class(reg_by_folders(folder)) == {"woman": 2, "man": 2}
    for name, of in (("00002-x", "man"), ("00003-y", "man")):
        data = next(folder.glob(f"reg/1_{of}/*.webp")).read_bytes()
        (folder / f"reg/1_{of}/{name}.webp").write_bytes(data)
    assert by_class(reg_by_folders(folder)) == {"man": 4}


def test_a_class_is_shown_for_the_images_it_stands_beside(tmp_path: Path):
    stark = [f"show.e1/{number:08d}" for number in range(4, 10)]
    training = {FERN: (4, 3.0), STARK: (6, 2.0)}
    sample = set_with({"woman": 50, "man": 50}, training, beside={"man": stark})
    folder = sample.export("kohya", tmp_path).folder
    assert by_class(reg_by_dataset_file(folder / "dataset.toml", folder)) == {"woman": 12 + 6, "man": 6}
    assert json.loads((folder / MANIFEST).read_text())["recipe"]["regularization"] == {"man": stark, "woman": None}
    # A class beside some images alone: kohya fills all slots, others show it as often as those images.
    sample = set_with({"man": 50}, training, beside={"man": stark})
    folder = sample.export("kohya", tmp_path).folder
    assert by_class(reg_by_dataset_file(folder / "dataset.toml", folder)) == {"man": 24}
    (man,) = regularizing(sample.export("onetrainer", tmp_path).folder)
    assert man["balancing"] == 12.0


def regularizing(folder: Path) -> list[dict[str, Any]]:
    concepts = json.loads((folder / "concepts.json").read_text())
    return [concept for concept in concepts if concept["type"] == "PRIOR_PREDICTION"]


def test_onetrainer_takes_a_number_of_each_class_and_has_all_its_pictures(tmp_path: Path):
    folder = set_with({"woman": 300, "man": 30}, {FERN: (20, 10.0)}).export("onetrainer", tmp_path).folder
    assert [(it["name"], it["balancing"], it["balancing_strategy"]) for it in regularizing(folder)] == [
        ("man", 100.0, "SAMPLES"),
        ("woman", 100.0, "SAMPLES"),
    ]
    assert len(list(folder.glob("reg/woman/*.webp"))) == 300
    assert "only LoRA training knows" in (folder / CARD).read_text()


def test_simpletuner_has_no_more_of_a_class_than_its_share(tmp_path: Path):
    folder = set_with({"woman": 300, "man": 30}, {FERN: (20, 10.0)}).export("simpletuner", tmp_path).folder
    datasets = json.loads((folder / "multidatabackend.json").read_text())
    found = {
        it["instance_data_dir"]: (it["repeats"], len(list((folder / it["instance_data_dir"]).glob("*.webp"))))
        for it in datasets
        if it.get("is_regularisation_data")
    }
    assert found == {"reg/man": (2, 30), "reg/woman": (0, 100)}


def test_ai_toolkit_draws_from_classes_by_their_shares_at_every_second_step(tmp_path: Path):
    folder = set_with({"woman": 300, "man": 30}, {FERN: (20, 10.0)}).export("ai_toolkit", tmp_path).folder
    datasets = yaml.safe_load((folder / "datasets.yaml").read_text())["datasets"]
    found = {it["folder_path"]: (it["num_repeats"], it.get("is_reg", False)) for it in datasets}
    assert found == {
        "train/1_character~fern": (10, False),
        "reg/man": (10, True),
        "reg/woman": (1, True),
    }
    assert len(list(folder.glob("reg/woman/*.webp"))) == 300
    assert "take every second step, however many there are" in (folder / CARD).read_text()


def test_everydream_shows_each_class_as_often_as_its_share_and_can_weigh_it(tmp_path: Path):
    folder = set_with({"woman": 300, "man": 30}, {FERN: (20, 10.0)}).export("everydream", tmp_path).folder
    shown: Counter[str] = Counter()
    for name, (_, _, multiply) in as_everydream_reads(folder / "train").items():
        shown[name.partition("@")[0]] += multiply  # type: ignore[assignment]  # a Counter of floats
    assert shown == {"show~e1": 200.0, "woman": pytest.approx(100, rel=0.02), "man": pytest.approx(100, rel=0.02)}
    scales = {path.parent.name: float(path.read_text()) for path in folder.rglob("loss_scale.txt")}
    assert scales == {"woman": 1.0, "man": 1.0}


@pytest.mark.parametrize("profile", PROFILES)
def test_where_pictures_are_left_out_it_is_said_why(profile: str, tmp_path: Path):
    report = set_with({"woman": 30}, {FERN: (4, 2.0)}).export(profile, tmp_path)
    said = {
        "diffusion_pipe": "30 regularization pictures are not in the set: diffusion-pipe knows none.",
        "musubi": "30 regularization pictures are not in the set: musubi-tuner knows none.",
        **{
            name: f"22 regularization pictures are not in the set: {load_profile(name).title} shows as many in an "
            "epoch as there are images to train on with their repeats, and would never show these."
            for name in ("kohya", "simpletuner")
        },
    }
    assert report.left_out == said.get(profile, "")
    assert report.images == 4 + {"kohya": 8, "simpletuner": 8, "diffusion_pipe": 0, "musubi": 0}.get(profile, 30)
    assert report.folder.name.startswith(f"show-{profile}-")  # and not after the classes


def test_of_one_picture_left_out_it_is_said_too():
    assert left_out_text("x", load_profile("musubi").regularization, 1).startswith("1 regularization picture is not")


def test_a_class_that_stands_beside_nothing_is_left_out(tmp_path: Path):
    for profile in ("kohya", "onetrainer", "ai_toolkit", "simpletuner", "everydream"):
        sample = set_with({"woman": 3, "man": 3}, {FERN: (4, 1.0)}, beside={"man": []})
        report = sample.export(profile, tmp_path, recipe=RECIPE)
        manifest = json.loads((report.folder / MANIFEST).read_text())
        assert {entry["concept"] for entry in manifest["images"] if entry["part"] == "reg"} == {"woman"}
        assert list(manifest["recipe"]["regularization"]) == ["woman"]
        assert report.left_out
        recaption(report.folder, {})
        assert recaption(report.folder, {}).written == 0


# ------------------------------------------------------------------------------------------------ made anew


def layout_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights(fern: float, stark: float) -> dict[str, Any]:
    return {"weights": [{"pattern": FERN, "weight": fern}, {"pattern": STARK, "weight": stark}], "max_multiply": 50.0}


def balanced(folder: Path) -> Path:
    rebalance(folder, weights(1, 1))
    return folder


@pytest.mark.parametrize(
    "profile",
    [
        "kohya",
        "onetrainer",
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("simpletuner", "everydream")),
    ],
)
def test_other_multiplies_divide_classes_anew_and_back_again_no_byte_differs(profile: str, tmp_path: Path):
    stark = [f"show.e1/{number:08d}" for number in range(10, 20)]
    sample = set_with({"woman": 25, "man": 12}, {FERN: (10, 1.0), STARK: (10, 1.0)}, beside={"man": stark})
    folder = balanced(sample.export(profile, tmp_path, recipe=RECIPE).folder)
    first = layout_of(folder)
    for change in (weights(1, 3), weights(4, 1)):
        rebalance(folder, change)
        assert differences_in(folder) == []
        # 10 x fern and 10 x stark, of which half is for men; woman stands beside all.
        fern, men = 10 * change["weights"][0]["weight"], 10 * change["weights"][1]["weight"] / 2
        if profile == "kohya":
            times = reg_by_dataset_file(folder / "dataset.toml", folder)
            assert by_class(times) == {"woman": fern + men, "man": men}
            assert by_class(reg_by_folders(folder)) == {"woman": fern + men, "man": men}
            assert times.keys() == {str(path) for path in folder.glob("reg/*/*.webp")}
        if profile == "onetrainer":
            assert [it["balancing"] for it in regularizing(folder)] == [men, fern + men]
    balanced(folder)
    assert layout_of(folder) == first


def test_what_is_too_much_after_new_multiplies_lies_apart_and_comes_back(tmp_path: Path):
    sample = set_with({"woman": 40}, {FERN: (4, 10.0)})
    folder = sample.export("kohya", tmp_path, recipe=RECIPE).folder
    first = sorted(path.name for path in folder.glob("reg/1_woman/*.webp"))
    made = rebalance(folder, {})  # of one concept alone every image is shown once
    assert "reg/1_woman -> spare/woman (36 pictures)" in made.renamed
    assert sorted(path.name for path in folder.glob("reg/1_woman/*.webp")) == first[:4]
    assert sorted(path.name for path in folder.glob("spare/woman/*.webp")) == first[4:]
    assert differences_in(folder) == []
    rebalance(folder, {"min_multiply": 5.0, "max_multiply": 5.0})
    assert len(list(folder.glob("reg/1_woman/*.webp"))) == 20
    assert by_class(reg_by_folders(folder)) == {"woman": 20}


def test_a_picture_that_moves_takes_its_edited_caption_and_caches_along(tmp_path: Path):
    sample = set_with({"woman": 10, "man": 10}, {FERN: (4, 5.0)})
    folder = sample.export("kohya", tmp_path, recipe=RECIPE).folder
    last = sorted((folder / "reg/1_woman").glob("*.webp"))[-1]
    last.with_suffix(".txt").write_text("my own words")
    (last.parent / f"{last.stem}_0064x0064_sdxl.npz").write_bytes(b"latents")
    (last.parent / "metadata_cache.json").write_bytes(b"of them all")
    made = rebalance(folder, {"min_multiply": 4.0})
    moved = folder / "spare/woman"
    assert made.left == (f"spare/woman/{last.stem}.txt",)
    assert (moved / f"{last.stem}.txt").read_text() == "my own words"
    assert (moved / f"{last.stem}_0064x0064_sdxl.npz").read_bytes() == b"latents"
    assert "reg/1_woman/metadata_cache.json" in made.stale
    rebalance(folder, {"min_multiply": 5.0})
    assert last.with_suffix(".txt").read_text() == "my own words"
    assert not moved.exists()


def test_class_pictures_that_are_gone_leave_the_others_their_shares(tmp_path: Path):
    sample = set_with({"woman": 10, "man": 10}, {FERN: (20, 1.0)})
    folder = sample.export("kohya", tmp_path, recipe=RECIPE).folder
    for path in sorted((folder / "reg/1_woman").glob("*.webp"))[3:]:
        path.unlink()
    assert len(rebalance(folder, {}, drop_missing=True).dropped) == 7
    assert by_class(reg_by_folders(folder)) == {"woman": 10, "man": 10}
    assert {path.name for path in folder.glob("reg/*")} == {"1_man", "3_woman", "4_woman"}
    for path in folder.glob("reg/?_woman/*.webp"):
        path.unlink()
    rebalance(folder, {}, drop_missing=True)
    assert by_class(reg_by_folders(folder)) == {"man": 20}


def test_captions_of_class_pictures_stay_and_so_do_those_edited_by_hand(tmp_path: Path):
    sample = set_with({"woman": 3}, {FERN: (4, 1.0)})
    folder = sample.export("kohya", tmp_path, recipe=RECIPE).folder
    texts = sorted(folder.glob("reg/*/*.txt"))
    texts[0].write_text("my own words")
    made = recaption(folder, {"template": "sentence"})
    assert made.captions.isdisjoint({row["image_id"] for row in sample.rows if row.get("is_reg")})
    assert [path.read_text() for path in texts] == ["my own words", "a woman", "a woman"]
    assert made.left == (texts[0].relative_to(folder).as_posix(),)


def test_a_caption_that_a_person_wrote_is_read_back_from_a_manifest(tmp_path: Path):
    sample = set_with({}, {FERN: (2, 1.0)})
    sample.rows[0] |= {"written": "said by a person", "caption": "said by a person"}
    folder = sample.export("plain", tmp_path, recipe=RECIPE).folder
    recaption(folder, {"template": "sentence"})
    assert (folder / "train/show~e1@00000000.txt").read_text() == "said by a person"


def test_killed_on_the_way_no_class_picture_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sample = set_with({"woman": 4, "man": 3}, {FERN: (2, 4.0)})
    whole = sample.export("kohya", tmp_path / "whole", recipe=RECIPE).folder
    rebalance(whole, {"min_multiply": 2.0})
    wanted = {path: data for path, data in layout_of(whole).items() if not path.startswith("absolute/")}
    real = os.replace
    for fatal in range(2, 60, 5):
        folder = sample.export("kohya", tmp_path / str(fatal), recipe=RECIPE).folder
        left = [fatal]

        def killed(source: Any, target: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            real(source, target)

        monkeypatch.setattr(os, "replace", killed)
        try:
            rebalance(folder, {"min_multiply": 2.0})
            break
        except KeyboardInterrupt:
            monkeypatch.setattr(os, "replace", real)
        assert rebalance(folder, {"min_multiply": 2.0}).left == ()
        found = {path: data for path, data in layout_of(folder).items() if not path.startswith("absolute/")}
        assert found == wanted, fatal
    assert fatal > 10


# ------------------------------------------------------------------------------------------------ told and refused


def test_the_card_tells_of_each_class_its_numbers_and_where_it_comes_from(tmp_path: Path):
    sample = set_with({"woman": 300, "man": 30}, {FERN: (20, 10.0)})
    card = (sample.export("kohya", tmp_path, ABOUT | {"regularization": [ORIGIN]}).folder / CARD).read_text()
    assert "150 pictures (20 to train on, 130 for regularization)" in card
    assert "| man | 30 | 100 | 3.33 |" in card
    assert "| woman | 100 | 100 | 1.00 |" in card
    assert origin_text(ORIGIN) in card
    assert "| reg |" not in card
    told = card.partition("### woman\n\n")[2].partition("\n\n## ")[0].splitlines()
    assert told == [
        "- source: prompts",
        f"- made by: animagine-xl, sha256 {'ef' * 32}, steps 28, guidance 7.0, sampler euler, through diffusers",
        "- licence of what it makes, as the settings state it: Fair AI Public License 1.0-SD",
        "- seed: of each picture's id and 42",
        "- asked for 700, kept 200",
        "- prompt: 1girl, solo",
        "- prompt: \\[x\\](http://x) &lt;b&gt; \\`y\\` \\| \\*z\\* second line",
        "- negative prompt: bad hands",
    ]


def test_a_class_without_a_generator_names_none_and_a_licence_not_stated_is_asked_for():
    assert origin_text({"class": "style", "source": "stills", "kept": 3, "requested": 9}).splitlines() == [
        "### style",
        "",
        "- source: stills",
        "- asked for 9, kept 3",
    ]
    text = origin_text({"class": "x", "generator": {"backend": "sdapi"}, "prompts": [f"p{n}" for n in range(23)]})
    assert "- made by: a model without a name, through sdapi" in text
    assert "not stated; write it into \\[generator\\] licence" in text
    assert text.endswith("- prompt: p19\n- and 3 more prompts, which `manifest.json` lists")


def test_a_set_without_classes_says_nothing_of_them(sample: SampleSet, tmp_path: Path):
    for profile in PROFILES:
        folder = sample.export(profile, tmp_path).folder
        assert "## Regularization" not in (folder / CARD).read_text()
        assert "regularization" not in json.loads((folder / MANIFEST).read_text())["recipe"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"place": -1}, "image woman/fffffffe has the place -1; the first is 0"),
        (
            {"beside": ["show.e1/00000000"]},
            r"class woman stands beside two lists of images, the second on image woman/",
        ),
        ({"caption": "two\nlines"}, "woman/fffffffe has no one-line caption"),
        ({"concept": "../woman"}, r"concept \.\./woman is no folder of a set"),
    ],
)
def test_rows_of_classes_that_cannot_be_are_refused(change: dict, message: str, tmp_path: Path):
    sample = set_with({"woman": 3}, {FERN: (4, 1.0)})
    sample.rows[5] |= change
    with pytest.raises(ExportError, match=message):
        sample.export("kohya", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_dataset_file_calls_classes_by_their_repeats(tmp_path: Path):
    folder = set_with({"woman": 300, "man": 30}, {FERN: (20, 10.0)}).export("kohya", tmp_path).folder
    subsets = tomllib.loads((folder / "dataset.toml").read_text())["datasets"][0]["subsets"]
    assert [(it["image_dir"], it["num_repeats"]) for it in subsets if it.get("is_reg")] == [
        ("reg/4_man", 4),
        ("reg/3_man", 3),
        ("reg/1_woman", 1),
    ]
