from __future__ import annotations

import glob
import io
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

# The keys that `library/config_util.py` allows; its schemas refuse any other.
SUBSET = {
    **dict.fromkeys(["num_repeats", "keep_tokens", "token_warmup_min", "caption_dropout_every_n_epochs"], int),
    **dict.fromkeys(["color_aug", "flip_aug", "random_crop", "shuffle_caption", "enable_wildcard"], bool),
    **dict.fromkeys(["caption_separator", "keep_tokens_separator", "secondary_separator"], str),
    **dict.fromkeys(["caption_prefix", "caption_suffix"], str),
    **dict.fromkeys(["caption_dropout_rate", "caption_tag_dropout_rate", "token_warmup_step"], float),
}
DREAMBOOTH = {"caption_extension": str, "class_tokens": str, "cache_info": bool}
DATASET = {
    **dict.fromkeys(["batch_size", "bucket_reso_steps", "max_bucket_reso", "min_bucket_reso", "resolution"], int),
    **dict.fromkeys(["bucket_no_upscale", "enable_bucket"], bool),
    "network_multiplier": float,
}
VALIDATION = {"validation_split": float, "validation_seed": int}  # since v0.10; older versions refuse them
SUBSETS_OF = {
    "dreambooth": {**SUBSET, **DREAMBOOTH, "image_dir": str, "is_reg": bool},
    "finetune": {**SUBSET, "image_dir": str, "metadata_file": str},
    "controlnet": {**SUBSET, "caption_extension": str, "cache_info": bool}
    | {"image_dir": str, "conditioning_data_dir": str},
}
EXTENSIONS = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".PNG", ".JPG", ".JPEG", ".WEBP", ".BMP"]


def glob_images(folder: str, stem: str = "*") -> list[str]:
    """As in sd-scripts: not into subfolders, each extension in turn."""
    found = []
    for extension in EXTENSIONS:
        if stem == "*":
            found += glob.glob(os.path.join(glob.escape(folder), "*" + extension))
        else:
            found += glob.glob(glob.escape(os.path.join(folder, stem + extension)))
    return sorted(found)


def stem_of(picture: str) -> str:
    """Of a regularization picture without its place in the order of preference."""
    return re.sub(r"^\d{5}-(?=.*@)", "", Path(picture).stem)


def strict(values: dict[str, Any], schema: dict[str, type], ignored: str = "") -> None:
    for key, value in values.items():
        if key != ignored:
            assert type(value) is schema[key], f"{key} = {value!r}"


def caption_of(picture: str, extension: str) -> str:
    """The first line of the file of the same stem; an empty file is an assertion in sd-scripts."""
    lines = Path(os.path.splitext(picture)[0] + extension).read_text("utf-8").splitlines()
    assert lines
    assert lines[0].strip()
    return lines[0].strip()


def filled(subsets: Iterable[tuple[int, list[str]]], slots: int) -> dict[str, int]:
    """How often an epoch shows each picture of regularization subsets (repeats, pictures), as `DreamBoothDataset`
    counts them: whole subsets until the slots are full, then each picture once more in the same order."""
    pictures = [(picture, repeats) for repeats, there in subsets for picture in there]
    times: dict[str, int] = {}
    shown, is_first = 0, True
    while pictures and shown < slots:
        for picture, repeats in pictures:
            more = repeats if is_first else 1
            times[picture] = times.get(picture, 0) + more
            shown += more
            if shown >= slots:
                break
        is_first = False
    return times


def class_of(picture: str) -> str:
    """The name of a regularization picture's class folder, without its repeats."""
    return Path(picture).parent.name.partition("_")[2]


def reg_by_folders(folder: Path, listed: Callable[[list[str]], list[str]] = sorted) -> dict[str, int]:
    """`--train_data_dir train --reg_data_dir reg`: how often an epoch shows each regularization picture, where the disk
    lists the folders in this order."""
    slots = sum(repeats for repeats, _ in by_folders(folder / "train").values())
    names = listed([path.name for path in (folder / "reg").iterdir()])
    return filled(((int(name.partition("_")[0]), glob_images(str(folder / "reg" / name))) for name in names), slots)


