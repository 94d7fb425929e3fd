"""The people of the drawn world: what they look like, which tags are true of them, and two fixed casts."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

from dataset_pipeline.demo.shapes import Rgb

HAIR_COLORS: dict[str, Rgb] = {
    "black_hair": (52, 48, 66),
    "brown_hair": (128, 80, 52),
    "blonde_hair": (246, 216, 112),
    "red_hair": (200, 48, 46),
    "blue_hair": (78, 126, 220),
    "green_hair": (84, 170, 104),
    "pink_hair": (248, 156, 190),
    "purple_hair": (142, 92, 190),
    "white_hair": (232, 234, 244),
    "orange_hair": (240, 142, 56),
}
EYE_COLORS: dict[str, Rgb] = {
    "blue_eyes": (52, 116, 226),
    "red_eyes": (208, 44, 58),
    "green_eyes": (44, 160, 92),
    "brown_eyes": (128, 78, 44),
    "purple_eyes": (140, 76, 196),
    "yellow_eyes": (228, 178, 44),
}
HAIR_STYLES: dict[str, tuple[str, ...]] = {  # tag -> the sexes that wear it
    "short_hair": ("girl", "boy"),
    "bob_cut": ("girl",),
    "long_hair": ("girl",),
    "twintails": ("girl",),
    "ponytail": ("girl", "boy"),
    "spiky_hair": ("boy",),
    "double_bun": ("girl",),
    "single_braid": ("girl",),
}
SKINS: tuple[Rgb, ...] = ((255, 228, 206), (252, 214, 186), (232, 182, 146), (184, 126, 92))


@dataclass(frozen=True)
class Outfit:
    """How an outfit is drawn. `lower` colours the skirt or trousers, `trim` collars, ties and linings."""

    kind: str  # dress, hoodie, jacket, shirt, sweater, uniform
    main: Rgb
    trim: Rgb
    lower: Rgb
    sexes: tuple[str, ...] = ("girl", "boy")


OUTFITS: dict[str, Outfit] = {
    "red_dress": Outfit("dress", (206, 50, 62), (255, 240, 226), (206, 50, 62), ("girl",)),
    "white_dress": Outfit("dress", (246, 244, 250), (150, 176, 226), (246, 244, 250), ("girl",)),
    "purple_dress": Outfit("dress", (138, 84, 178), (240, 214, 250), (138, 84, 178), ("girl",)),
    "pink_dress": Outfit("dress", (246, 160, 188), (255, 244, 248), (246, 160, 188), ("girl",)),
    "blue_dress": Outfit("dress", (88, 140, 216), (250, 250, 255), (88, 140, 216), ("girl",)),
    "blue_hoodie": Outfit("hoodie", (72, 112, 200), (236, 240, 250), (72, 72, 92)),
    "red_hoodie": Outfit("hoodie", (208, 62, 58), (250, 236, 226), (58, 62, 92)),
    "grey_hoodie": Outfit("hoodie", (156, 158, 168), (240, 240, 244), (64, 84, 134)),
    "green_hoodie": Outfit("hoodie", (86, 158, 98), (236, 244, 222), (92, 74, 62)),
    "green_jacket": Outfit("jacket", (64, 124, 82), (244, 240, 226), (84, 70, 60)),
    "black_jacket": Outfit("jacket", (54, 54, 66), (228, 70, 62), (84, 96, 132)),
    "brown_jacket": Outfit("jacket", (144, 96, 62), (246, 236, 214), (62, 82, 122)),
    "white_shirt": Outfit("shirt", (248, 248, 252), (62, 90, 158), (70, 82, 118)),
    "yellow_shirt": Outfit("shirt", (246, 210, 84), (250, 250, 244), (76, 106, 160)),
    "orange_sweater": Outfit("sweater", (238, 140, 66), (250, 190, 122), (98, 80, 72)),
    "yellow_sweater": Outfit("sweater", (246, 212, 104), (252, 234, 166), (124, 84, 62)),
    "purple_sweater": Outfit("sweater", (152, 112, 192), (190, 158, 224), (70, 66, 86)),
    "school_uniform": Outfit("uniform", (250, 250, 254), (206, 56, 62), (50, 62, 108)),
}
ACCESSORIES: tuple[str, ...] = ("hair_ribbon", "glasses", "scarf", "beret", "headphones")
GIRL_ACCESSORIES = ("hair_ribbon",)


@dataclass(frozen=True)
class Character:
    """One drawn person. All words but the name are tags in the usual image-board form."""

    name: str
    sex: str  # girl, boy
    hair_color: str
    hair_style: str
    eye_color: str
    outfit: str
    skin: int  # index into SKINS
    accessory: str | None = None

    def __post_init__(self) -> None:
        for value, known in (
            (self.hair_color, HAIR_COLORS),
            (self.hair_style, HAIR_STYLES),
            (self.eye_color, EYE_COLORS),
            (self.outfit, OUTFITS),
            (self.sex, ("girl", "boy")),
            (self.accessory, (None, *ACCESSORIES)),
            (self.skin, range(len(SKINS))),
        ):
            if value not in known:
                raise ValueError(f"character {self.name!r}: {value!r} is not one of {sorted(map(str, known))}")

    def tags(self) -> tuple[str, ...]:
        """The tags that are true of this person in any clear picture that shows all of them."""
        worn = (self.accessory,) if self.accessory else ()
        return (f"1{self.sex}", self.hair_color, self.hair_style, self.eye_color, self.outfit, *worn)

    def traits(self) -> tuple[str | int | None, ...]:
        """All that tells this person from others, without the name."""
        return (
            self.sex,
            self.hair_color,
            self.hair_style,
            self.eye_color,
            self.outfit,
            self.skin,
            self.accessory,
        )

    def silhouette(self) -> tuple[str, str, str]:
        """What is seen from afar: hair colour, hair style and outfit."""
        return self.hair_color, self.hair_style, self.outfit

    def face(self) -> tuple[str, str, str]:
        """What stays the same in every outfit and is never hidden by headwear: hair colour, hair style, eye colour."""
        return self.hair_color, self.hair_style, self.eye_color


DEMO_CAST: tuple[Character, ...] = (
    Character("Nuvia", "girl", "pink_hair", "twintails", "blue_eyes", "school_uniform", 0, "hair_ribbon"),
    Character("Torrin", "boy", "red_hair", "spiky_hair", "yellow_eyes", "black_jacket", 2, "scarf"),
    Character("Yelune", "girl", "blue_hair", "long_hair", "purple_eyes", "white_dress", 0, None),
    Character("Sorim", "boy", "black_hair", "short_hair", "green_eyes", "green_hoodie", 1, "glasses"),
    Character("Pelka", "girl", "orange_hair", "double_bun", "brown_eyes", "purple_sweater", 3, None),
)
TEST_CAST: tuple[Character, ...] = (
    Character("Ambrel", "girl", "blonde_hair", "ponytail", "green_eyes", "red_dress", 1, None),
    Character("Dovin", "boy", "white_hair", "spiky_hair", "red_eyes", "blue_hoodie", 0, "headphones"),
    Character("Ishka", "girl", "purple_hair", "bob_cut", "yellow_eyes", "yellow_sweater", 2, "beret"),
    Character("Quenn", "boy", "green_hair", "short_hair", "brown_eyes", "white_shirt", 3, None),
    Character("Ruvelle", "girl", "brown_hair", "single_braid", "blue_eyes", "brown_jacket", 1, "glasses"),
)
_RESERVED = frozenset(character.silhouette() for character in (*DEMO_CAST, *TEST_CAST))
_RESERVED_FACES = frozenset(character.face() for character in (*DEMO_CAST, *TEST_CAST))
HELD_OUT_ONE_IN = 4


def is_held_out(character: Character) -> bool:
    """Whether this combination of hair colour, hair style and eye colour is kept from all training, in any outfit.

    One combination in four is, chosen by a checksum of its words, and so are those of the fixed casts. The casts of the
    harder season (`dataset_pipeline.demo.harder`) are drawn from the former alone.
    """
    face = character.face()
    return face in _RESERVED_FACES or zlib.crc32("/".join(face).encode()) % HELD_OUT_ONE_IN == 0


def trait_values(trait: str, sex: str) -> list[str | None]:
    """What a person of a sex may have as hair style, hair colour, eye colour or accessory, by the field's name."""
    if trait == "hair_style":
        return [style for style, sexes in HAIR_STYLES.items() if sex in sexes]
    if trait == "accessory":
        return [None, *(worn for worn in ACCESSORIES if sex == "girl" or worn not in GIRL_ACCESSORIES)]
    return list({"hair_color": HAIR_COLORS, "eye_color": EYE_COLORS}[trait])


