"""A release's name without its brackets: which of them hold an episode, a season, tags, or words of the title."""

import re
import unicodedata
from dataclasses import dataclass

from dataset_pipeline.sources.release_patterns import (
    BRACKETED,
    CLOSE,
    IN_BRACKETS,
    JUNK,
    LOUD,
    NOT_OF_TITLE,
    OPEN,
    RESOLUTIONS,
    SEASON_ALONE,
    SEASON_DISC,
    SEASON_EPISODE,
    SEASONS,
    SPECIAL,
    TAG,
    is_year,
    season_number,
)


@dataclass(frozen=True)
class OpenedName:
    """A name without brackets. `texts`: what stood in brackets and is none of the known tags, the group first.
    `season`: of a bracket that holds just that."""

    bare: str
    texts: list[str]
    season: int | None
    number_first: bool


def opened_name(name: str) -> OpenedName:
    """A name as it reads once each bracket became what it says: an episode between marks, a word, or a tag."""
    text = unicodedata.normalize("NFKC", name).translate(str.maketrans("【】", "[]"))
    text = re.sub(r"★[^★\[]*★|★?\s*\d{1,2}月新番\s*★?|★", " ", text).strip()  # a season's banner: ★10月新番★
    texts: list[tuple[str, int]] = []
    seasons: list[int] = []
    numbers: list[int] = []

    def opened(match: re.Match[str]) -> str:
        content = next(group for group in match.groups() if group is not None).strip()
        spaced = content.replace("_", " ")
        if match[0][0] == "(" and re.fullmatch(r"\d", content) and match.end() == len(text):
            return " " if re.match(r"\[", text) is None else f" {OPEN}{content}{CLOSE} "  # `name (1)` is a copy
        if _says_episode(content.replace("_of_", " of ")):
            numbers.append(match.start())
            return f" {OPEN}{spaced}{CLOSE} "
        if inside := SEASON_EPISODE[0].search(content):
            return f" {content if match[0] == text else content[inside.start() :]} "
        if season := SEASON_ALONE.fullmatch(spaced):
            seasons.append(season_number(season))
            return " "
        if not content or is_year(content):
            return " "
        if _is_tag(content):
            return f" {TAG} "
        texts.append((content, match.start()))
        if _stands_in_title(text, match):
            return f" {content} "
        return " " if match[0][0] == "(" else f" {TAG} "

    bare = _with_spaces(BRACKETED.sub(opened, text), BRACKETED.sub("", text))
    bare = SEASON_DISC.sub(rf"\1 {TAG}", SEASONS.sub(TAG, bare))
    first_number = min(numbers, default=len(text))
    leading = [content for content, at in texts if at < first_number]
    return OpenedName(bare, leading or [content for content, _ in texts], seasons[0] if seasons else None, not leading)


def _says_episode(content: str) -> bool:
    if is_year(content):
        return False
    if any(pattern.match(content) for pattern in SEASON_EPISODE[:2]):
        return True
    return any(pattern.fullmatch(content) for pattern in (IN_BRACKETS, SPECIAL, *SEASON_EPISODE))


def _is_tag(content: str) -> bool:
    if JUNK.search(content) or content in RESOLUTIONS or re.search(r"全\s?\d+\s?[話话回集]", content):
        return True
    return all(LOUD.fullmatch(word) for word in re.split(r"[\s_,&+/-]+", content))


def _stands_in_title(text: str, match: re.Match[str]) -> bool:
    """Whether words of the title come before and after a bracket: `You Are (Not) Alone`."""
    before = BRACKETED.sub("", text[: match.start()])
    after = text[match.end() :]
    if not re.search(r"[^\W\d_][\s_.]$", before) or not re.match(r"[\s_.]+[^\W\d_]", after):
        return False
    follows = after.lstrip(" _.").replace("_", " ")
    return not (NOT_OF_TITLE.match(follows) or JUNK.match(follows) or LOUD.match(follows))


def _with_spaces(bare: str, outside_brackets: str) -> str:
    """Underscores, and in a name without spaces dots or pluses, become the spaces they stand for."""
    outside = outside_brackets.strip()
    if "_" not in outside and (" " not in outside or ".-." in outside):
        bare = re.sub(r"(?<=\d)\.(?=5(?!\d))", "\ue003", bare)  # half episodes
        bare = bare.replace(".", " ").replace("\ue003", ".")
        if bare.count("+") > 1 and " " not in bare.strip():
            bare = bare.replace("+", " ")
    return re.sub(r"\s+", " ", bare.replace("_", " ")).strip()


def trimmed(text: str) -> str:
    """Without marks, and without what separates words at its ends."""
    return re.sub(r"[\ue000-\ue002]", " ", text).strip(" -–—_.~#@/,")


def without_marked(bare: str) -> str:
    """Without the episode that stood in a bracket."""
    return re.sub(f"{OPEN}[^{CLOSE}]*{CLOSE}", " ", bare)


def cut_tags(bare: str) -> str:
    """What comes before the first tag of the release, in brackets or not."""
    lead = len(bare) - len(bare.lstrip(f"{TAG} "))
    starts = [match.start() for pattern in (JUNK, LOUD) for match in pattern.finditer(bare, lead + 1)]
    starts += [at for mark in (TAG, OPEN) if (at := bare.find(mark, lead)) > lead]
    cut = bare[: min(starts, default=len(bare))]
    return re.sub(r"\s[vV]\d$", "", cut.rstrip(" -–—_.~")) if cut.strip(f"{TAG} ") else bare
