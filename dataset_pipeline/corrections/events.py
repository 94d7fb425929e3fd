"""The words of corrections: what a person can say about pictures, frames and characters.

An event says one thing of pictures that it names by facts: an id, which holds episode, second and box, and beside it
the fingerprint of the source, the hash of the pixels and how they look. So it still finds its picture when the episode
was encoded again, cut otherwise or renamed.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from dataset_pipeline.base.ids import check_episode, check_image, episode_of, still_of

MAX_NAME = 300  # characters
MAX_TEXT = 10_000
MAX_IMAGE = 250  # ids that the pipeline makes are shorter; the numbers in a longer one may not be read as such
EVENT_ID_DIGITS = 12
EVENT_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # count as letters or symbols, and show nothing


def _in_one_line(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("is empty")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Cn", "Zl", "Zp") for letter in text):
        raise ValueError("holds a line break or another letter that cannot be shown")
    if not any(unicodedata.category(letter)[0] in "LNPS" and letter not in FILLERS for letter in text):
        raise ValueError("holds nothing but letters that cannot be seen")
    return text


def _event_id(text: str) -> str:
    if text and not EVENT_ID.fullmatch(text):
        raise ValueError(f"{text!r} is no id of an event: at most 100 letters of a-z, A-Z, 0-9, . _ and -")
    return text


def _character(text: str) -> str:
    if not text.startswith("c-") or not text[2:].isalnum():
        raise ValueError(f"{text!r} is no id of a character, as c-1a2b3c4d")
    return text


def _in_one_line_or_empty(text: str) -> str:
    return _in_one_line(text) if text.strip() else ""


Name = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_in_one_line)]
NameOrNone = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_in_one_line_or_empty)]
Character = Annotated[str, AfterValidator(_character)]
CharacterOrNone = Annotated[str, AfterValidator(lambda text: _character(text) if text else "")]
EventIdOrNone = Annotated[str, AfterValidator(_event_id)]
Source = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_in_one_line_or_empty)]
Thousandths = Annotated[int, Field(ge=0, le=1000)]
Seconds = Annotated[float, Field(ge=0)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Picture(_Said):
    """A picture that is spoken of. image: its id. source: fingerprint of the video or folder it was made from. pixels:
    sha256 of what it shows. look: see `images.looks`. What is empty was not known; written by hand, the id alone
    does."""

    image: Annotated[str, Field(max_length=MAX_IMAGE), AfterValidator(check_image)]
    source: Source = ""
    pixels: Source = ""
    look: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""

    @model_validator(mode="before")
    @classmethod
    def _id_alone(cls, told: Any) -> Any:
        return {"image": told} if isinstance(told, str) else told

    @property
    def episode(self) -> str:
        return episode_of(self.image)


Pictures = Annotated[tuple[Picture, ...], Field(min_length=1)]
Two = Annotated[tuple[Picture, ...], Field(min_length=2)]
Tags = Annotated[tuple[Name, ...], Field(min_length=1)]


class _Event(_Said):
    """id: of the event, which `undo` names; empty until it is written. PICTURES: the fields that name pictures, in the
    order in which they are told. READERS: the assets whose answer it changes."""

    id: EventIdOrNone = ""

    PICTURES: ClassVar[tuple[str, ...]] = ("images",)
    READERS: ClassVar[tuple[str, ...]]

    def pictures(self, field: str) -> tuple[Picture, ...]:
        """What a field of PICTURES names, one or several."""
        found = getattr(self, field)
        return found if isinstance(found, tuple) else () if found is None else (found,)

    @property
    def episodes(self) -> list[str]:
        """Whose pictures it speaks of, each once."""
        return list(dict.fromkeys(it.episode for field in self.PICTURES for it in self.pictures(field)))

    @property
    def value(self) -> dict[str, Any]:
        """All that it says but which pictures it says that of, as plain JSON."""
        return self.model_dump(mode="json", exclude={"id", "do", *self.PICTURES}, exclude_defaults=True)


class Rename(_Event):
    """A character is called by this name. Empty: by its id again. shown_by: crops that show it, by which it is found
    should its id be lost."""

    PICTURES: ClassVar = ("shown_by",)
    READERS: ClassVar = ("character_gallery",)

    do: Literal["rename"] = "rename"
    character: Character
    name: NameOrNone
    shown_by: tuple[Picture, ...] = ()


class Merge(_Event):
    """`other` is the same as `character`, whose id both have from now on."""

    PICTURES: ClassVar = ("shown_by", "other_shown_by")
    READERS: ClassVar = ("character_gallery",)

    do: Literal["merge"] = "merge"
    character: Character
    other: Character
    shown_by: tuple[Picture, ...] = ()
    other_shown_by: tuple[Picture, ...] = ()

    @model_validator(mode="after")
    def _two(self) -> Merge:
        if self.character == self.other:
            raise ValueError(f"{self.character} cannot be merged with itself")
        return self


class SetCharacter(_Event):
    """The pictures show this character, which teaches who it is. An id that nobody bears yet makes a new character,
    with that name if one is given. split_from: whom they were split from, and are not."""

    READERS: ClassVar = ("character_gallery", "clusters")

    do: Literal["set_character"] = "set_character"
    images: Pictures
    character: Character
    name: NameOrNone = ""
    split_from: CharacterOrNone = ""


class NotCharacter(_Event):
    """The pictures do not show this character."""

    READERS: ClassVar = ("character_gallery", "clusters")

    do: Literal["not_character"] = "not_character"
    images: Pictures
    character: Character


class SamePerson(_Event):
    """The pictures show one person, whoever that is."""

    READERS: ClassVar = ("character_gallery", "clusters")

    do: Literal["same_person"] = "same_person"
    images: Two


class Reject(_Event):
    """The pictures stay out of the set."""

    READERS: ClassVar = ("selection", "panoramas", "backdrops")

    do: Literal["reject"] = "reject"
    images: Pictures


class Keep(_Event):
    """The pictures go into the set, whatever speaks against it."""

    READERS: ClassVar = ("distinct_frames", "selection", "panoramas", "backdrops")

    do: Literal["keep"] = "keep"
    images: Pictures


def _frame(picture: Picture) -> Picture:
    if "#" in picture.image:
        raise ValueError(f"{picture.image} is a crop: name the frame, {still_of(picture.image)}")
    return picture


def _crop(picture: Picture) -> Picture:
    if "#" not in picture.image:
        raise ValueError(f"{picture.image} is no crop")
    return picture


Frame = Annotated[Picture, AfterValidator(_frame)]
Crop = Annotated[Picture, AfterValidator(_crop)]


class KeepBoth(_Event):
    """Frames that look alike all stay."""

    READERS: ClassVar = ("distinct_frames",)

    do: Literal["keep_both"] = "keep_both"
    images: Annotated[tuple[Frame, ...], Field(min_length=2)]


class Swap(_Event):
    """This frame stands for its near-duplicates, in place of another."""

    PICTURES: ClassVar = ("image", "instead_of")
    READERS: ClassVar = ("distinct_frames",)

    do: Literal["swap"] = "swap"
    image: Frame
    instead_of: Frame


class AddTags(_Event):
    """The pictures bear these tags."""

    READERS: ClassVar = ("tags",)

    do: Literal["add_tags"] = "add_tags"
    images: Pictures
    tags: Tags


class RemoveTags(_Event):
    """The pictures do not bear these tags."""

    READERS: ClassVar = ("tags",)

    do: Literal["remove_tags"] = "remove_tags"
    images: Pictures
    tags: Tags


class SetCaption(_Event):
    """The caption of the pictures, word for word. Empty: the one that is made from tags again."""

    READERS: ClassVar = ("captions",)

    do: Literal["set_caption"] = "set_caption"
    images: Pictures
    text: Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_in_one_line_or_empty)]


class SetBox(_Event):
    """A crop of this kind is cut where a person drew it: x, y, width, height in thousandths of the still. instead_of:
    the crop that it replaces."""

    PICTURES: ClassVar = ("image", "instead_of")
    READERS: ClassVar = ("crops",)

    do: Literal["set_box"] = "set_box"
    image: Frame
    kind: Literal["person", "halfbody", "head", "face", "hand"]
    box: tuple[Thousandths, Thousandths, Thousandths, Thousandths]
    instead_of: Crop | None = None

    @model_validator(mode="after")
    def _inside(self) -> SetBox:
        x, y, width, height = self.box
        if not (width and height and x + width <= 1000 and y + height <= 1000):
            raise ValueError(f"the box {list(self.box)} does not lie inside the still")
        return self


class Exclude(_Event):
    """No frame from this span of an episode, in seconds after its first frame, goes into the set. source: fingerprint
    of the video whose seconds these are; empty: of any."""

    PICTURES: ClassVar = ()
    READERS: ClassVar = ("distinct_frames", "clips", "panoramas", "backdrops")

    do: Literal["exclude"] = "exclude"
    episode: Annotated[str, AfterValidator(check_episode)]
    source: Source = ""
    start_s: Seconds
    end_s: Seconds

    @model_validator(mode="after")
    def _forward(self) -> Exclude:
        if self.end_s <= self.start_s:
            raise ValueError(f"the span ends at {self.end_s} s, before it starts at {self.start_s} s")
        return self

    @property
    def episodes(self) -> list[str]:
        return [self.episode]


class Undo(_Event):
    """Another event does not count; undone itself, it does again."""

    PICTURES: ClassVar = ()
    READERS: ClassVar = ()

    do: Literal["undo"] = "undo"
    event: Annotated[str, Field(min_length=1), AfterValidator(_event_id)]


Event = Annotated[
    Rename
    | Merge
    | SetCharacter
    | NotCharacter
    | SamePerson
    | Reject
    | Keep
    | KeepBoth
    | Swap
    | AddTags
    | RemoveTags
    | SetCaption
    | SetBox
    | Exclude
    | Undo,
    Field(discriminator="do"),
]
_EVENT: TypeAdapter[Any] = TypeAdapter(Event)
EVENTS: dict[str, type[_Event]] = {kind.model_fields["do"].default: kind for kind in get_args(get_args(Event)[0])}


def event_of(told: Any) -> Any:
    """The event that plain JSON tells. Raises ValueError with a sentence about what is wrong with it."""
    try:
        return _EVENT.validate_python(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in EVENTS)
        why = first["msg"].removeprefix("Value error, ")
        if first["type"].startswith("union_tag"):
            where, why = "do", f"has to be one of {', '.join(EVENTS)}"
        raise ValueError(f"{where}: {why}" if where else why) from None


def told(event: Any) -> dict[str, Any]:
    """The event as plain JSON, without what it leaves open."""
    plain = event.model_dump(mode="json", exclude_defaults=True)
    return {"id": event.id, "do": event.do} | {name: value for name, value in plain.items() if name not in ("id", "do")}


def with_ids(events: Iterable[Any], when: str) -> list[Any]:
    """The events with the ids that they are written under: a hash of what the batch says and when, and where in it."""
    events = list(events)
    payload = json.dumps([when, *(told(event) | {"id": ""} for event in events)], sort_keys=True)
    batch = f"e-{hashlib.sha256(payload.encode()).hexdigest()[:EVENT_ID_DIGITS]}"
    return [event.model_copy(update={"id": f"{batch}.{number}"}) for number, event in enumerate(events, 1)]


def order_of(said: str, event: str) -> tuple[str, str, int, str]:
    """Sorts what was said: by when, and of one batch, whose events end in their numbers, by where in it."""
    batch, _, number = event.rpartition(".")
    return said, batch, int(number) if number.isdecimal() else 0, event


def in_force(events: Sequence[Any]) -> Iterator[Any]:
    """What counts of events, in their order: no `undo`, and nothing that one undid which is not undone itself.

    Ids alone tell what undoes what, so that the order of the files does not matter. Those that undo each other in a
    circle undo nothing.
    """
    undoes = {event.id: event.event for event in events if event.do == "undo"}
    waiting = Counter(undoes.values())
    settled = [event for event in undoes if not waiting[event]]
    undone: set[str] = set()
    for event in settled:  # which grows: an undo is settled once all that undo it are
        target = undoes[event]
        if event not in undone:
            undone.add(target)
        waiting[target] -= 1
        if target in undoes and not waiting[target]:
            settled.append(target)
    return (event for event in events if event.do != "undo" and event.id not in undone)


def new_character(pictures: Iterable[Picture], when: str) -> str:
    """An id for somebody whom a person found: `c-` and 8 hex digits, of the pictures that show them and when that was
    said."""
    payload = json.dumps([when, sorted(it.image for it in pictures)])
    return f"c-{hashlib.sha256(payload.encode()).hexdigest()[:8]}"
