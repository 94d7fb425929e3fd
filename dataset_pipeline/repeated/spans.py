"""Stretches of time in an episode: how much two of them share, and which of them belong together."""

from __future__ import annotations

from typing import Any

OVERLAP = 0.5  # of the shorter of two spans that are one


def shared_s(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Seconds that two spans, each a start and an end, have in common."""
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))


def overlapping(spans: list[tuple[float, float, Any]]) -> list[list[tuple[float, float, Any]]]:
    """Spans in clusters, each of which overlaps the middle of its cluster by OVERLAP of the shorter."""
    clusters: list[list[tuple[float, float, Any]]] = []
    for span in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):  # the longest first
        for cluster in clusters:
            shorter = min(span[1] - span[0], cluster[0][1] - cluster[0][0])
            if shared_s(span[:2], cluster[0][:2]) >= OVERLAP * shorter:
                cluster.append(span)
                break
        else:
            clusters.append([span])
    return clusters
