"""Datasets for image models out of video episodes and folders of pictures: a Dagster graph with lineage."""
