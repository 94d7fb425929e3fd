"""What the loaders of BasicSR, traiNNer-redux and neosr demand of a set, restated from their sources; each takes the
options of a training part as its trainer reads them, raises AssertionError where the loader would fail or train on
something else, and gives the pairs that it would train on: (high-quality file, low-quality file or None)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

Pairs = list[tuple[str, str | None]]


def basicsr_pairs(options: Mapping[str, Any], scale: int) -> Pairs:
    """basicsr/data/paired_image_dataset.py by meta_info_file: names up to the first space, both parts by base name."""
    names = [line.strip().split(" ")[0] for line in Path(options["meta_info_file"]).read_text().splitlines()]
    pairs: Pairs = []
    for name in names:
        stem, ending = os.path.splitext(os.path.basename(name))
        lq = os.path.join(options["dataroot_lq"], f"{options['filename_tmpl'].format(stem)}{ending}")
        pairs.append((os.path.join(options["dataroot_gt"], name), lq))
    assert options["gt_size"] % scale == 0
    _check_pairs(pairs, scale, options["gt_size"])
    return pairs


def basicsr_single(meta_info: Path, root: Path) -> Pairs:
    """basicsr/data/realesrgan_dataset.py: paths below the root, up to the first space."""
    pairs: Pairs = [(str(root / line.strip().split(" ")[0]), None) for line in meta_info.read_text().splitlines()]
    assert all(Path(it).is_file() for it, _ in pairs)
    return pairs


def trainner_pairs(options: Mapping[str, Any], scale: int) -> Pairs:
    """traiNNer/data/paired_image_dataset.py by folders: recursive, each file a picture, paired by stem, no leftover."""
    assert "meta_info" not in options
    assert options.get("io_backend", {"type": "disk"}) == {"type": "disk"}
    pairs: Pairs = []
    for gt, lq in zip(options["dataroot_gt"], options["dataroot_lq"], strict=True):
        by_stem = [{os.path.splitext(it)[0]: os.path.join(root, it) for it in _scan(root)} for root in (gt, lq)]
        assert by_stem[0].keys() == by_stem[1].keys()
        pairs += [(by_stem[0][stem], by_stem[1][stem]) for stem in sorted(by_stem[0])]
    _check_pairs(pairs, scale, options["lq_size"] * scale)
    return pairs


def trainner_single(options: Mapping[str, Any], scale: int) -> Pairs:
    """traiNNer/data/realesrgan_dataset.py by folders: what is smaller than the crop and 32 px is padded with black."""
    assert "meta_info" not in options
    found: Pairs = [(os.path.join(root, it), None) for root in options["dataroot_gt"] for it in sorted(_scan(root))]
    for path, _ in found:
        assert min(_size(path)) >= options["lq_size"] * scale + 32
    return found


def neosr_pairs(options: Mapping[str, Any], scale: int) -> Pairs:
    """neosr/data/paired_dataset.py by folders: equal counts, the low-quality file by replacing the folder's path."""
    assert "meta_info" not in options
    gt, lq = options["dataroot_gt"], options["dataroot_lq"]
    scans = [
        [os.path.join(root, it) for it in _scan(root) if it.lower().endswith((".jpg", ".jpeg", ".png", ".webp"))]
        for root in (gt, lq)
    ]
    assert len(scans[0]) == len(scans[1])
    pairs: Pairs = [(path, path.replace(gt, lq)) for path in sorted(scans[0])]
    assert {it for _, it in pairs} == set(scans[1])
    _check_pairs(pairs, scale, options["patch_size"] * scale)
    return pairs


REDS_PARTITIONS = {"REDS4": {"000", "011", "015", "020"}, "official": {f"{it:03d}" for it in range(240, 270)}}


