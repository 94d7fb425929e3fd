"""What names of releases are recognised by: the patterns of tags, episodes, seasons and discs, and numbers in words."""

import re

# A name is read after its brackets are opened: what stands in them is put between marks that no file name holds.
OPEN, CLOSE = "\ue000", "\ue001"  # around the number of an episode
TAG = "\ue002"  # where tags of the release were: nothing of the title comes after it
BRACKETED = re.compile(r"\[([^\[\]]*)\]|\(([^()]*)\)|\{([^{}]*)\}")
JUNK = re.compile(
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
LOUD = re.compile(
    r"(?<![\w-])(?:HD|SD|DVD|PAL|NTSC|OPUS|GB|CH[ST]|JPN?|FRENCH|VF|GERMAN|SPANISH|ITALIAN|ITA|ENG|JAP|PL|RUS)(?![\w-])"
)
RESOLUTIONS = frozenset({"360", "480", "540", "576", "720", "1080", "2160"})
_KANJI = "〇一二三四五六七八九十百"
_ENDS = r"(?:\s?[\[(\ue000]?(?:(?i:END)|RAW|FIN(?:AL)?|完|終|终)(?![a-zA-Z])[\])]?)?"
_VERSION = r"(?:\s?[vV]\d+)?"
_RANGE = rf"(?:\s?[-~+&]\s?(?:[Ee][Pp]?\.?)?(?P<to>\d{{1,4}}){_VERSION}(?!\d|\.\d))*"
_TIGHT = rf"(?:[-~+&](?:[Ee][Pp]?)?(?P<to>\d{{1,4}}){_VERSION}(?!\d|\.\d))*"
_COUNT = rf"(?P<number>\d{{1,4}})(?:\.(?P<part>\d)(?!\d|\.\d)|(?P<letter>[a-cA-C])(?![a-zA-Z]))?{_VERSION}"
_NUMBER = rf"{_COUNT}{_TIGHT}"
_SEASON_WORD = r"(?:seasons?|staffel|saison|temporada|stagione|seizoen|sezon|сезон|시즌|シーズン)"
SEASON_EPISODE = [
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
SPECIAL = re.compile(
    r"(?<![A-Za-z])(?P<kind>(?i:nc[ -]?op|nc[ -]?ed|(?:creditless|clean|textless|nc)[ -](?:op(?:ening)?|ending|ed)"
    r"|(?:opening|ending|extra|bonus)(?=[ _.-]?\d)"
    r"|ova|oad|ona|specials?|movie|film|menu|trailer|teaser|preview|番外[編篇]?)|SP|OP|ED|PV|CM|EX(?=[ _.-]?\d))"
    r"[-_ .#]*(?P<number>\d{1,3})?(?:\.(?P<part>\d)(?!\d)|(?P<letter>[a-z](?![a-z])))?(?:\s?[vV]\d+)?"
    r"(?=\s*(?:$|[-–—~\[(\ue000-\ue002]|(?:19|20)\d\d(?!\d)))",
)
MARKED = [
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
WHOLE_RANGE = re.compile(
    rf"(?:^|\s)(?:(?P<number>\d{{1,4}})[-~](?:\d{{1,4}}-)*(?P<to>\d{{1,4}})|(?P<first>0(?!0+\s)\d{{1,3}})\s[-~]\s(?P<last>\d{{2,4}})){_ENDS}"
    r"(?=\s*(?:$|[\ue000-\ue002]|-\s))"
)
DASHED = re.compile(rf"(?:^|\s)[-–—]\s*{_NUMBER}{_ENDS}(?P<end>(?=\s*(?:$|[-–—]\s|[\ue000-\ue002])))?(?=$|\s)")
IN_MARKS = re.compile(r"\ue000(?:ep?\.?\s?|#)?" + _COUNT + _RANGE + rf"{_ENDS}\ue001", re.IGNORECASE)
LEADING = re.compile(rf"^(?P<bracket>[\ue002\s]*)(?P<counted>{_NUMBER})(?=\s*$|\s*[-–—]\s|\.\s|\s[\ue000-\ue002])")
TRAILING = re.compile(rf"(?:^|\s|-(?=0)|(?<=[a-z])(?<![vV]ol)(?<![nN]o)\.(?=\d\d)){_COUNT}{_ENDS}$")
BETWEEN = re.compile(rf"\s(?:(?P<word>\d\d)|(?P<number>\d{{2,4}})(?=\s-\s)){_VERSION}(?=\s)")
DATE = re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)[ .-](?P<month>[01]\d)[ .-](?P<day>[0-3]\d)(?!\d)")
IN_BRACKETS = re.compile(
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
TITLE_SEASON = re.compile(rf"(?:^|[\s-]+){_SEASON}{_PART}$", re.IGNORECASE | re.VERBOSE)
SEASON_ALONE = re.compile(
    rf"(?:{_SEASON}|series[ ._-]?(?P<g>\d{{1,2}}))(?:\s?(?:part|cour)\s?\d)?", re.IGNORECASE | re.VERBOSE
)
SEASONS = re.compile(
    rf"(?<=\s)(?:S\d\d?\s?-\s?S\d\d?|{_SEASON_WORD}\s\d\d?(?:-|\s?&\s?|\sto\s)\d\d?)(?=\s|$)", re.IGNORECASE
)
SEASON_DISC = re.compile(r"(?<!\w)(S\d{1,2})D\d{1,2}(?:[-&]\d{1,2})*(?!\w)", re.IGNORECASE)
SPECIALS_FOLDER = re.compile(
    r"(?P<kind>specials?|sps?|ovas?|oads?|extras?|bonus|nc|movies?|pvs?|cms?|menus?|trailers?)", re.IGNORECASE
)
_DISC = r"(?:(?:disc|disk|vol(?:ume)?|bd(?:-?rom)?|dvd(?:-?rom)?|cd|blu-?ray)[ ._-]{0,2}\d{1,2}(?:[-&]\d{1,2})?)"
DISC_FOLDER = re.compile(
    rf"{_DISC}|disc|dvd|bd(?:mv|rom|iso)?|stream|video_ts|第\s?\d{{1,2}}\s?巻|\d{{1,2}}\s?巻", re.IGNORECASE
)
TITLE_DISC = re.compile(rf"[\s-]+(?:{_DISC}|第\s?\d{{1,2}}\s?巻)(?:\s?v\d)?(?:\s?&\s?{_DISC})*$", re.IGNORECASE)
NOT_OF_TITLE = re.compile(
    r"\s*(?:S\d|EP?[ .]?\d|Ep(?:isode)?\b|Season|\d|OVA|OAD|NC(?:OP|ED)|SP\d|OP\d?\b|ED\d?\b|END\b|v\d|#)",
    re.IGNORECASE,
)
HASH_NAME = re.compile(r"[0-9a-f]{16,}|(?=[^\d]*\d)(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9]{20,}|\d{5,}")
_KANJI_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")}
_ROMAN = {"I": 1, "V": 5, "X": 10}
WORDS = re.compile(r"[^\W\d_]{2}")
WIDE = re.compile(r"[\u0400-\u04ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def season_number(match: re.Match[str]) -> int:
    """The season that a match of `SEASON_ALONE` or `TITLE_SEASON` says: in digits, as a word, Roman or in kanji."""
    text = next(group for group in match.groups() if group)
    if text.lower() in _WORD_SEASONS:
        return _WORD_SEASONS[text.lower()]
    if re.fullmatch("[IVXivx]+", text):
        values = [_ROMAN[letter] for letter in text.upper()]
        return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))
    return number_of(text)


def number_of(text: str) -> int:
    """The value of digits or of a number in kanji up to 999."""
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


def is_year(text: str) -> bool:
    return re.fullmatch(r"(?:19|20)\d{2}", text.strip()) is not None
