"""What a trainer will make of the regularization classes beside a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from dataset_pipeline.training.class_shares import class_shares, training_slots
from dataset_pipeline.training.exporters import load_profile


def classes_of(train: pa.Table, rows: Sequence[Mapping[str, Any]], profile: str) -> list[dict[str, Any]]:
    """The classes, sorted by name. train: the rows for training. rows: of regularization pictures as an export takes
    them. profile: the trainer's, as `[exported_set] profile`.

    in_an_epoch: how many pictures an epoch shows. used: how many it or another one ever shows; share: of all there are.
    """
    trainer = load_profile(profile)
    how = trainer.regularization
    images = zip(*(train[name].to_pylist() for name in ("image_id", "concept", "multiply")), strict=True)
    beside = {row["concept"]: row.get("beside") for row in rows}
    pictures = Counter(row["concept"] for row in rows)
    shares = class_shares(training_slots(images, trainer.whole_repeats), pictures, beside, how.cut, how.fills)
    return [
        {
            "class": share.name,
            "trainer": trainer.title,
            "known": how.known,
            "pictures": share.pictures,
            "in_an_epoch": share.slots if how.known else 0,
            "used": share.used if how.known else 0,
            "share": share.used / share.pictures if how.known else 0.0,
        }
        for share in shares
    ]
