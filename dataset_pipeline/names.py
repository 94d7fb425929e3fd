"""Names made of facts: slugs, path hashes, and what a release's file name says (title, season, episode)."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePath

from dataset_pipeline import ids

_APOSTROPHES = str.maketrans("", "", "'’‘`´")
_WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{digit}" for port in ("com", "lpt") for digit in range(10)}
)

_IGNORED_NAMES = frozenset(
    {"@eadir", "#recycle", "$recycle.bin", "system volume information", "__macosx", "lost+found"}
    | {"thumbs.db", "desktop.ini"}
)
_PARTIAL_ENDINGS = (".part", ".partial", ".crdownload", ".download", ".!qb", ".!ut", ".aria2", ".tmp")


def short_hash(text: str) -> str:
    """8 hex digits of the text's SHA-256, the same for composed and decomposed Unicode (macOS stores the latter)."""
    return hashlib.sha256(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")).hexdigest()[:8]


def slug(text: str, max_length: int | None = None) -> str:
    """The text in `[a-z0-9_-]`, transliterated; 8 hex digits of its hash when nothing is left.

    Longer than `max_length` it is cut and ends in its hash, so that two long names with one beginning stay apart.
    """
    plain = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
    slugged = ids.slug(plain, limit=10_000) or short_hash(text)
    if max_length is not None and len(slugged) > max_length:
        slugged = f"{slugged[: max_length - 9].rstrip('-_')}-{short_hash(text)}"
    return slugged


def safe_first_part(part: str) -> str:
    """`part`, or `part_` where Windows keeps the word for a device (`con`, `nul`), whatever follows the dot."""
    return f"{part}_" if part in _WINDOWS_DEVICES else part


def is_text(name: str) -> bool:
    """Whether a file's name is valid UTF-8, as tables and ids need it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def posix_path(relative: PurePath) -> str:
    """The relative path as one text that is the same on every system: for ids and for comparing, never for reading."""
    return unicodedata.normalize("NFC", relative.as_posix())


def is_ignored(name: str) -> bool:
    """Hidden files, leftovers of systems and shares, and downloads that are not finished."""
    lowered = name.lower()
    return name.startswith(".") or lowered in _IGNORED_NAMES or lowered.endswith(_PARTIAL_ENDINGS)


@dataclass(frozen=True)
class ReleaseName:
    """What a file's or folder's name says. `episode` is a slug without its season (`e07`, `sp2`, `ova`), or None."""

    title: str
    season: int | None
    episode: str | None

    @property
    def is_special(self) -> bool:
        return self.episode is not None and not re.match(r"e\d", self.episode)


_BRACKETED = re.compile(r"\[([^\[\]]*)\]|\(([^()]*)\)|\{([^{}]*)\}")
_JUNK = re.compile(
    r"""(?<![a-z0-9])(?:
    \d{3,4}[pi] | \d{3,4}\s?[x×]\s?\d{3,4} | 4k | uhd | [xh]\.?\s?26[45] | hevc | avc | av1 | xvid | divx
    | (?:8|10|12)-?\s?bits? | hi10p? | blu-?ray | bd | bd-?(?:rip|remux|mv) | brrip | web-?\s?(?:dl|rip)
    | dvd(?:rip|iso)? | hdtv | tv-?rip | remux | flac | aac | ac3 | e-?ac-?3 | dts | ddp?\d
    | dual[ -]audio | multi-?\s?subs? | uncensored | repack | batch | complete | [0-9a-f]{8}
    )(?![a-z0-9])""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBER = r"(?P<number>\d{1,4})(?:\.(?P<part>\d)(?!\d))?(?:\s?[-~]\s?(?:E(?:P)?)?(?P<to>\d{1,4})(?![\d.]))?(?:\s?v\d+)?"
_SEASON_EPISODE = re.compile(
    r"(?<![a-z0-9])S(?P<season>\d{1,2})[ ._-]{0,3}EP?(?P<number>\d{1,4})(?:\.(?P<part>\d)(?!\d))?"
    r"(?:-?E(?P<to>\d{1,4}))?(?!\d)",
    re.IGNORECASE,
)
_SEASON_X_EPISODE = re.compile(r"(?<![\da-z.])(?P<season>\d{1,2})x(?P<number>\d{2,3})(?![\dx])", re.IGNORECASE)
_SPECIAL = re.compile(
    r"(?<![A-Za-z])(?P<kind>(?i:ncop|nced|ova|oad|ona|specials?|movie|film|menu|trailer|teaser|preview)|SP|OP|ED|PV|CM)"
    r"[-_ .#]*(?P<number>\d{1,3})?(?P<letter>[a-z](?![a-z]))?(?:\s?v\d+)?(?=\s*(?:$|[-–—~\[(]))",
)
_MARKED = [
    re.compile(r"第\s*(?P<number>\d{1,4}|[〇一二三四五六七八九十百]+)(?:\.(?P<part>\d))?\s*[話话回集夜]"),
    re.compile(r"(?<!\d)(?P<number>\d{1,4})\s*[話话回集](?!\w)"),
    re.compile(
        rf"(?<![a-z0-9])(?:(?:episode|episodio|épisode|folge|ep)[ ._-]{{0,2}}|e|#){_NUMBER}(?![\da-z])", re.IGNORECASE
    ),
]
_DASHED = re.compile(rf"(?:^|\s)[-–—]\s*{_NUMBER}(?:\s?(?:END|FIN))?(?=$|\s)")
_LEADING = re.compile(r"^\s*(?P<number>\d{1,4})(?:\.(?P<part>\d)(?!\d))?(?:v\d+)?(?=\s*$|\s*[-–—]\s|\.\s)")
_TRAILING = re.compile(r"(?:^|(?<!\d)\s)(?P<number>\d{2,4})(?:v\d+)?(?:\s?(?:END|FIN))?$")
_IN_BRACKETS = re.compile(
    r"(?:EP?)?\d{1,4}(?:\.\d)?(?:\s?[-~]\s?\d{1,4})?(?:v\d+)?(?:\s?(?:END|FIN))?|第.{1,5}[話话回集]", re.IGNORECASE
)
_TITLE_SEASON = re.compile(
    r"(?:^|[\s-]+)(?:S(?P<a>\d{1,2})|Season\s?(?P<b>\d{1,2})|(?P<c>\d{1,2})(?:st|nd|rd|th)\s+Season|第(?P<d>\d)[期季])$",
    re.IGNORECASE,
)
_SEASON_FOLDER = re.compile(
    r"(?:season|staffel|saison|series|s)[ ._-]?(?P<a>\d{1,2})"
    r"|(?P<b>\d{1,2})(?:st|nd|rd|th)[ ._-]season|第(?P<c>\d)[期季]",
    re.IGNORECASE,
)
_SPECIALS_FOLDER = re.compile(
    r"(?P<kind>specials?|sps?|ovas?|oads?|extras?|bonus|nc|movies?|pvs?|cms?|menus?|trailers?)", re.IGNORECASE
)
_KANJI_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")}


def parse_release_name(name: str) -> ReleaseName:
    """Title, season and episode of a usual release name (without the file ending).

    Resolutions, checksums, codec tags and years are no episodes. Specials (`SP2`, `OVA`, `NCOP1`, `Movie`) get
    a slug of their own and half episodes one such as `e07-5`, so that neither takes a real episode's place.
    """
    text = unicodedata.normalize("NFKC", name).translate(str.maketrans("【】", "[]"))
    text = re.sub(r"★[^★]*★", " ", text).strip()  # a season's banner: ★10月新番★
    brackets: list[str] = []
    bare = _BRACKETED.sub(lambda match: _open_bracket(match, brackets), text)
    bare = _with_spaces(bare, _BRACKETED.sub("", text))

    found = _find_episode(bare)
    start, episode, season = found if found else (len(bare), None, None)
    title = bare[:start].strip(" -–—_.~#")
    if found is None:
        # Without a number, what follows the last dash is a name of the part, not of the show.
        title = _cut_junk(bare).strip(" -–—_.~")
        title = title.rsplit(" - ", 1)[0].strip(" -–—_.~")
    if not title and brackets:
        # `[Group][Title][07][1080P]`: the whole name stands in brackets, the group first.
        title = brackets[1] if len(brackets) > 1 else brackets[0]
    title, title_season = split_season(title)
    return ReleaseName(title, season if season is not None else title_season, episode)


def split_season(title: str) -> tuple[str, int | None]:
    """`Dr. Stone S3` -> (`Dr. Stone`, 3); a bare number (`Yama no Susume 2`) belongs to the title."""
    match = _TITLE_SEASON.search(title)
    if match is None or not title[: match.start()].strip(" -"):
        return title, None
    return title[: match.start()].strip(" -_"), int(next(filter(None, match.groups())))


def show_of_folder(name: str) -> tuple[str, int | None]:
    """Title and season of a show's folder, without release junk (`[Group] Title (2023) [1080p]` -> `Title`)."""
    text = unicodedata.normalize("NFKC", name).translate(str.maketrans("【】", "[]"))
    bare = _BRACKETED.sub(" ", text)
    bare = _with_spaces(bare, bare)
    title = re.sub(r"\s\d{1,3}\s?[-~]\s?\d{2,3}$", "", _cut_junk(bare)).strip(" -–—_~")
    title, season = split_season(title)
    return title or name, season


def season_of_folder(name: str) -> int | None:
    """The number of a folder that is only a season (`Season 2`, `S02`, `第2期`), else None."""
    match = _SEASON_FOLDER.fullmatch(unicodedata.normalize("NFKC", name).strip())
    return int(next(filter(None, match.groups()))) if match else None


def specials_of_folder(name: str) -> str | None:
    """The kind of special a folder holds (`OVAs` -> `ova`, `Specials` -> `sp`), else None."""
    match = _SPECIALS_FOLDER.fullmatch(name.strip())
    if match is None:
        return None
    kind = match["kind"].lower().rstrip("s")
    return {"special": "sp", "bonu": "extra"}.get(kind, kind)


def _with_spaces(bare: str, outside_brackets: str) -> str:
    """Underscores or dots become the spaces that a name without spaces stands for."""
    if " " not in outside_brackets.strip():
        bare = bare.replace("_", " ") if "_" in outside_brackets else bare.replace(".", " ")
    return re.sub(r"\s+", " ", bare).strip()


def _open_bracket(match: re.Match[str], brackets: list[str]) -> str:
    content = next(group for group in match.groups() if group is not None).strip()
    short_number_in_parentheses = match[0][0] == "(" and re.fullmatch(r"\d", content)  # `name (1)` is a copy
    is_episode = _IN_BRACKETS.fullmatch(content) and not _is_year(content) and not short_number_in_parentheses
    if is_episode or _SPECIAL.fullmatch(content) or _SEASON_EPISODE.fullmatch(content):
        return f" - {content} "
    if content and not _JUNK.search(content) and not _is_year(content):
        brackets.append(content)
    return " "


def _find_episode(bare: str) -> tuple[int, str, int | None] | None:
    for pattern in (_SEASON_EPISODE, _SEASON_X_EPISODE):
        if match := pattern.search(bare):
            return match.start(), _number_slug(match), int(match["season"])
    special = _SPECIAL.search(bare)
    plain = next(filter(None, (pattern.search(bare) for pattern in _MARKED)), None) or next(
        (match for match in _DASHED.finditer(bare) if not _is_year(match["number"])), None
    )
    if special and plain and plain.start() < special.start() and plain.end() <= special.start():
        special = None  # `- 07 - The Special`: the word belongs to the episode's title
    if special:
        kind = {"special": "sp", "specials": "sp", "film": "movie"}.get(
            special["kind"].lower(), special["kind"].lower()
        )
        number = special["number"] or (plain["number"] if plain and plain.start() > special.start() else "")
        return special.start(), f"{kind}{int(number) if number else ''}{special['letter'] or ''}", None
    if plain:
        return plain.start(), _number_slug(plain), None
    leading = _LEADING.search(bare)
    if leading and not _is_year(leading["number"]):
        return 0, _number_slug(leading), None
    trailing = _TRAILING.search(_cut_junk(bare))
    if trailing and not _is_year(trailing["number"]):
        return trailing.start(), _number_slug(trailing), None
    return None


def _number_slug(match: re.Match[str]) -> str:
    groups = match.groupdict()
    slugged = f"e{_number(groups['number']):02d}"
    if groups.get("part"):
        return f"{slugged}-{groups['part']}"
    if groups.get("to") and int(groups["to"]) > _number(groups["number"]):
        return f"{slugged}-{int(groups['to']):02d}"
    return slugged


def _number(text: str) -> int:
    if text.isascii():
        return int(text)
    value = digit = 0
    for character in text:
        if character in "十百":
            value += (digit or 1) * {"十": 10, "百": 100}[character]
            digit = 0
        else:
            digit = _KANJI_DIGITS[character]
    return value + digit


def _is_year(text: str) -> bool:
    return re.fullmatch(r"(?:19|20)\d{2}", text.strip()) is not None


def _cut_junk(bare: str) -> str:
    match = next((found for found in _JUNK.finditer(bare) if found.start() > 0), None)
    return bare[: match.start()].rstrip(" -–—_.~") if match else bare
