"""Serves the page of a made-up project: python -m dataset_pipeline_tests.review.serve CROPS PORT TOKEN FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from dataset_pipeline.review.server import Page
from dataset_pipeline_tests.review.made_up import MadeUpProject, made_up_facts


def serve(crops: int, port: int, token: str, folder: Path) -> None:
    project = MadeUpProject(folder, made_up_facts(crops, strangers=crops // 20))
    app = Page(project, token).app()  # pyright: ignore[reportArgumentType]
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
