"""Where in a release's name its episode stands, and the slug that it gives."""

import re
from dataclasses import dataclass

from dataset_pipeline.sources.release_brackets import cut_tags
from dataset_pipeline.sources.release_patterns import (
    BETWEEN,
    DASHED,
    DATE,
    IN_MARKS,
    LEADING,
    MARKED,
    RESOLUTIONS,
    SEASON_EPISODE,
    SPECIAL,
    TAG,
    TRAILING,
    WHOLE_RANGE,
    is_year,
    number_of,
)


@dataclass(frozen=True)
class FoundEpisode:
    """Where in a name its episode stands. `sure`: it is marked as one, not just a number among words."""

    start: int
    end: int
    slug: str
    season: int | None = None
    sure: bool = True


def find_episode(bare: str) -> FoundEpisode | None:
    """The episode in a name whose brackets are opened: the surest sign of one counts."""
    for pattern in SEASON_EPISODE:
        if match := pattern.search(bare):
            return FoundEpisode(match.start(), match.end(), _number_slug(match), int(match["season"]))
    special, plain = SPECIAL.search(cut_tags(bare)) or SPECIAL.search(bare), _find_plain(bare)
    if special and plain and plain.start < special.start() and plain.end <= special.start():
        special = None  # `- 07 - The Special`: the word belongs to the episode's title
    if special:
        return _special(special, plain)
    return plain or _find_unmarked(bare)


def _special(special: re.Match[str], plain: FoundEpisode | None) -> FoundEpisode:
    kind = re.sub(r"[ -]", "", special["kind"].lower())
    kind = re.sub(r"^(?:creditless|clean|textless|nc)(op|ed|en).*", r"nc\1", kind).replace("ncen", "nced")
    kind = {"opening": "op", "ending": "ed"}.get(kind, kind)
    kind = {"special": "sp", "specials": "sp", "film": "movie"}.get(kind, "sp" if kind.startswith("番外") else kind)
    number, part = special["number"], special["part"]
    if not number and plain and plain.start > special.start():
        number = plain.slug.removeprefix("e").partition("-")[0]
    slugged = f"{kind}{int(number) if number else ''}{special['letter'] or ''}{f'-{part}' if part else ''}"
    return FoundEpisode(special.start(), special.end(), slugged, sure=False)


def _find_plain(bare: str) -> FoundEpisode | None:
    """A number that is marked as an episode's: by a word, a dash, a bracket, or as the range that a name ends in."""
    for pattern in MARKED:
        if match := pattern.search(bare):
            return _episode_of(match)
    match = WHOLE_RANGE.search(bare) or WHOLE_RANGE.search(cut_tags(bare))
    if match and _is_range(match):
        return _episode_of(match)
    dashed = [match for match in DASHED.finditer(bare) if not is_year(match["number"])]
    if match := next((match for match in dashed if match["end"] is not None), None):
        return _episode_of(match)
    if (match := LEADING.search(bare)) and _is_count(match):
        return _episode_of(match, match.start("counted"))
    inside = [match for match in IN_MARKS.finditer(bare) if not is_year(match["number"])]
    if match := next((match for match in dashed if len(match["number"]) > 1), None):
        return _episode_of(match)
    if inside:
        return _episode_of(next((match for match in inside if match["number"] not in RESOLUTIONS), inside[0]))
    return None


def _find_unmarked(bare: str) -> FoundEpisode | None:
    """A number among words that most likely is an episode's: the last word, zero-padded, or before a dash."""
    if match := DATE.search(bare):
        return FoundEpisode(match.start(), match.end(), f"e{match['year']}{match['month']}{match['day']}", sure=False)
    cut = cut_tags(bare)
    if re.search(r"\d\s(?:480|720|1080|2160)$", cut):
        cut = cut.rpartition(" ")[0]
    if (match := TRAILING.search(cut)) and _may_trail(cut, match):
        return _episode_of(match, sure=False)
    if match := next((m for m in BETWEEN.finditer(cut) if not is_year(m["number"] or "")), None):
        number = match["word"] or match["number"]
        return FoundEpisode(match.start(), match.end(), f"e{int(number):02d}", sure=False)
    if match := re.match(rf"^[{TAG}\s]*(?P<number>0\d{{1,2}})(?=\s[^\W\d])", cut):
        return FoundEpisode(match.start("number"), match.end(), f"e{int(match['number']):02d}", sure=False)
    return None


def _may_trail(cut: str, match: re.Match[str]) -> bool:
    number, before = match["number"], cut[: match.start()].rpartition(" ")[2]
    if is_year(number) or (len(number) < 2 and before.strip(TAG)) or match["letter"]:
        return False
    return not before.isdecimal() or is_year(before) or bool(re.fullmatch(r"[1-9]\d\d?", before))


def _is_count(match: re.Match[str]) -> bool:
    return not is_year(match["number"]) and (match["to"] is None or int(match["to"]) > int(match["number"]))


def _is_range(match: re.Match[str]) -> bool:
    first, last = match["number"] or match["first"], match["to"] or match["last"]
    return int(last) > int(first) and not is_year(first)


def _episode_of(match: re.Match[str], start: int | None = None, sure: bool = True) -> FoundEpisode:
    return FoundEpisode(match.start() if start is None else start, match.end(), _number_slug(match), sure=sure)


def _number_slug(match: re.Match[str]) -> str:
    groups = match.groupdict()
    first = number_of(groups.get("number") or groups["first"])
    slugged = f"e{first:02d}"
    if groups.get("part"):
        return f"{slugged}-{groups['part']}"
    if groups.get("letter"):
        return slugged + groups["letter"].lower()
    last = max(int(groups.get(name) or 0) for name in ("to", "to_bare", "last"))
    return f"{slugged}-{last:02d}" if last > first else slugged
