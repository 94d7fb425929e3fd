"""Sets for EveryDream2: folders of pictures, each with its caption beside it and a multiply for the folder.

As its loader reads them (`data/dataset.py`): a picture's caption is the text file of the same stem, split at commas;
`multiply.txt` is one float for the pictures of its own folder, where 0 counts as 1; only pictures are looked for, so
that the manifest beside them is not in the way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dataset_pipeline.training.arrangement import safe_name
from dataset_pipeline.training.exporters.folder import (
    MANIFEST,
    ExportError,
    ExportReport,
    check_rows,
    content_hash,
    picture_path,
    write_folder,
)

PROFILE = "everydream"
FORMAT = 1
READ_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".jfif"})


def export(
    rows: Iterable[Mapping[str, Any]],
    read_picture: Callable[[str], bytes],
    root: Path,
    about: Mapping[str, Any],
) -> ExportReport:
    """Write the set into `<root>/<show>-everydream-<8 hex of its content>` (`set` if of several shows).

    rows: of `training_set`. read_picture: bytes of a row's `path`. about: facts put into the manifest. A set of the
    same content that is already there unchanged is left as it is; one that somebody changed is left alone as well, and
    the set is written beside it. Raises ExportError, and then leaves nothing behind.
    """
    ordered = check_rows(rows)
    for row in ordered:
        if Path(row["path"]).suffix.lower() not in READ_SUFFIXES:
            raise ExportError(f"EveryDream2 does not read {row['path']} of image {row['image_id']}")
    entries = [_entry(row) for row in ordered]
    digest = content_hash({"profile": PROFILE, "format": FORMAT, "images": entries})
    shows = {row["show"] for row in ordered}
    name = f"{safe_name(shows.pop()) if len(shows) == 1 else 'set'}-{PROFILE}-{digest[:8]}"

    def files() -> Iterator[tuple[str, bytes]]:
        multiplies = {row["concept"]: multiply_text(row["multiply"]) for row in ordered}
        for concept, text in multiplies.items():
            yield f"{concept}/multiply.txt", f"{text}\n".encode()
        for row, entry in zip(ordered, entries, strict=True):
            data = read_picture(row["path"])
            if hashlib.sha256(data).hexdigest() != row["file_sha256"]:
                raise ExportError(f"picture {row['path']} of image {row['image_id']} is not the one the set lists")
            yield entry["file"], data
            yield entry["file"].rsplit(".", 1)[0] + ".txt", row["caption"].encode()
        manifest = {"profile": PROFILE, "format": FORMAT, "content": digest, "about": about, "images": entries}
        yield MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    folder, reused, size_bytes, changed = write_folder(root, name, files)
    concepts = len({row["concept"] for row in ordered})
    return ExportReport(folder, reused, len(ordered), concepts, size_bytes, digest, changed)


def multiply_text(multiply: float) -> str:
    """Two decimals, more where it would otherwise lose its meaning: 0.004 must not become 0, which is read as 1."""
    return f"{multiply:.2f}" if multiply >= 0.1 else f"{multiply:.3g}"


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "image_id": row["image_id"],
        "file": picture_path(row),
        "sha256": row["file_sha256"],
        "concept": row["concept"],
        "multiply": float(multiply_text(row["multiply"])),
        "caption_sha256": hashlib.sha256(row["caption"].encode()).hexdigest(),
    }