def reg_by_dataset_file(path: Path, cwd: Path) -> dict[str, int]:
    """`--dataset_config`: how often an epoch shows each regularization picture of the first dataset."""
    slots, subsets = 0, []
    for subset in tomllib.loads(path.read_text("utf-8"))["datasets"][0]["subsets"]:
        pictures = glob_images(str(cwd / subset["image_dir"]))
        if subset.get("is_reg"):
            subsets.append((subset["num_repeats"], pictures))
        else:
            slots += subset["num_repeats"] * len(pictures)
    return filled(subsets, slots)


def by_folders(data_dir: Path) -> dict[str, tuple[int, str]]:
    """`--train_data_dir`: stem -> (repeats, caption)."""
    found: dict[str, tuple[int, str]] = {}
    for name in os.listdir(data_dir):
        first, *tokens = name.split("_")
        repeats = int(first)
        assert repeats >= 1
        assert "_".join(tokens)
        assert [path.name for path in (data_dir / name).iterdir() if path.is_dir()] == []
        for picture in glob_images(str(data_dir / name)):
            assert stem_of(picture) not in found
            found[stem_of(picture)] = (repeats, caption_of(picture, ".txt"))
    return found


def by_dataset_file(path: Path, cwd: Path, is_old: bool = False) -> dict[str, dict[str, tuple[int, str]]]:
    """`--dataset_config` of a trainer started in `cwd`, v0.9 if `is_old`: "train", "reg" and, if there is a dataset
    held out, "validation" -> stem -> (repeats, prompt)."""
    config = tomllib.loads(path.read_text("utf-8"))
    assert config.keys() <= {"general", "datasets"}
    general = config.get("general", {})
    strict(general, DATASET | SUBSET | DREAMBOOTH)
    if "keep_tokens_separator" in general:
        assert general["shuffle_caption"] is True
    found: dict[str, dict[str, tuple[int, str]]] = {"train": {}, "reg": {}}
    for dataset in config["datasets"]:
        subsets = dataset["subsets"]
        kind = next(
            (kind for kind, key in (("controlnet", "conditioning_data_dir"), ("finetune", "metadata_file"))
             if all(key in subset for subset in subsets)), "dreambooth"
        )  # fmt: skip
        known = DATASET | SUBSET | (DREAMBOOTH if kind == "dreambooth" else {}) | ({} if is_old else VALIDATION)
        strict(dataset, known, ignored="subsets")
        assert dataset["enable_bucket"] is True
        assert dataset["bucket_reso_steps"] % 64 == 0  # verify_bucket_reso_steps
        # A share of 1 holds out the whole dataset, by a share between 0 and 1 some of it.
        assert dataset.get("validation_split", 1.0) == 1.0
        is_validation = "validation_split" in dataset
        identity = "metadata_file" if kind == "finetune" else "image_dir"
        assert len({subset[identity] for subset in subsets}) == len(subsets)
        masks: set[str] = set()
        for subset in subsets:
            strict(subset, SUBSETS_OF[kind])
            assert subset["num_repeats"] >= 1
            folder = str(cwd / subset["image_dir"])
            assert os.path.isdir(folder)
            name = "reg" if subset.get("is_reg") else "validation" if is_validation else "train"
            part = found.setdefault(name, {})
            if kind == "finetune":
                prompts = by_metadata(cwd / subset["metadata_file"], folder, cwd, is_old)
            else:
                extension = general["caption_extension"]
                prompts = {picture: caption_of(picture, extension) for picture in glob_images(folder)}
                assert prompts
            for picture, prompt in prompts.items():
                assert stem_of(picture) not in part
                part[stem_of(picture)] = (subset["num_repeats"], prompt)
            if kind == "controlnet":
                beside = str(cwd / subset["conditioning_data_dir"])
                for picture in prompts:
                    mask = glob_images(beside, Path(picture).stem)
                    assert len(mask) == 1, f"missing conditioning data: {picture}"
                    masks |= set(mask)
        if kind == "controlnet":
            there = {path for subset in subsets for path in glob_images(str(cwd / subset["conditioning_data_dir"]))}
            assert there == masks, "extra conditioning data"
    return found


def by_metadata(path: Path, image_dir: str, cwd: Path, is_old: bool) -> dict[str, str]:
    """Picture -> prompt. v0.9 takes a key as a path from `cwd`, else adds a suffix to it below `image_dir`; newer
    versions take it as a path below `image_dir`."""
    prompts = {}
    for key, entry in json.loads(path.read_text("utf-8")).items():
        assert entry.keys() <= {"caption", "tags", "image_size"}
        picture = os.path.join(image_dir, key)
        if is_old:
            picture = str(cwd / key) if (cwd / key).exists() else glob_images(image_dir, key)[0]
        with Image.open(picture) as opened:
            assert list(opened.size) == entry["image_size"]
        tags = entry.get("tags")
        prompts[picture] = entry["caption"] + ("," if entry["caption"] and tags else "") + (tags or "")
    assert prompts
    return prompts


