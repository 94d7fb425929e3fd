"""What a release's file name, or a folder's, says: title, season, episode."""

import re
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class ReleaseName:
    """What a file's or folder's name says. `episode` is a slug without its season (`e07`, `sp2`, `ova`), or None."""

    title: str
    season: int | None
    episode: str | None

    @property
    def is_special(self) -> bool:
        return self.episode is not None and not re.match(r"e\d", self.episode)


# A name is read after its brackets are opened: what stands in them is put between marks that no file name holds.
_OPEN, _CLOSE = "\ue000", "\ue001"  # around the number of an episode
_TAG = "\ue002"  # where tags of the release were: nothing of the title comes after it
_BRACKETED = re.compile(r"\[([^\[\]]*)\]|\(([^()]*)\)|\{([^{}]*)\}")
_JUNK = re.compile(
    r"""(?<![a-z0-9])(?:
    \d{3,4}[pi]\d{0,2} | \d{3,4}\s?[x×*]\s?\d{3,4} | 4k | uhd | [xh]\.?\s?26[45] | hevc | avc | av1 | xvid\d? | divx\d?
    | (?:8|10|12)-?\s?bits? | hi10p? | blu-?ray | bd | bd-?(?:rip|remux|mv|iso|box) | brrip | web-?\s?(?:dl|rip|hd)
    | dvd-?(?:rip|iso|r|5|9|scr) | [sh]dtv | hdrip | pdtv | dsr(?:ip)? | s?tv-?rip | remux | flac(?:x\d)? | aac(?:x\d)?
    | ac3 | e-?ac-?3 | dts | ddp?\d | ogg | mp[34] | mkv | big5 | [57]\.1(?:ch)?
    | dual[ -]audio | multi-?\s?subs? | (?:eng(?:lish)?|soft|hard)[ -]?(?:dub|sub)(?:s|bed)? | (?:dub|sub)bed
    | vost(?:fr|a)? | uncensored | repack | batch | complete | raws? | (?=[0-9a-f]*\d)[0-9a-f]{8}
    )(?![a-z0-9])""",
    re.IGNORECASE | re.VERBOSE,
)
# Short tags and languages, which in small letters are words of titles.
_LOUD = re.compile(
    r"(?<![\w-])(?:HD|SD|DVD|PAL|NTSC|OPUS|GB|CH[ST]|JPN?|FRENCH|VF|GERMAN|SPANISH|ITALIAN|ITA|ENG|JAP|PL|RUS)(?![\w-])"
)
_RESOLUTIONS = frozenset({"360", "480", "540", "576", "720", "1080", "2160"})
_KANJI = "〇一二三四五六七八九十百"
_ENDS = r"(?:\s?[\[(\ue000]?(?:(?i:END)|RAW|FIN(?:AL)?|完|終|终)(?![a-zA-Z])[\])]?)?"
_VERSION = r"(?:\s?[vV]\d+)?"
_RANGE = rf"(?:\s?[-~+&]\s?(?:[Ee][Pp]?\.?)?(?P<to>\d{{1,4}}){_VERSION}(?!\d|\.\d))*"
_TIGHT = rf"(?:[-~+&](?:[Ee][Pp]?)?(?P<to>\d{{1,4}}){_VERSION}(?!\d|\.\d))*"
_COUNT = rf"(?P<number>\d{{1,4}})(?:\.(?P<part>\d)(?!\d|\.\d)|(?P<letter>[a-cA-C])(?![a-zA-Z]))?{_VERSION}"
_NUMBER = rf"{_COUNT}{_TIGHT}"
_SEASON_WORD = r"(?:seasons?|staffel|saison|temporada|stagione|seizoen|sezon|сезон|시즌|シーズン)"

