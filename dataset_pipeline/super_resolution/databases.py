"""A folder of pictures as one LMDB, which BasicSR and neosr read; traiNNer-redux's pairs cannot.

As basicsr/utils/lmdb_util.py writes it: the folder's name ends in .lmdb, a key is a picture's name without its ending,
meta_info.txt beside the data has a line `0001.png (512,512,3) 1` for each. Loaders take what stands before the first
dot for the key, so stems have none, and open it without a lock, so no lock.mdb is left.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from dataset_pipeline.base.paths import long_path, replace
from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION

ENDING = ".lmdb"
PAGE_BYTES, SPARE_PAGES, ENTRY_BYTES = 4096, 256, 16
COMPRESSION = 1  # the level that pictures are deflated at
AT_ONCE = 500  # pictures of a transaction, which are kept in memory


def databases_of(folder: str) -> str:
    """Where the databases of a set lie: in a folder beside it, one for each folder of pictures, `train_hr.lmdb`."""
    return f"{folder}-lmdb"


def write_databases(folder: Path) -> list[Path]:
    """A database for each folder of pictures of a set, unless it is there. Raises as `write_lmdb`."""
    found = []
    for pictures in sorted(it for split in (TRAIN, VALIDATION) for it in (folder / split).glob("*") if it.is_dir()):
        target = folder.with_name(databases_of(folder.name)) / f"{pictures.parent.name}_{pictures.name}{ENDING}"
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            write_lmdb(pictures, target)
        found.append(target)
    return found


def write_lmdb(pictures: Path, target: Path) -> int:
    """All PNG files of a folder as a database, in the order of their keys; how many they are.

    Equal folders give equal bytes with the same release of LMDB. The database appears when it is whole. Raises
    ValueError for a target that does not end in .lmdb and for names that no loader would find again, FileExistsError.
    """
    import lmdb

    files = sorted(long_path(pictures).glob("*.png"), key=lambda file: file.stem)
    if target.suffix != ENDING:
        raise ValueError(f"{target}: loaders take a folder for a database only if its name ends in {ENDING}")
    if wrong := [file.name for file in files if "." in file.stem or not file.stem.isascii()]:
        raise ValueError(f"{wrong[0]} has a dot or another letter than ASCII in its name, and cannot be a key")
    if target.exists():
        raise FileExistsError(f"{target} is there already")
    partial = long_path(target.with_name(f".{target.name}.partial"))
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    try:
        with lmdb.open(str(partial), map_size=_map_bytes(files), sync=False) as database:
            for first in range(0, len(files), AT_ONCE):
                with database.begin(write=True) as changes:
                    for file in files[first : first + AT_ONCE]:
                        changes.put(file.stem.encode(), file.read_bytes(), append=True)
            database.sync(True)
        (partial / "lock.mdb").unlink(missing_ok=True)
        (partial / "meta_info.txt").write_text("".join(map(_line, files)), encoding="utf-8", newline="\n")
        replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(files)


def _map_bytes(files: list[Path]) -> int:
    """The most that the database may take: whole pages of each picture, one more for its key, and some to spare. It is
    written into the file, and on Windows the file is so large at once."""
    pages = sum(-(-(file.stat().st_size + ENTRY_BYTES) // PAGE_BYTES) + 1 for file in files)
    return (pages + SPARE_PAGES) * PAGE_BYTES


def _line(file: Path) -> str:
    with Image.open(file) as image:
        width, height = image.size
    return f"{file.name} ({height},{width},3) {COMPRESSION}\n"
