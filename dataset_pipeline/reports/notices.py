"""What tables tell of sources that speaks against no check: files that move, and what was not looked at."""

from __future__ import annotations

from collections.abc import Iterable

from dataset_pipeline.store.provenance import ANIMATIONS, NOT_LOOKED_AT

NOTICED = (("keyframes", ANIMATIONS), ("alignments", NOT_LOOKED_AT))  # by asset, the number that is a sentence


def in_words(told: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each sentence, with the episode that it is of, or how many. told: episodes and sentences."""
    found: dict[str, list[str]] = {}
    for episode, sentence in told:
        if sentence:
            found.setdefault(sentence, []).append(episode)
    return [f"{of[0] if len(of) == 1 else f'{len(of)} episodes'}: {sentence}" for sentence, of in found.items()]
