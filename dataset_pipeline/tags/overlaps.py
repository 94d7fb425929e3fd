"""Tags that another tag of the same image makes superfluous."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dataset_pipeline.base.tag_words import words


def overlapping_tags(
    tags: Iterable[str], mode: str, implied: Mapping[tuple[str, ...], tuple[tuple[str, ...], ...]]
) -> dict[str, str]:
    """Tags that another says as well, with that other.

    mode: `words`: a tag that ends another one word for word, and what the table `implied` names; `substring`: a tag
    whose text stands anywhere in another's, and the table; `none`: nothing. A chain goes to its end: each of
    hair, long hair, very long hair names the longest.
    """
    if mode == "none":
        return {}
    tags = sorted(tags)
    found = contained_tags(tags) if mode == "substring" else implied_tags(tags)
    by_words = {words(tag): tag for tag in tags}
    for tag in tags:
        for general in implied.get(words(tag), ()):
            other = by_words.get(general)
            if other is not None and other != tag:
                found.setdefault(other, tag)
    return found


def implied_tags(tags: Iterable[str]) -> dict[str, str]:
    """Tags that another says more exactly, with that other: `hair` for `long hair`, `dress` for `red dress`.

    English puts what a thing is last, so the shorter tag must end the longer one: `cat ears` are ears and no cat.
    `no hat` implies nothing.
    """
    split = {tag: words(tag) for tag in sorted(tags)}
    by_words = {parts: tag for tag, parts in split.items()}
    implied: dict[str, str] = {}
    for tag, parts in sorted(split.items(), key=lambda item: (-len(item[1]), item[0])):
        if parts and parts[0] in ("no", "without"):
            continue
        for start in range(1, len(parts)):
            shorter = by_words.get(parts[start:])
            if shorter is not None and shorter not in implied:
                implied[shorter] = tag
    return implied


def contained_tags(tags: Iterable[str]) -> dict[str, str]:
    """Tags whose text is part of another's, with that other: `hat` for `that` too. Spaces and underscores are alike."""
    plain = {tag.lower().replace("_", " "): tag for tag in sorted(tags)}
    longest = sorted(plain, key=lambda text: (-len(text), text))
    listing = "\n".join(longest)
    return {
        plain[text]: plain[next(other for other in longest if text in other)]
        for text in longest
        if listing.count(text) > 1
    }