def random_character(rng: random.Random, name: str) -> Character:
    """A person drawn by chance who never shares hair colour, hair style and outfit with a member of a fixed cast."""
    while True:
        sex = "girl" if rng.random() < 0.6 else "boy"
        candidate = Character(
            name=name,
            sex=sex,
            hair_color=rng.choice(tuple(HAIR_COLORS)),
            hair_style=rng.choice([style for style, sexes in HAIR_STYLES.items() if sex in sexes]),
            eye_color=rng.choice(tuple(EYE_COLORS)),
            outfit=rng.choice([tag for tag, outfit in OUTFITS.items() if sex in outfit.sexes]),
            skin=rng.choices(range(len(SKINS)), (3, 3, 2, 2))[0],
            accessory=rng.choice([a for a in ACCESSORIES if sex == "girl" or a not in GIRL_ACCESSORIES])
            if rng.random() < 0.4
            else None,
        )
        if candidate.silhouette() not in _RESERVED:
            return candidate


def training_character(rng: random.Random, name: str) -> Character:
    """A person drawn by chance whom training may see: see `is_held_out`."""
    while is_held_out(candidate := random_character(rng, name)):
        pass
    return candidate


def held_out_character(rng: random.Random, name: str) -> Character:
    """A person drawn by chance whom no training ever sees in any outfit."""
    while not is_held_out(candidate := random_character(rng, name)) or candidate.face() in _RESERVED_FACES:
        pass
    return candidate