def basicsr_sequences(options: Mapping[str, Any], scale: int) -> list[str]:
    """basicsr/data/reds_dataset.py, vimeo90k_dataset.py and video_test_dataset.py: the sequences of a part, of which
    each frame lies in both folders and nothing else does, and whose sizes fit."""
    kind, keys = (
        options["type"],
        [line.split(" ")[0] for line in Path(options["meta_info_file"]).read_text().splitlines()],
    )
    assert options["num_frame"] % 2
    if kind.startswith("VideoTestVimeo90K"):
        assert not options["cache_data"]
    elif kind.startswith("Video"):
        assert options["name"].lower() in ("vid4", "reds4", "redsofficial")
        assert options["cache_data"] or "Recurrent" not in kind
    elif kind.startswith("REDS"):
        assert {line.split(" ")[1] for line in Path(options["meta_info_file"]).read_text().splitlines()} == {"100"}
        keys = [it for it in keys if it not in REDS_PARTITIONS[options["val_partition"]]]
    names = [f"im{it}.png" for it in range(1, 8)] if "Vimeo" in kind else [f"{it:08d}.png" for it in range(100)]
    for key in keys:
        folders = [Path(options[root]) / key for root in ("dataroot_gt", "dataroot_lq")]
        assert all(sorted(it.name for it in folder.iterdir()) == names for folder in folders)
        _check_pairs(
            [(str(folders[0] / it), str(folders[1] / it)) for it in names[:2]], scale, options.get("gt_size", 0)
        )
    assert options.get("gt_size", 0) % scale == 0
    return keys


def trainner_sequences(options: Mapping[str, Any], scale: int) -> dict[str, list[list[str]]]:
    """traiNNer/data/paired_video_dataset.py: by scene the windows of its files, in the order of their names, with the
    same names in the one folder and the other."""
    [gt], [lq] = options["dataroot_gt"], options["dataroot_lq"]
    names = sorted(os.listdir(lq))
    assert names == sorted(os.listdir(gt))
    _check_pairs([(f"{gt}/{it}", f"{lq}/{it}") for it in names], scale, options.get("lq_size", 0) * scale)
    return trainner_clips(names, options["clip_size"])


def reds_clips(meta_info: str, root: Path) -> list[str]:
    """basicsr/data/reds_dataset.py: three fields, 100 frames of 8 digits from 0, none called as its held-out clips."""
    clips = []
    for line in meta_info.splitlines(keepends=True):
        clip, frames, _ = line.split(" ")
        assert frames == "100"
        assert not any(clip in names for names in REDS_PARTITIONS.values())
        assert all((root / clip / f"{number:08d}.png").is_file() for number in range(100))
        clips.append(clip)
    return clips


def vimeo_clips(meta_info: str, root: Path) -> list[str]:
    """basicsr/data/vimeo90k_dataset.py: `<clip>/<sequence>`, im1 to im7."""
    keys = [line.split(" ")[0] for line in meta_info.splitlines()]
    for key in keys:
        clip, sequence = key.split("/")
        assert all((root / clip / sequence / f"im{number}.png").is_file() for number in range(1, 8))
    return keys


def trainner_clips(names: list[str], clip_size: int) -> dict[str, list[list[str]]]:
    """traiNNer/data/paired_video_dataset.py: by scene the windows of its files, in the order of their names."""
    scenes: dict[str, list[str]] = {}
    for name in sorted(names):
        scenes.setdefault(name.split("_")[0], []).append(name)
    return {
        scene: [files[at : at + clip_size] for at in range(len(files) - clip_size + 1)]
        for scene, files in scenes.items()
    }


def check_png(path: str) -> None:
    """8 bits, RGB, neither gamma nor profile nor anything but the picture."""
    data = Path(path).read_bytes()
    assert (data[24], data[25]) == (8, 2)
    names, at = [], 8
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4])
    assert set(names) == {b"IHDR", b"IDAT", b"IEND"}


def _scan(root: str) -> Iterator[str]:
    for path in sorted(Path(root).rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(root).as_posix()


def _size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _check_pairs(pairs: Pairs, scale: int, crop: int) -> None:
    for gt, lq in pairs:
        assert lq is not None
        width, height = _size(lq)
        assert _size(gt) == (width * scale, height * scale)
        assert min(_size(gt)) >= crop
