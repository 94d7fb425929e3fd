"""Seconds that an answer on the review page takes until who everybody is, and who is asked about next, is known again.

uv run python dataset_pipeline_tests/benchmarks/review.py [--crops 20000] [--width 768]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from dataset_pipeline.review.telling import change_told, project_told
from dataset_pipeline_tests.review.made_up import made_up_facts, session_of

ANSWERS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=768, help="of the vectors")
    arguments = parser.parse_args()
    facts = made_up_facts(arguments.crops, width=arguments.width, strangers=arguments.crops // 20)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        session = session_of(facts, Path(folder))
        told = json.dumps(project_told(session))
        print(f"opened in {time.perf_counter() - begun:.1f} s; the page reads {len(told) / 1e6:.1f} MB")
        answers, undos = [], []
        for _ in range(ANSWERS):
            tile = session.view.asked_next(session.now, 1)[0]
            character = session.view.characters[int(session.now.near[tile])]
            begun = time.perf_counter()
            json.dumps(change_told(session, session.act({"do": "assign", "tiles": [tile], "character": character})))
            answers.append(time.perf_counter() - begun)
        for _ in range(ANSWERS):
            begun = time.perf_counter()
            json.dumps(change_told(session, session.undo()))
            undos.append(time.perf_counter() - begun)
    for name, seconds in (("an answer", answers), ("an undo", undos)):
        print(f"{name}: {np.median(seconds):.3f} s, at most {max(seconds):.3f} s")


if __name__ == "__main__":
    main()