def expected(sample, part: str, repeats: dict[str, int]) -> dict[str, tuple[int, str]]:
    return {stem: (repeats[row["concept"]], row["caption"]) for stem, row in sample.of_part(part).items()}


REPEATS = {"0_characters/character_others": 1, "1_character/fern": 1, "2_characters/fern+フリーレン": 4, "1girl": 1}


def test_by_folders_the_trainer_finds_every_picture_with_its_repeats_and_caption(parted, tmp_path: Path):
    folder = parted.export("kohya", tmp_path).folder
    assert by_folders(folder / "train") == expected(parted, "train", REPEATS)
    assert by_folders(folder / "reg") == expected(parted, "reg", REPEATS)
    assert (folder / "train/4_2_characters~fern+フリーレン/show~e1@00000003.webp").is_file()


@pytest.mark.parametrize("where", [".", "absolute"])
def test_by_dataset_file_the_trainer_finds_the_same(parted, tmp_path: Path, where: str):
    folder = parted.export("kohya", tmp_path).folder
    cwd = folder if where == "." else Path("/")
    found = by_dataset_file(folder / where / "dataset.toml", cwd)
    assert found == {part: expected(parted, part, REPEATS) for part in ("train", "reg")}
    config = tomllib.loads((folder / where / "dataset.toml").read_text("utf-8"))
    assert config["general"] == {"caption_extension": ".txt"}
    assert all(Path(s["image_dir"]).is_absolute() == (where == "absolute") for s in config["datasets"][0]["subsets"])


@pytest.mark.parametrize("is_old", [False, True], ids=["today", "v0.9"])
@pytest.mark.parametrize("where", [".", "absolute"])
def test_by_metadata_the_trainer_finds_the_same_prompts(parted, tmp_path: Path, where: str, is_old: bool):
    folder = parted.export("kohya", tmp_path).folder
    cwd = folder if where == "." or is_old else Path("/")
    found = by_dataset_file(folder / where / "finetune.toml", cwd, is_old)
    assert found == {"train": expected(parted, "train", REPEATS), "reg": {}}
    assert {path.stem for path in folder.glob("metadata/*")} == {path.name for path in folder.glob("train/*")}


def test_a_prompt_by_metadata_is_the_caption_to_the_letter_whatever_of_it_is_a_tag(sample, tmp_path: Path):
    sample.rows[0]["tags"] = ["long_hair", "^_^", "tag 0", "not in the caption"]
    sample.rows[1]["tags"] = ["1girl", "fern", "^_^", "long hair", "tag 1"]
    folder = sample.export("kohya", tmp_path).folder
    metadata = json.loads((folder / "metadata/1_1_character~fern.json").read_text("utf-8"))
    assert metadata["train/1_1_character~fern/show~e1@00000000.webp"] == {
        "caption": sample.rows[0]["caption"],
        "image_size": [64, 48],
    }
    for is_old in (False, True):
        assert by_dataset_file(folder / "finetune.toml", folder, is_old)["train"] == expected(sample, "train", REPEATS)


@pytest.mark.parametrize("where", [".", "absolute"])
def test_held_out_pictures_are_a_validation_set_in_a_file_of_its_own(parted, tmp_path: Path, where: str):
    folder = parted.export("kohya", tmp_path).folder
    cwd = folder if where == "." else Path("/")
    assert by_dataset_file(folder / where / "dataset-validation.toml", cwd) == {
        part: expected(parted, part, REPEATS) for part in ("train", "reg", "validation")
    }
    assert by_dataset_file(folder / where / "dataset.toml", cwd, is_old=True).keys() == {"train", "reg"}
    with pytest.raises(KeyError, match="validation_split"):
        by_dataset_file(folder / where / "dataset-validation.toml", cwd, is_old=True)


def test_where_nothing_is_held_out_there_is_no_file_for_validation(sample, tmp_path: Path):
    assert not list(sample.export("kohya", tmp_path).folder.rglob("*validation*"))


