"""The assets of the graph. Importing the package declares them all."""

from dataset_pipeline.assets import (
    characters,
    clips,
    crops,
    descriptions,
    frames,
    references,
    repeated,
    scores,
    tags,
    tracks,
    training,
    video,
)

__all__ = [
    "characters",
    "clips",
    "crops",
    "descriptions",
    "frames",
    "references",
    "repeated",
    "scores",
    "tags",
    "tracks",
    "training",
    "video",
]
