"""Questions about an image's tags, such as `1girl and not 1boy and red_hair >= 0.5 and quality > 0.4`.

    question   := question "or" question | question "and" question | "not" question | "(" question ")" | statement
    statement  := tag | tag <op> number | "quality" <op> number | "character:" name | "rating:" word
    op         := >= > <= < = !=

A tag alone holds from its category's threshold on, with an operator its probability is compared, 0 where it has none.
Words that follow one another are one tag, and spaces and underscores are the same: `long hair and very_long_hair`.
Tags with brackets or operators in them stand in quotes: `":<"`; brackets after an underscore need none:
`saber_(fate)`. `and` binds tighter than `or`. Case does not matter.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from dataset_pipeline.base.tag_words import words

Words = tuple[str, ...]
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
KEYWORDS = frozenset({"and", "or", "not"})
DEEPEST = 50  # brackets and `not` within one another
MOST_SHOWN = 200  # characters of a question in a message
TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<bracket>[()])
    | (?P<operator>>=|<=|!=|==|=|>|<)
    | (?P<quoted>(?:(?:character|rating):)?"[^"]*")
    | (?P<word>(?:[^\s()<>=!"]|!(?!=)|(?<=_)\([^\s()]*\))+)
    """,
    re.VERBOSE | re.IGNORECASE,
)


class QueryError(ValueError):
    """A question that cannot be understood. reason: at which character, from 1, what was expected."""

    def __init__(self, question: str, reason: str) -> None:
        super().__init__(question, reason)
        self.question, self.reason = question, reason

    def __str__(self) -> str:
        shown = self.question if len(self.question) <= MOST_SHOWN else self.question[:MOST_SHOWN] + "…"
        return f"{shown!r}, {self.reason}"


@dataclass(frozen=True)
class Subject:
    """What is known of an image. scores: probability by tag; holds: tags from their thresholds on; tags and names by
    their `words`. quality: None if it was not scored."""

    scores: Mapping[Words, float]
    holds: Collection[Words]
    characters: Collection[Words]
    quality: float | None = None
    rating: str = ""


Question = Callable[[Subject], bool]


@dataclass(frozen=True)
class _Token:
    kind: str  # bracket, operator, quoted, word, end
    text: str
    position: int

    @property
    def keyword(self) -> str:
        return self.text.lower() if self.kind == "word" and self.text.lower() in KEYWORDS else ""


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Question:
    """The question as a function of a Subject. Raises QueryError."""
    parser = _Parser(text, _tokens(text))
    question = parser.alternatives()
    if parser.token.kind != "end":
        raise parser.fault("`and` or `or`" if parser.token.text != ")" else "no bracket, as none is open")
    return question


def _tokens(text: str) -> list[_Token]:
    found, position = [], 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise QueryError(text, f"at {position + 1}: the quotation mark is not closed")
        if match.lastgroup != "space":
            found.append(_Token(str(match.lastgroup), match[0], position + 1))
        position = match.end()
    return [*found, _Token("end", "", len(text) + 1)]


@dataclass
class _Parser:
    text: str
    tokens: list[_Token]
    number: int = field(default=0)
    depth: int = field(default=0)

    @property
    def token(self) -> _Token:
        return self.tokens[self.number]

    def fault(self, expected: str) -> QueryError:
        found = repr(self.token.text) if self.token.text else "the end"
        return QueryError(self.text, f"at {self.token.position}: expected {expected}, found {found}")

    def take(self) -> _Token:
        self.number += 1
        return self.tokens[self.number - 1]

    def alternatives(self) -> Question:
        parts = [self.conjunction()]
        while self.token.keyword == "or":
            self.take()
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else lambda subject: any(part(subject) for part in parts)

    def conjunction(self) -> Question:
        parts = [self.negation()]
        while self.token.keyword == "and":
            self.take()
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else lambda subject: all(part(subject) for part in parts)

    def deeper(self, part: Callable[[], Question]) -> Question:
        """A part within a bracket or behind a `not`."""
        if self.depth == DEEPEST:
            raise self.fault(f"at most {DEEPEST} brackets and `not` within one another")
        self.take()
        self.depth += 1
        inner = part()
        self.depth -= 1
        return inner

    def negation(self) -> Question:
        if self.token.keyword == "not":
            inner = self.deeper(self.negation)
            return lambda subject: not inner(subject)
        if self.token.text == "(":
            inner = self.deeper(self.alternatives)
            if self.token.text != ")":
                raise self.fault("`)`, `and` or `or`")
            self.take()
            return inner
        return self.statement()

    def statement(self) -> Question:
        if self.token.kind not in ("word", "quoted") or self.token.keyword:
            raise self.fault("a tag")
        start = self.token
        parts = [self.take().text]
        while self.token.kind in ("word", "quoted") and not self.token.keyword:
            parts.append(self.take().text)
        text = " ".join(parts).replace('"', "")
        subject_of, _, name = text.partition(":")
        if subject_of.lower() in ("character", "rating") and words(name):
            if self.token.kind == "operator":
                raise self.fault(f"`and` or `or`, as `{subject_of}:` takes no comparison")
            return (
                _character(words(name.replace("|", " ")))
                if subject_of.lower() == "character"
                else _rating(name.strip().lower())
            )
        if not words(text):
            self.number = self.tokens.index(start)
            raise self.fault("a tag")
        return self.comparison(words(text))

    def comparison(self, tag: Words) -> Question:
        """A tag alone, or what follows it: an operator and a number."""
        if self.token.kind != "operator":
            if tag == ("quality",):
                raise self.fault("a comparison such as `> 0.4` after quality")
            return lambda subject: tag in subject.holds
        compare = OPERATORS[self.take().text]
        limit = self.limit()
        if tag == ("quality",):
            return lambda subject: subject.quality is not None and compare(subject.quality, limit)
        return lambda subject: compare(subject.scores.get(tag, 0.0), limit)

    def limit(self) -> float:
        try:
            value = float(self.token.text)
        except ValueError:
            raise self.fault("a number") from None
        self.take()
        return value


def _character(name: Words) -> Question:
    return lambda subject: name in subject.characters


def _rating(rating: str) -> Question:
    return lambda subject: subject.rating == rating
