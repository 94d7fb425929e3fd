"""The assets of the graph. Importing the package declares them all."""

from dataset_pipeline.assets import (
    characters,
    clips,
    corrections,
    crops,
    descriptions,
    details,
    frames,
    references,
    repeated,
    scores,
    stitching,
    super_resolution,
    tags,
    tracks,
    training,
    video,
)

__all__ = [
    "characters",
    "clips",
    "corrections",
    "crops",
    "descriptions",
    "details",
    "frames",
    "references",
    "repeated",
    "scores",
    "stitching",
    "super_resolution",
    "tags",
    "tracks",
    "training",
    "video",
]
