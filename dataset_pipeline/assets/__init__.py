"""The assets of the graph. Importing the package declares them all."""

from dataset_pipeline.assets import characters, crops, descriptions, frames, repeats, scores, source, tags, training

__all__ = ["characters", "crops", "descriptions", "frames", "repeats", "scores", "source", "tags", "training"]
