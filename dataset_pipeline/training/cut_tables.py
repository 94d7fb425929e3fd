"""What a cut costs, for people: the ladder of set sizes, and what each stratum loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dataset_pipeline.images.plots import plot


def ladder_markdown(steps: Sequence[Mapping[str, Any]]) -> str:
    """A line for each size of a set; empty if no size asked for can be reached."""
    lines = ["| best | tiles | mean score | lowest score | MB |", "| ---: | ---: | ---: | ---: | ---: |"]
    for step in steps:
        size = "" if step["bytes"] is None else f"{step['bytes'] / 1e6:.1f}"
        told = (str(step["count"]), str(step["selected"]), _told(step["mean_score"]), _told(step["lowest_score"]), size)
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines) if steps else ""


def ladder_curve(steps: Sequence[Mapping[str, Any]]) -> str:
    """Markdown that holds a picture of the mean score over the size of a set; empty for fewer than two sizes."""
    means = {step["selected"]: step["mean_score"] for step in steps if step["mean_score"] is not None}
    sizes = sorted(means)
    return plot(np.array(sizes, float), np.array([means[size] for size in sizes], float))


def losses_markdown(
    lost: Sequence[Mapping[str, Any]], strata: Sequence[str], mean_lost: float, what: str = "tiles"
) -> str:
    """A line for each stratum: what it had, what it keeps; below it what the mean score lost to the strata. Empty if
    there are none."""
    if not lost:
        return ""
    heading = " / ".join(strata) or "all"
    lines = [f"| {heading} | {what} | selected | share before | share after | mean before | mean after |"]
    lines.append(f"| :--- |{' ---: |' * 6}")
    for row in lost:
        shares = (f"{row[name]:.1%}" for name in ("share_of_rows", "share_of_selected"))
        means = (_told(row[name]) for name in ("mean_score", "mean_score_selected"))
        cells = (row["stratum"], str(row["rows"]), str(row["selected"]), *shares, *means)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"The mean score is {_told(mean_lost)} worse than that of as many of the best {what}."]
    return "\n".join(lines)


def _told(score: float | None) -> str:
    return "" if score is None else f"{score:.4g}"
