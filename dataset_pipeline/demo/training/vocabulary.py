"""The tags of the demo tagger, in the order of its outputs. All but the ratings are words of the drawer."""

from __future__ import annotations

from dataset_pipeline.demo.characters import ACCESSORIES, EYE_COLORS, HAIR_COLORS, HAIR_STYLES, OUTFITS

RATINGS: tuple[str, ...] = ("general", "sensitive", "questionable", "explicit")
PEOPLE: tuple[str, ...] = (
    "1girl",
    "2girls",
    "3girls",
    "multiple_girls",
    "1boy",
    "2boys",
    "3boys",
    "multiple_boys",
    "solo",
    "no_humans",
)
FRAMINGS: tuple[str, ...] = ("close-up", "portrait", "upper_body", "cowboy_shot", "full_body")
EXPRESSIONS: tuple[str, ...] = ("smile", "open_mouth", "closed_eyes")
PLACES: dict[str, tuple[str, ...]] = {  # kind of backdrop -> tags that are true of it
    "room": ("indoors",),
    "street": ("outdoors", "street"),
    "field": ("outdoors", "grass"),
    "classroom": ("indoors", "classroom"),
    "rooftop": ("outdoors", "rooftop"),
    "forest": ("outdoors", "forest"),
    "night_city": ("outdoors", "night", "cityscape"),
    "beach": ("outdoors", "beach"),
    "corridor": ("indoors", "hallway"),
    "snow": ("outdoors", "snow"),
    "shrine": ("outdoors", "torii"),
}
PLACE_TAGS: tuple[str, ...] = tuple(sorted({tag for tags in PLACES.values() for tag in tags}))
TAGS: tuple[str, ...] = (
    *RATINGS,
    *PEOPLE,
    *HAIR_COLORS,
    *HAIR_STYLES,
    *EYE_COLORS,
    *OUTFITS,
    *ACCESSORIES,
    *FRAMINGS,
    *EXPRESSIONS,
    *PLACE_TAGS,
)
INDEX: dict[str, int] = {tag: i for i, tag in enumerate(TAGS)}