_SEASON_EPISODE = [
    re.compile(
        r"(?<![a-z0-9])S(?P<season>\d{1,4})[ ._-]{0,3}(?:x?EP?|x)[ ._]?(?P<number>\d{1,5})"
        r"(?:\.(?P<part>5)(?![\w-]|\.\d)|(?P<letter>[a-c])(?![a-z]))?"
        r"(?:v\d)?(?:[ ._]?(?:[-+&~]|and)?[ ._]?(?:S\d{1,2}[ ._]?)?EP?(?P<to>\d{1,5})"
        r"|[-+~](?P<to_bare>\d{1,4})(?!\w))*(?!\d)",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![a-z0-9]){_SEASON_WORD}[ ._-]?(?P<season>\d{{1,2}})[ ._,-]{{1,3}}"
        r"(?:episode|folge|épisode|episodio|ep)[ ._-]{0,2}(?P<number>\d{1,4})(?:\.(?P<part>\d)(?!\d))?(?!\d)",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?<![\da-z])(?P<season>[1-9]\d?|0(?=\d?x\d\d(?!\d))\d?|(?:19|20)\d{2})x(?P<number>\d{2,3})"
        r"(?:[-x]{1,2}(?P<to>\d{1,3})|[ .-]{1,3}\d{1,2}x(?P<to_bare>\d{2}))*(?![\dx])",
        re.IGNORECASE,
    ),
    re.compile(r"(?<=[-\ue000]\s)(?P<season>\d{1,2})x(?P<number>\d)(?=\s[-\ue001])"),
]
_SPECIAL = re.compile(
    r"(?<![A-Za-z])(?P<kind>(?i:nc[ -]?op|nc[ -]?ed|(?:creditless|clean|textless|nc)[ -](?:op(?:ening)?|ending|ed)"
    r"|(?:opening|ending|extra|bonus)(?=[ _.-]?\d)"
    r"|ova|oad|ona|specials?|movie|film|menu|trailer|teaser|preview|番外[編篇]?)|SP|OP|ED|PV|CM|EX(?=[ _.-]?\d))"
    r"[-_ .#]*(?P<number>\d{1,3})?(?:\.(?P<part>\d)(?!\d)|(?P<letter>[a-z](?![a-z])))?(?:\s?[vV]\d+)?"
    r"(?=\s*(?:$|[-–—~\[(\ue000-\ue002]|(?:19|20)\d\d(?!\d)))",
)
_MARKED = [
    re.compile(rf"第\s*(?P<number>\d{{1,4}}|[{_KANJI}]+)(?:\.(?P<part>\d)|[-~](?P<to>\d{{1,4}}))?\s*[話话回集夜]"),
    re.compile(r"(?:제\s*)?(?<!\d)(?P<number>\d{1,4})(?:[-~](?P<to>\d{1,4}))?\s*[話话回集화회](?!\w)"),
    re.compile(
        r"(?<![a-z0-9])(?:(?:episode|epis[oó]dio|épisode|folge|ep|cap|capitulo|capítulo|серия)[ ._-]{0,2}"
        rf"|e|#){_NUMBER}(?![\da-z])",
        re.IGNORECASE,
    ),
    re.compile(r"(?<![\w.])(?P<number>\d{1,4})\.?\s?(?:BLM|Bölüm|Bolum)(?!\w)", re.IGNORECASE),
    re.compile(r"(?<![\w.])(?P<number>\d{1,4})(?:-(?P<to>\d{1,4}))?[ ._]?of[ ._]?\d{1,4}(?!\w)", re.IGNORECASE),
]
_WHOLE_RANGE = re.compile(
    rf"(?:^|\s)(?:(?P<number>\d{{1,4}})[-~](?:\d{{1,4}}-)*(?P<to>\d{{1,4}})|(?P<first>0(?!0+\s)\d{{1,3}})\s[-~]\s(?P<last>\d{{2,4}})){_ENDS}"
    r"(?=\s*(?:$|[\ue000-\ue002]|-\s))"
)
_DASHED = re.compile(rf"(?:^|\s)[-–—]\s*{_NUMBER}{_ENDS}(?P<end>(?=\s*(?:$|[-–—]\s|[\ue000-\ue002])))?(?=$|\s)")
_IN_MARKS = re.compile(r"\ue000(?:ep?\.?\s?|#)?" + _COUNT + _RANGE + rf"{_ENDS}\ue001", re.IGNORECASE)
_LEADING = re.compile(rf"^(?P<bracket>[\ue002\s]*)(?P<counted>{_NUMBER})(?=\s*$|\s*[-–—]\s|\.\s|\s[\ue000-\ue002])")
_TRAILING = re.compile(rf"(?:^|\s|-(?=0)|(?<=[a-z])(?<![vV]ol)(?<![nN]o)\.(?=\d\d)){_COUNT}{_ENDS}$")
_BETWEEN = re.compile(rf"\s(?:(?P<word>\d\d)|(?P<number>\d{{2,4}})(?=\s-\s)){_VERSION}(?=\s)")
_DATE = re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)[ .-](?P<month>[01]\d)[ .-](?P<day>[0-3]\d)(?!\d)")
_IN_BRACKETS = re.compile(
    rf"(?:ep(?:isode)?s?\.?\s?|e|#|cap\.?\s?)?\d{{1,4}}(?:\.\d|[a-c])?{_VERSION}(?:\s?[-~+&_]\s?\d{{1,4}}{_VERSION})*"
    r"(?:\s?of\s?\d{1,4})?(?:\s?\(?(?:END|FIN(?:AL)?|完|終|终)\)?)?|第.{1,7}[話话回集]|\d{1,4}[話话回集화회]|\d{1,2}x\d\d(?:[-x]{1,2}\d{1,3})*",
    re.IGNORECASE,
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_WORD_SEASONS = {word: number for number, word in enumerate(_ORDINALS, start=1)}
_SEASON = rf"""(?:
    S(?P<a>\d{{1,2}}) | {_SEASON_WORD}[ ._-]?(?P<b>\d{{1,2}}|[IVX]{{1,4}})
    | (?P<c>\d{{1,2}})(?:st|nd|rd|th)[ ._-]{_SEASON_WORD}
    | (?P<d>{"|".join(_WORD_SEASONS)})[ ._-]{_SEASON_WORD}
    | 第\s?(?P<e>\d{{1,2}}|[{_KANJI}]+)\s?(?:[期季]|シーズン) | (?P<f>\d)\s?[期季기]
    )"""
_PART = r"(?:(?:\s-)?\s(?:Part|Cour)\s?(?:\d|I{1,3}|IV))?"
_TITLE_SEASON = re.compile(rf"(?:^|[\s-]+){_SEASON}{_PART}$", re.IGNORECASE | re.VERBOSE)
_SEASON_ALONE = re.compile(
    rf"(?:{_SEASON}|series[ ._-]?(?P<g>\d{{1,2}}))(?:\s?(?:part|cour)\s?\d)?", re.IGNORECASE | re.VERBOSE
)
_SEASONS = re.compile(
    rf"(?<=\s)(?:S\d\d?\s?-\s?S\d\d?|{_SEASON_WORD}\s\d\d?(?:-|\s?&\s?|\sto\s)\d\d?)(?=\s|$)", re.IGNORECASE
)
_SEASON_DISC = re.compile(r"(?<!\w)(S\d{1,2})D\d{1,2}(?:[-&]\d{1,2})*(?!\w)", re.IGNORECASE)
_SPECIALS_FOLDER = re.compile(
    r"(?P<kind>specials?|sps?|ovas?|oads?|extras?|bonus|nc|movies?|pvs?|cms?|menus?|trailers?)", re.IGNORECASE
)
_DISC = r"(?:(?:disc|disk|vol(?:ume)?|bd(?:-?rom)?|dvd(?:-?rom)?|cd|blu-?ray)[ ._-]{0,2}\d{1,2}(?:[-&]\d{1,2})?)"
_DISC_FOLDER = re.compile(
    rf"{_DISC}|disc|dvd|bd(?:mv|rom|iso)?|stream|video_ts|第\s?\d{{1,2}}\s?巻|\d{{1,2}}\s?巻", re.IGNORECASE
)
_TITLE_DISC = re.compile(rf"[\s-]+(?:{_DISC}|第\s?\d{{1,2}}\s?巻)(?:\s?v\d)?(?:\s?&\s?{_DISC})*$", re.IGNORECASE)
_NOT_OF_TITLE = re.compile(
    r"\s*(?:S\d|EP?[ .]?\d|Ep(?:isode)?\b|Season|\d|OVA|OAD|NC(?:OP|ED)|SP\d|OP\d?\b|ED\d?\b|END\b|v\d|#)",
    re.IGNORECASE,
)
_HASH_NAME = re.compile(r"[0-9a-f]{16,}|(?=[^\d]*\d)(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9]{20,}|\d{5,}")
_KANJI_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")}
_ROMAN = {"I": 1, "V": 5, "X": 10}
_WORDS = re.compile(r"[^\W\d_]{2}")
_WIDE = re.compile(r"[\u0400-\u04ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True)
class _Opened:
    """A name without brackets. `texts`: what stood in brackets and is none of the known tags, the group first.
    `season`: of a bracket that holds just that."""

    bare: str
    texts: list[str]
    season: int | None
    number_first: bool


@dataclass(frozen=True)
class _Episode:
    """Where in a name its episode stands. `sure`: it is marked as one, not just a number among words."""

    start: int
    end: int
    slug: str
    season: int | None = None
    sure: bool = True


def parse_release_name(name: str) -> ReleaseName:
    """Title, season and episode of a usual release name (without the file ending).

    Resolutions, checksums, codec tags and years are no episodes. Specials (`SP2`, `OVA`, `NCOP1`, `Movie`) get
    a slug of their own and half episodes one such as `e07-5`, so that neither takes a real episode's place.
    """
    if tells_nothing(name):
        return ReleaseName("", None, None)
    opened = _opened(name)
    found = _find_episode(opened.bare)
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
    title = _TITLE_DISC.sub("", title) or title
    match = _TITLE_SEASON.search(title)
    if match is None or not title[: match.start()].strip(" -"):
        return title, None
    return title[: match.start()].strip(" -_"), _season_number(match)


def show_of_folder(name: str) -> tuple[str, int | None]:
    """Title and season of a show's folder, without release junk (`[Group] Title (2023) [1080p]` -> `Title`)."""
    opened = _opened(name)
    found = _find_episode(opened.bare)
    if found and found.sure and (title := _title_before(opened.bare, found)):
        season = found.season  # the folder of a single release
    else:
        title, season = _trimmed(_cut_tags(_without_marked(opened.bare))), None
    if not title and opened.texts:
        title = _title_in_brackets(opened)
    title, title_season = split_season(_one_language(title))
    seasons = (season, opened.season, title_season)
    return title or name, next((number for number in seasons if number is not None), None)


def season_of_folder(name: str) -> int | None:
    """The number of a folder that is only a season (`Season 2`, `S02 [1080p]`, `第2期`), else None."""
    match = _SEASON_ALONE.fullmatch(_trimmed(_cut_tags(_opened(name).bare)))
    return _season_number(match) if match else None


def specials_of_folder(name: str) -> str | None:
    """The kind of special a folder holds (`OVAs` -> `ova`, `Specials` -> `sp`), else None."""
    match = _SPECIALS_FOLDER.fullmatch(name.strip())
    if match is None:
        return None
    kind = match["kind"].lower().rstrip("s")
    return {"special": "sp", "bonu": "extra"}.get(kind, kind)


def names_no_show(name: str) -> bool:
    """Whether a folder is one disc of several, a part of a disc or just tags (`Disc 1`, `BDMV`, `1080p`)."""
    plain = unicodedata.normalize("NFKC", name).strip("[]() ")
    is_tag = _JUNK.fullmatch(plain) and not re.fullmatch("[0-9a-fA-F]{8}", plain)
    return bool(_DISC_FOLDER.fullmatch(plain) or is_tag)


def tells_nothing(name: str) -> bool:
    """Whether a file's name is a hash, random letters or a number of a disc, so that its folder has to name it."""
    return _HASH_NAME.fullmatch(name) is not None


# ------------------------------------------------------------------------------------------------ brackets and spaces


def _opened(name: str) -> _Opened:
    text = unicodedata.normalize("NFKC", name).translate(str.maketrans("【】", "[]"))
    text = re.sub(r"★[^★\[]*★|★?\s*\d{1,2}月新番\s*★?|★", " ", text).strip()  # a season's banner: ★10月新番★
    texts: list[tuple[str, int]] = []
    seasons: list[int] = []
    numbers: list[int] = []

    def opened(match: re.Match[str]) -> str:
        content = next(group for group in match.groups() if group is not None).strip()
        spaced = content.replace("_", " ")
        if match[0][0] == "(" and re.fullmatch(r"\d", content) and match.end() == len(text):
            return " " if re.match(r"\[", text) is None else f" {_OPEN}{content}{_CLOSE} "  # `name (1)` is a copy
        if _says_episode(content.replace("_of_", " of ")):
            numbers.append(match.start())
            return f" {_OPEN}{spaced}{_CLOSE} "
        if inside := _SEASON_EPISODE[0].search(content):
            return f" {content if match[0] == text else content[inside.start() :]} "
        if season := _SEASON_ALONE.fullmatch(spaced):
            seasons.append(_season_number(season))
            return " "
        if not content or _is_year(content):
            return " "
        if _is_tag(content):
            return f" {_TAG} "
        texts.append((content, match.start()))
        if _stands_in_title(text, match):
            return f" {content} "
        return " " if match[0][0] == "(" else f" {_TAG} "

    bare = _with_spaces(_BRACKETED.sub(opened, text), _BRACKETED.sub("", text))
    bare = _SEASON_DISC.sub(rf"\1 {_TAG}", _SEASONS.sub(_TAG, bare))
    first_number = min(numbers, default=len(text))
    leading = [content for content, at in texts if at < first_number]
    return _Opened(bare, leading or [content for content, _ in texts], seasons[0] if seasons else None, not leading)


def _says_episode(content: str) -> bool:
    if _is_year(content):
        return False
    if any(pattern.match(content) for pattern in _SEASON_EPISODE[:2]):
        return True
    return any(pattern.fullmatch(content) for pattern in (_IN_BRACKETS, _SPECIAL, *_SEASON_EPISODE))


def _is_tag(content: str) -> bool:
    if _JUNK.search(content) or content in _RESOLUTIONS or re.search(r"全\s?\d+\s?[話话回集]", content):
        return True
    return all(_LOUD.fullmatch(word) for word in re.split(r"[\s_,&+/-]+", content))


def _stands_in_title(text: str, match: re.Match[str]) -> bool:
    """Whether words of the title come before and after a bracket: `You Are (Not) Alone`."""
    before = _BRACKETED.sub("", text[: match.start()])
    after = text[match.end() :]
    if not re.search(r"[^\W\d_][\s_.]$", before) or not re.match(r"[\s_.]+[^\W\d_]", after):
        return False
    follows = after.lstrip(" _.").replace("_", " ")
    return not (_NOT_OF_TITLE.match(follows) or _JUNK.match(follows) or _LOUD.match(follows))


def _with_spaces(bare: str, outside_brackets: str) -> str:
    """Underscores, and in a name without spaces dots or pluses, become the spaces they stand for."""
    outside = outside_brackets.strip()
    if "_" not in outside and (" " not in outside or ".-." in outside):
        bare = re.sub(r"(?<=\d)\.(?=5(?!\d))", "\ue003", bare)  # half episodes
        bare = bare.replace(".", " ").replace("\ue003", ".")
        if bare.count("+") > 1 and " " not in bare.strip():
            bare = bare.replace("+", " ")
    return re.sub(r"\s+", " ", bare.replace("_", " ")).strip()


def _trimmed(text: str) -> str:
    return re.sub(r"[\ue000-\ue002]", " ", text).strip(" -–—_.~#@/,")


def _without_marked(bare: str) -> str:
    return re.sub(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}", " ", bare)


def _cut_tags(bare: str) -> str:
    """What comes before the first tag of the release, in brackets or not."""
    lead = len(bare) - len(bare.lstrip(f"{_TAG} "))
    starts = [match.start() for pattern in (_JUNK, _LOUD) for match in pattern.finditer(bare, lead + 1)]
    starts += [at for mark in (_TAG, _OPEN) if (at := bare.find(mark, lead)) > lead]
    cut = bare[: min(starts, default=len(bare))]
    return re.sub(r"\s[vV]\d$", "", cut.rstrip(" -–—_.~")) if cut.strip(f"{_TAG} ") else bare


# ------------------------------------------------------------------------------------------------ the title


def _title_before(bare: str, found: _Episode | None) -> str:
    if found:
        title = bare[: found.start]
        if found.season is not None:  # `Show - 20 (S01E20)`, `Show 313-315 S16E03`: the number counts over all seasons
            title = re.sub(r"(?:\s[-–—]\s*\d{1,4}(?:\.\d)?|\s\d{1,4}-\d{1,4})[\s\-–—\ue000]*$", "", title)
            title = re.sub(rf"\s{_DATE.pattern}[\s-]*$", "", title)
        title = re.sub(r"\s\d{3,4}p(?!\w).*$", "", title)
        return re.sub(r"\s+", " ", _trimmed(title))
    # Without a number, what follows the last dash is a name of the part, not of the show.
    title = re.sub(r"\s+", " ", _trimmed(_cut_tags(bare)))
    return _trimmed(title.rsplit(" - ", 1)[0])


def _title_after(opened: _Opened, found: _Episode) -> str:
    """Of a name that begins with its episode: `[S02-E06] Show`, `[Group] 01 - Show`, `Episode 14 Show`."""
    lead, rest = opened.bare[: found.start], opened.bare[found.end :]
    in_brackets = _OPEN in opened.bare[: found.end]
    directly = re.match(r"\s[^\W\d]", rest) is not None
    by_season = found.season is not None
    if not (opened.number_first if in_brackets else not by_season and (directly or _TAG in lead)):
        return ""
    rest = re.sub(r"\s@.*$", "", _cut_tags(rest.lstrip(f" -–—.{_CLOSE}{_TAG}")))
    return _trimmed(rest.split(" - ", 1)[0])


def _words_outside(bare: str, found: _Episode | None) -> bool:
    rest = _without_marked(bare[found.end :] if found else bare)
    return _WORDS.search(_LOUD.sub("", _JUNK.sub("", rest))) is not None


def _title_in_brackets(opened: _Opened) -> str:
    """`[Group][Title][07][1080P]`: the whole name stands in brackets, the group first; `[Title][07]` has none."""
    texts = [text.replace("_", " ") if " " not in text else text.replace("_", " / ") for text in opened.texts]
    own = texts[1:] or texts
    latin = [text for text in own if not _WIDE.search(text)]
    return (latin or own)[0]


def _one_language(title: str) -> str:
    """Of `葬送的芙莉莲 / Sousou no Frieren` the part in Latin letters; a title with a slash in it stays whole."""
    parts = [part.strip() for part in re.split(r"[/|]", title) if part.strip()]
    latin = [part for part in parts if not _WIDE.search(part)]
    return latin[-1] if latin and len(latin) < len(parts) else title


# ------------------------------------------------------------------------------------------------ the episode


def _find_episode(bare: str) -> _Episode | None:
    for pattern in _SEASON_EPISODE:
        if match := pattern.search(bare):
            return _Episode(match.start(), match.end(), _number_slug(match), int(match["season"]))
    special, plain = _SPECIAL.search(_cut_tags(bare)) or _SPECIAL.search(bare), _find_plain(bare)
    if special and plain and plain.start < special.start() and plain.end <= special.start():
        special = None  # `- 07 - The Special`: the word belongs to the episode's title
    if special:
        return _special(special, plain)
    return plain or _find_unmarked(bare)


def _special(special: re.Match[str], plain: _Episode | None) -> _Episode:
    kind = re.sub(r"[ -]", "", special["kind"].lower())
    kind = re.sub(r"^(?:creditless|clean|textless|nc)(op|ed|en).*", r"nc\1", kind).replace("ncen", "nced")
    kind = {"opening": "op", "ending": "ed"}.get(kind, kind)
    kind = {"special": "sp", "specials": "sp", "film": "movie"}.get(kind, "sp" if kind.startswith("番外") else kind)
    number, part = special["number"], special["part"]
    if not number and plain and plain.start > special.start():
        number = plain.slug.removeprefix("e").partition("-")[0]
    slugged = f"{kind}{int(number) if number else ''}{special['letter'] or ''}{f'-{part}' if part else ''}"
    return _Episode(special.start(), special.end(), slugged, sure=False)


def _find_plain(bare: str) -> _Episode | None:
    """A number that is marked as an episode's: by a word, a dash, a bracket, or as the range that a name ends in."""
    for pattern in _MARKED:
        if match := pattern.search(bare):
            return _episode_of(match)
    match = _WHOLE_RANGE.search(bare) or _WHOLE_RANGE.search(_cut_tags(bare))
    if match and _is_range(match):
        return _episode_of(match)
    dashed = [match for match in _DASHED.finditer(bare) if not _is_year(match["number"])]
    if match := next((match for match in dashed if match["end"] is not None), None):
        return _episode_of(match)
    if (match := _LEADING.search(bare)) and _is_count(match):
        return _episode_of(match, match.start("counted"))
    inside = [match for match in _IN_MARKS.finditer(bare) if not _is_year(match["number"])]
    if match := next((match for match in dashed if len(match["number"]) > 1), None):
        return _episode_of(match)
    if inside:
        return _episode_of(next((match for match in inside if match["number"] not in _RESOLUTIONS), inside[0]))
    return None


def _find_unmarked(bare: str) -> _Episode | None:
    """A number among words that most likely is an episode's: the last word, zero-padded, or before a dash."""
    if match := _DATE.search(bare):
        return _Episode(match.start(), match.end(), f"e{match['year']}{match['month']}{match['day']}", sure=False)
    cut = _cut_tags(bare)
    if re.search(r"\d\s(?:480|720|1080|2160)$", cut):
        cut = cut.rpartition(" ")[0]
    if (match := _TRAILING.search(cut)) and _may_trail(cut, match):
        return _episode_of(match, sure=False)
    if match := next((m for m in _BETWEEN.finditer(cut) if not _is_year(m["number"] or "")), None):
        number = match["word"] or match["number"]
        return _Episode(match.start(), match.end(), f"e{int(number):02d}", sure=False)
    if match := re.match(rf"^[{_TAG}\s]*(?P<number>0\d{{1,2}})(?=\s[^\W\d])", cut):
        return _Episode(match.start("number"), match.end(), f"e{int(match['number']):02d}", sure=False)
    return None


def _may_trail(cut: str, match: re.Match[str]) -> bool:
    number, before = match["number"], cut[: match.start()].rpartition(" ")[2]
    if _is_year(number) or (len(number) < 2 and before.strip(_TAG)) or match["letter"]:
        return False
    return not before.isdecimal() or _is_year(before) or bool(re.fullmatch(r"[1-9]\d\d?", before))


def _is_count(match: re.Match[str]) -> bool:
    return not _is_year(match["number"]) and (match["to"] is None or int(match["to"]) > int(match["number"]))


def _is_range(match: re.Match[str]) -> bool:
    first, last = match["number"] or match["first"], match["to"] or match["last"]
    return int(last) > int(first) and not _is_year(first)


def _episode_of(match: re.Match[str], start: int | None = None, sure: bool = True) -> _Episode:
    return _Episode(match.start() if start is None else start, match.end(), _number_slug(match), sure=sure)


def _number_slug(match: re.Match[str]) -> str:
    groups = match.groupdict()
    first = _number(groups.get("number") or groups["first"])
    slugged = f"e{first:02d}"
    if groups.get("part"):
        return f"{slugged}-{groups['part']}"
    if groups.get("letter"):
        return slugged + groups["letter"].lower()
    last = max(int(groups.get(name) or 0) for name in ("to", "to_bare", "last"))
    return f"{slugged}-{last:02d}" if last > first else slugged


def _without_season(episode: str, season: int | None) -> str:
    """`Temporada 2 [Cap.201]` has its season in the number."""
    if season and (match := re.fullmatch(r"e(\d{1,2})(\d\d)", episode)) and int(match[1]) == season:
        return f"e{match[2]}"
    return episode


def _season_number(match: re.Match[str]) -> int:
    text = next(group for group in match.groups() if group)
    if text.lower() in _WORD_SEASONS:
        return _WORD_SEASONS[text.lower()]
    if re.fullmatch("[IVXivx]+", text):
        values = [_ROMAN[letter] for letter in text.upper()]
        return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))
    return _number(text)


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
