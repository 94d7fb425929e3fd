"""Sets as WebDataset shards: plain tar files in which the files of one sample follow one another.

A sample's key is the name up to the first dot, so that it holds none itself; every sample has the same suffixes, as
Hugging Face's reader asks. Owners, times and modes are constants: equal samples give equal shards.
"""

from __future__ import annotations

import functools
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from dataset_pipeline.training.exporters.columns import column_values, shards
from dataset_pipeline.training.exporters.documents import Profile
from dataset_pipeline.training.exporters.folder import ExportError, File
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, TRAIN, VALIDATION, ImageSet, Picture

SHARD_IMAGES = 1000


def places(images: ImageSet) -> dict[str, str]:
    """The shard and, after a `#`, the picture's name in it."""
    suffixes = {picture.suffix: picture.image_id for picture in images.pictures}
    if len(suffixes) > 1:
        listed = ", ".join(f"{suffix} (as {image_id})" for suffix, image_id in sorted(suffixes.items()))
        raise ExportError(f"a WebDataset wants pictures of one format, this set has {listed}: render it in one")
    return {picture.image_id: f"{path}#{picture.name}" for path, pictures in _shards(images) for picture in pictures}


def masks(images: ImageSet, places: Mapping[str, str]) -> dict[str, str]:
    return {picture.image_id: f"{path}#{picture.stem}.mask.png" for path, found in _shards(images) for picture in found}


def read_from_shard(shard: Path, name: str) -> bytes:
    """The member of this name in a shard."""
    offset, size = _members(shard, shard.stat().st_mtime_ns)[name]
    with open(shard, "rb") as file:
        file.seek(offset)
        return file.read(size)


@functools.lru_cache(maxsize=1)
def _members(shard: Path, changed_ns: int) -> dict[str, tuple[int, int]]:
    """Where each member's bytes begin, and how many they are."""
    with tarfile.open(shard) as tar:
        return {member.name: (member.offset_data, member.size) for member in tar}


def files(images: ImageSet, places: Mapping[str, str]) -> Iterator[File]:
    for path, pictures in _shards(images):
        yield File(path, functools.partial(_write, images, pictures))


def _shards(images: ImageSet) -> Iterator[tuple[str, list[Picture]]]:
    for part in images.parts:
        for number, pictures in enumerate(shards(images, part, SHARD_IMAGES)):
            yield f"{part}/{number:05d}.tar", pictures


def _write(images: ImageSet, pictures: list[Picture], out: BinaryIO) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as shard:
        for picture in pictures:
            members = {
                picture.suffix: images.bytes_of(picture),
                ".json": json.dumps(column_values(picture), sort_keys=True, ensure_ascii=False).encode(),
                ".txt": picture.caption.encode(),
            }
            if images.has_masks:
                members[".mask.png"] = images.mask(picture)
            for suffix, data in sorted(members.items()):
                member = tarfile.TarInfo(picture.stem + suffix)  # its times and owners are 0
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))


PROFILE = Profile(
    title="WebDataset",
    instructions=lambda images: (
        "The shards are `train/00000.tar` and so on, each sample a picture, `.txt` with the prompt and `.json` with "
        'the rest: `webdataset.WebDataset`, or `datasets.load_dataset("webdataset", data_dir="<this folder>/train")`. '
        "How often an image should be seen is `multiply` in the JSON; nothing applies it by itself."
    ),
    places=places,
    files=files,
    splits={part: f"{part}/*.tar" for part in (TRAIN, VALIDATION, REGULARIZATION)},
    masks=masks,
    read_from_shard=read_from_shard,
)
