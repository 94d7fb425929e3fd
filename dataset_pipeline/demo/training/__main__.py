"""Train the demo model pack: ``python -m dataset_pipeline.demo.training --out resources/demo_models``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

PLAN_NAMES = ("full", "short", "tiny")
PART_NAMES = ("detectors", "people", "embedder", "quality", "pose")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset_pipeline.demo.training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pack, e.g. resources/demo_models")
    parser.add_argument("--seed", type=int, default=0, help="seed of the nets' first weights and of their batches")
    parser.add_argument("--plan", choices=PLAN_NAMES, default="full", help="how much is drawn and learnt")
    parts_help = "the nets to train, by default all; others stay as they lie in the pack, and none measures it anew"
    parser.add_argument("--parts", choices=PART_NAMES, nargs="*", default=PART_NAMES, help=parts_help)
    arguments = parser.parse_args()
    # Threads that spin while they wait take the processor from whatever else runs; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from dataset_pipeline.demo.training.build import build_pack
    from dataset_pipeline.demo.training.plans import PLANS

    build_pack(arguments.out, plan=PLANS[arguments.plan], seed=arguments.seed, parts=arguments.parts)


if __name__ == "__main__":
    main()