def test_pictures_below_a_step_are_named_by_the_card_and_others_are_not(sample, tmp_path: Path):
    for row in sample.rows[:2]:
        row |= {"width_px": 64, "height_px": 63}
    for row in sample.rows[2:]:
        row |= {"width_px": 64, "height_px": 64}
    card = (sample.export("kohya", tmp_path).folder / "README.md").read_text("utf-8")
    assert "**Pictures with a side below 64 px: 2." in card
    assert "`show.e1/00000000`, `show.e1/00000001`." in card
    for row in sample.rows[:2]:
        row["height_px"] = 64
    assert "with a side below" not in (sample.export("kohya", tmp_path).folder / "README.md").read_text("utf-8")


def test_of_many_pictures_below_a_step_the_card_names_twenty(sample, tmp_path: Path):
    for number in range(20, 40):
        sample.add(number, "1_character/small", 1.0)
    card = (sample.export("kohya", tmp_path).folder / "README.md").read_text("utf-8")
    assert "**Pictures with a side below 64 px: 26." in card
    assert " and 6 more." in card


def test_every_picture_has_a_mask_and_every_mask_a_picture(masked, tmp_path: Path):
    folder = masked.export("kohya", tmp_path).folder
    repeats = REPEATS | {"1_character/fern": 1, "2_characters/fern+フリーレン": 4}
    assert by_dataset_file(folder / "dataset-masked.toml", folder)["train"] == expected(masked, "train", repeats)
    by_stem = {path.stem: path for path in folder.glob("masks/*/*.png")}
    assert by_stem.keys() == masked.of_part("train").keys()
    assert by_stem["show~e1@00000011"].read_bytes() == masked.data["masks/11.png"]
    with Image.open(io.BytesIO(by_stem["show~e1@00000003"].read_bytes())) as white:
        assert (white.size, white.getextrema()) == ((67, 48), (255, 255))
    by_stem["show~e1@00000003"].unlink()
    with pytest.raises(AssertionError, match="missing conditioning data"):
        by_dataset_file(folder / "dataset-masked.toml", folder)


def test_without_masks_there_is_no_file_for_masks(sample, tmp_path: Path):
    folder = sample.export("kohya", tmp_path).folder
    assert not list(folder.rglob("*masked*"))
    assert not (folder / "masks").exists()


def test_masks_do_not_take_the_regularization_images_from_the_other_file(parted, tmp_path: Path):
    parted.add(11, mask=True)
    folder = parted.export("kohya", tmp_path).folder
    assert by_dataset_file(folder / "dataset.toml", folder)["reg"] == expected(parted, "reg", REPEATS)
    assert by_dataset_file(folder / "dataset-masked.toml", folder)["reg"] == {}


def test_the_mark_of_kept_words_comes_with_shuffling_and_only_with_it(sample, tmp_path: Path):
    sample.rows[0]["caption"] = "1girl, fern ||| long hair, dress"
    folder = sample.export("kohya", tmp_path).folder
    for name in ("dataset.toml", "finetune.toml"):
        general = tomllib.loads((folder / name).read_text("utf-8"))["general"]
        assert (general["shuffle_caption"], general["keep_tokens_separator"]) == (True, "|||")
        assert by_dataset_file(folder / name, folder)["train"]["show~e1@00000000"][1] == sample.rows[0]["caption"]
    card = (folder / "README.md").read_text("utf-8")
    assert '`--caption_extension .txt --enable_bucket --shuffle_caption --keep_tokens_separator "|||"`' in card
    assert "A mark cannot be used with `--cache_text_encoder_outputs`" in card


def test_without_a_mark_the_card_says_nothing_of_shuffling(sample, tmp_path: Path):
    card = (sample.export("kohya", tmp_path).folder / "README.md").read_text("utf-8")
    assert "`--caption_extension .txt --enable_bucket`" in card
    assert "shuffle" not in card


def test_a_concept_of_any_name_is_read_back(sample, tmp_path: Path):
    names = ['1_character/a "b" \\ c', "1_character/#1 = [x]", "1_character/100_percent", "1_character/ünï★𝕏"]
    for number, name in enumerate(names):
        sample.add(30 + number, name.replace("\\", "_") if os.name == "nt" else name, 2.0)
    folder = sample.export("kohya", tmp_path).folder
    repeats = {row["concept"]: 2 for row in sample.rows} | REPEATS
    assert by_dataset_file(folder / "dataset.toml", folder)["train"] == expected(sample, "train", repeats)
    assert by_folders(folder / "train") == expected(sample, "train", repeats)
