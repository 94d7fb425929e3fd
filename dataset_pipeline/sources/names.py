"""What a release's file name, or a folder's, says: title, season, episode."""

import re
import unicodedata
from dataclasses import dataclass

from dataset_pipeline.sources.release_brackets import OpenedName, cut_tags, opened_name, trimmed, without_marked
from dataset_pipeline.sources.release_episodes import FoundEpisode, find_episode
from dataset_pipeline.sources.release_patterns import (
    CLOSE,
    DATE,
    DISC_FOLDER,
    HASH_NAME,
    JUNK,
    LOUD,
    OPEN,
    SEASON_ALONE,
    SPECIALS_FOLDER,
    TAG,
    TITLE_DISC,
    TITLE_SEASON,
    WIDE,
    WORDS,
    season_number,
)


@dataclass(frozen=True)
class ReleaseName:
    """What a file's or folder's name says. `episode` is a slug without its season (`e07`, `sp2`, `ova`), or None."""

    title: str
    season: int | None
    episode: str | None

    @property
    def is_special(self) -> bool:
        return self.episode is not None and not re.match(r"e\d", self.episode)


def parse_release_name(name: str) -> ReleaseName:
    """Title, season and episode of a usual release name (without the file ending).

    Resolutions, checksums, codec tags and years are no episodes. Specials (`SP2`, `OVA`, `NCOP1`, `Movie`) get
    a slug of their own and half episodes one such as `e07-5`, so that neither takes a real episode's place.
    """
    if tells_nothing(name):
        return ReleaseName("", None, None)
    opened = opened_name(name)
    found = find_episode(opened.bare)
    title = _title_before(opened.bare, found)
    if not title and found:
        title = _title_after(opened, found)
    if not title and opened.texts and not _words_outside(opened.bare, found):
        title = _title_in_brackets(opened)
    title, title_season = split_season(_one_language(title))
    season = found.season if found and found.season is not None else opened.season
    season = title_season if season is None else season
    if found is None:
        return ReleaseName(title, season, None)
    return ReleaseName(title, season, _without_season(found.slug, season) if "Cap." in name else found.slug)


def split_season(title: str) -> tuple[str, int | None]:
    """`Dr. Stone S3` -> (`Dr. Stone`, 3); a bare number (`Yama no Susume 2`) belongs to the title."""
    title = TITLE_DISC.sub("", title) or title
    match = TITLE_SEASON.search(title)
    if match is None or not title[: match.start()].strip(" -"):
        return title, None
    return title[: match.start()].strip(" -_"), season_number(match)


def show_of_folder(name: str) -> tuple[str, int | None]:
    """Title and season of a show's folder, without release junk (`[Group] Title (2023) [1080p]` -> `Title`)."""
    opened = opened_name(name)
    found = find_episode(opened.bare)
    if found and found.sure and (title := _title_before(opened.bare, found)):
        season = found.season  # the folder of a single release
    else:
        title, season = trimmed(cut_tags(without_marked(opened.bare))), None
    if not title and opened.texts:
        title = _title_in_brackets(opened)
    title, title_season = split_season(_one_language(title))
    seasons = (season, opened.season, title_season)
    return title or name, next((number for number in seasons if number is not None), None)


def season_of_folder(name: str) -> int | None:
    """The number of a folder that is only a season (`Season 2`, `S02 [1080p]`, `第2期`), else None."""
    match = SEASON_ALONE.fullmatch(trimmed(cut_tags(opened_name(name).bare)))
    return season_number(match) if match else None


def specials_of_folder(name: str) -> str | None:
    """The kind of special a folder holds (`OVAs` -> `ova`, `Specials` -> `sp`), else None."""
    match = SPECIALS_FOLDER.fullmatch(name.strip())
    if match is None:
        return None
    kind = match["kind"].lower().rstrip("s")
    return {"special": "sp", "bonu": "extra"}.get(kind, kind)


def names_no_show(name: str) -> bool:
    """Whether a folder is one disc of several, a part of a disc or just tags (`Disc 1`, `BDMV`, `1080p`)."""
    plain = unicodedata.normalize("NFKC", name).strip("[]() ")
    is_tag = JUNK.fullmatch(plain) and not re.fullmatch("[0-9a-fA-F]{8}", plain)
    return bool(DISC_FOLDER.fullmatch(plain) or is_tag)


def tells_nothing(name: str) -> bool:
    """Whether a file's name is a hash, random letters or a number of a disc, so that its folder has to name it."""
    return HASH_NAME.fullmatch(name) is not None


def _title_before(bare: str, found: FoundEpisode | None) -> str:
    if found:
        title = bare[: found.start]
        if found.season is not None:  # `Show - 20 (S01E20)`, `Show 313-315 S16E03`: the number counts over all seasons
            title = re.sub(r"(?:\s[-–—]\s*\d{1,4}(?:\.\d)?|\s\d{1,4}-\d{1,4})[\s\-–—\ue000]*$", "", title)
            title = re.sub(rf"\s{DATE.pattern}[\s-]*$", "", title)
        title = re.sub(r"\s\d{3,4}p(?!\w).*$", "", title)
        return re.sub(r"\s+", " ", trimmed(title))
    # Without a number, what follows the last dash is a name of the part, not of the show.
    title = re.sub(r"\s+", " ", trimmed(cut_tags(bare)))
    return trimmed(title.rsplit(" - ", 1)[0])


def _title_after(opened: OpenedName, found: FoundEpisode) -> str:
    """Of a name that begins with its episode: `[S02-E06] Show`, `[Group] 01 - Show`, `Episode 14 Show`."""
    lead, rest = opened.bare[: found.start], opened.bare[found.end :]
    in_brackets = OPEN in opened.bare[: found.end]
    directly = re.match(r"\s[^\W\d]", rest) is not None
    by_season = found.season is not None
    if not (opened.number_first if in_brackets else not by_season and (directly or TAG in lead)):
        return ""
    rest = re.sub(r"\s@.*$", "", cut_tags(rest.lstrip(f" -–—.{CLOSE}{TAG}")))
    return trimmed(rest.split(" - ", 1)[0])


def _words_outside(bare: str, found: FoundEpisode | None) -> bool:
    rest = without_marked(bare[found.end :] if found else bare)
    return WORDS.search(LOUD.sub("", JUNK.sub("", rest))) is not None


def _title_in_brackets(opened: OpenedName) -> str:
    """`[Group][Title][07][1080P]`: the whole name stands in brackets, the group first; `[Title][07]` has none."""
    texts = [text.replace("_", " ") if " " not in text else text.replace("_", " / ") for text in opened.texts]
    own = texts[1:] or texts
    latin = [text for text in own if not WIDE.search(text)]
    return (latin or own)[0]


def _one_language(title: str) -> str:
    """Of `葬送的芙莉莲 / Sousou no Frieren` the part in Latin letters; a title with a slash in it stays whole."""
    parts = [part.strip() for part in re.split(r"[/|]", title) if part.strip()]
    latin = [part for part in parts if not WIDE.search(part)]
    return latin[-1] if latin and len(latin) < len(parts) else title


def _without_season(episode: str, season: int | None) -> str:
    """`Temporada 2 [Cap.201]` has its season in the number."""
    if season and (match := re.fullmatch(r"e(\d{1,2})(\d\d)", episode)) and int(match[1]) == season:
        return f"e{match[2]}"
    return episode
