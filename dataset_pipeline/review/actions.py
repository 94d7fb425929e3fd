"""From what a person does on the page to the events that say so."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dataset_pipeline.base.ids import check_image, episode_of, show_of, still_of
from dataset_pipeline.corrections.events import Picture, event_of, new_character
from dataset_pipeline.corrections.folder_plan import SHOWN_BY
from dataset_pipeline.review.model import Now, View

CROPS_OF_TILE = 3  # by which an appearance is found again
LEAST_BOX_PX = 32  # of the short side of a box that is drawn: of less nothing can be learned
MOST_LOOKS = 8  # pictures read for the sake of one action; of the others only those looks are told that are known

Looks = Callable[[Sequence[str]], Mapping[str, str]]


class Unclear(ValueError):
    """An action that cannot be made sense of, with a sentence that says why."""


class Speaker:
    """Puts actions into events. looks: of images, reading at most that many pictures anew."""

    def __init__(self, view: View, looks: Callable[[Sequence[str], int], Mapping[str, str]]) -> None:
        self.view = view
        self._looks = looks

    def events(self, action: Mapping[str, Any], now: Now) -> list[Any]:
        """The events of one action; several that are said at one go do not depend on one another. Raises Unclear."""
        do = action.get("do")
        method = getattr(self, f"_{do}", None) if isinstance(do, str) and do in ACTIONS else None
        if method is None:
            raise Unclear(f"there is no action {do!r}: one of {', '.join(ACTIONS)}")
        try:
            return [event_of(told) for told in method(action, now)]
        except Unclear:
            raise
        except KeyError as error:
            raise Unclear(f"{do} lacks {error.args[0]!r}, or that is not there") from None
        except (ValueError, TypeError) as error:
            raise Unclear(f"{do}: {error}") from None

    # Who is who.

    def _assign(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        character = self._known(action["character"], now)
        tiles = self._tiles(action, now.people[character].show)
        return [{"do": "set_character", "images": self._of_tiles(tiles), "character": character}]

    def _name(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        """The tiles show whoever bears this name, else somebody new. `of`: an unnamed character that is called so."""
        tiles, name = self._tiles(action), _text(action, "name").strip()
        show = self._one_show(tiles)
        bearer = next((it.character for it in now.people.values() if it.show == show and it.name == name), None)
        pictures = self._of_tiles(tiles)
        of = action.get("of")
        if bearer is None and of and not now.people[self._known(of, now)].named:
            said = {"do": "set_character", "images": pictures, "character": of}
            return [{"do": "rename", "character": of, "name": name, "shown_by": self._shown_by(of, now)}, said]
        character = bearer or new_character(map(Picture.model_validate, pictures), _when())
        more = {} if bearer else {"name": name}
        return [{"do": "set_character", "images": pictures, "character": character, **more}]

    def _confirm(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        """Each of the tiles shows whom it is taken for, or is most like."""
        by_character: dict[str, list[int]] = defaultdict(list)
        for tile in self._tiles(action):
            number = int(now.owner[tile]) if now.owner[tile] >= 0 else int(now.near[tile])
            if number < 0:
                raise Unclear("there is nobody that these could be confirmed to be: give a name")
            by_character[self.view.characters[number]].append(tile)
        return [
            {"do": "set_character", "images": self._of_tiles(tiles), "character": it}
            for it, tiles in by_character.items()
        ]

    def _not(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        character = self._known(action["character"], now)
        return [{"do": "not_character", "images": self._of_tiles(self._tiles(action)), "character": character}]

    def _same(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        tiles = self._tiles(action)
        self._one_show(tiles)
        return [{"do": "same_person", "images": self._of_tiles(tiles, of_each=1)}]

    def _rename(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        character = self._known(action["character"], now)
        return [
            {
                "do": "rename",
                "character": character,
                "name": _text(action, "name"),
                "shown_by": self._shown_by(character, now),
            }
        ]

    def _merge(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        one, other = self._known(action["character"], now), self._known(action["other"], now)
        if now.people[one].show != now.people[other].show:
            raise Unclear("characters of two shows cannot be merged")
        return [
            {
                "do": "merge",
                "character": one,
                "other": other,
                "shown_by": self._shown_by(one, now),
                "other_shown_by": self._shown_by(other, now),
            }
        ]

    def _split(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        """The tiles show somebody new, and not whom they were taken for."""
        tiles = self._tiles(action)
        self._one_show(tiles)
        owners = {int(now.owner[tile]) for tile in tiles}
        if len(owners) > 1 or -1 in owners:
            raise Unclear("only tiles of one character can be split from it")
        pictures = self._of_tiles(tiles)
        new = new_character(map(Picture.model_validate, pictures), _when())
        said = {"images": pictures, "character": new, "split_from": self.view.characters[owners.pop()]}
        name = _text(action, "name") if "name" in action else ""
        return [{"do": "set_character", **said, **({"name": name} if name else {})}]

    # What goes into the set.

    def _reject(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        return [{"do": "reject", "images": self._of_images(self._images(action))}]

    def _keep(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        return [{"do": "keep", "images": self._of_images(self._images(action))}]

    def _tags(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        pictures = self._of_images(self._images(action))
        told = {f"{do}_tags": _texts(action, do) if do in action else [] for do in ("add", "remove")}
        return [{"do": do, "images": pictures, "tags": tags} for do, tags in told.items() if tags]

    def _caption(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        return [{"do": "set_caption", "images": self._of_images(self._images(action)), "text": _text(action, "text")}]

    # Frames and boxes.

    def _keep_both(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        return [{"do": "keep_both", "images": self._of_images(self._images(action))}]

    def _swap(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        chosen, replaced = self._of_images([_text(action, "image"), _text(action, "instead_of")])
        return [{"do": "swap", "image": chosen, "instead_of": replaced}]

    def _box(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        image = _text(action, "image")
        told: dict[str, Any] = {
            "do": "set_box",
            "kind": _text(action, "kind"),
            "box": self._large(action["box"], image),
        }
        (told["image"],) = self._of_images([image])
        if "instead_of" in action:
            (told["instead_of"],) = self._of_images([_text(action, "instead_of")])
        return [told]

    def _large(self, box: Any, image: str) -> list[int]:
        """The box, in thousandths of the still, if it is not too small to be cut. Raises Unclear."""
        if not (isinstance(box, list) and len(box) == 4 and all(_is_number(it, int) and 0 <= it <= 1000 for it in box)):
            raise Unclear(
                "a box is x, y, width and height: four whole numbers from 0 to 1000, thousandths of the still"
            )
        row = self.view.facts.row_of(image)
        if row is None or still_of(image) != image:
            raise Unclear(f"there is no still {image}")
        size = [round(row[side] * it / 1000) for side, it in zip(("width_px", "height_px"), box[2:], strict=True)]
        if min(size) < LEAST_BOX_PX:
            raise Unclear(
                f"the box is {size[0]} × {size[1]} px of the still, and each side has to be {LEAST_BOX_PX} px"
            )
        return box

    def _exclude(self, action: Mapping[str, Any], now: Now) -> list[dict]:
        episode = _text(action, "episode")
        source = self.view.facts.sources[episode]
        span = {name: _seconds(action, name) for name in ("start_s", "end_s")}
        return [{"do": "exclude", "episode": episode, "source": source, **span}]

    # How pictures are spoken of.

    def _tiles(self, action: Mapping[str, Any], show: str = "") -> list[int]:
        tiles = tiles_of(action["tiles"], len(self.view.tiles))
        if show and any(show_of(self.view.tiles[it].cover) != show for it in tiles):
            raise Unclear("a character is of one show: these tiles are not all of it")
        return tiles

    def _one_show(self, tiles: Iterable[int]) -> str:
        shows = {show_of(self.view.tiles[it].cover) for it in tiles}
        if len(shows) > 1:
            raise Unclear(f"these are of several shows ({', '.join(sorted(shows))}), and a character is of one")
        return shows.pop()

    def _known(self, character: Any, now: Now) -> str:
        if not isinstance(character, str) or character not in now.people:
            raise Unclear(f"there is no character {character!r}")
        return character

    def _images(self, action: Mapping[str, Any]) -> list[str]:
        """What it names: images by their ids, or all crops of tiles."""
        if "images" in action:
            return [check_image(it) for it in _texts(action, "images")]
        return [crop for tile in self._tiles(action) for crop in self.view.tiles[tile].crops]

    def _of_tiles(self, tiles: Sequence[int], of_each: int = CROPS_OF_TILE) -> list[dict]:
        crops = [
            crop
            for number in tiles
            for tile in (self.view.tiles[number],)
            for crop in [tile.cover, *(it for it in tile.crops if it != tile.cover)][:of_each]
        ]
        return self._of_images(crops)

    def _shown_by(self, character: str, now: Now) -> list[dict]:
        number = self.view.characters.index(character)
        own = [int(it) for it in (now.owner == number).nonzero()[0]]
        own.sort(key=lambda tile: (now.near[tile] != number, now.difference[tile], tile))
        return self._of_images([self.view.tiles[it].cover for it in own[:SHOWN_BY]])

    def _of_images(self, images: Sequence[str]) -> list[dict]:
        facts = self.view.facts
        looks = self._looks(images, MOST_LOOKS)
        found = []
        for image in dict.fromkeys(images):
            row = facts.row_of(image)
            if row is None:
                raise Unclear(f"there is no image {image}")
            source, pixels = facts.sources.get(episode_of(image), ""), row["pixel_sha256"] or ""
            found.append({"image": image, "source": source, "pixels": pixels, "look": looks.get(image, "")})
        return found


ACTIONS = (
    "assign",
    "name",
    "confirm",
    "not",
    "same",
    "rename",
    "merge",
    "split",
    "reject",
    "keep",
    "tags",
    "caption",
    "keep_both",
    "swap",
    "box",
    "exclude",
)


def tiles_of(told: Any, count: int) -> list[int]:
    """The numbers of tiles that are named, each once. count: how many there are. Raises Unclear."""
    if not isinstance(told, list) or not told or not all(_is_number(it, int) and 0 <= it < count for it in told):
        raise Unclear("it names no tiles, or some that are not there")
    return list(dict.fromkeys(told))


def _is_number(told: Any, *kinds: type) -> bool:
    return isinstance(told, kinds) and not isinstance(told, bool)


def _text(action: Mapping[str, Any], name: str) -> str:
    if not isinstance(action[name], str):
        raise Unclear(f"{name} has to be a text")
    return action[name]


def _texts(action: Mapping[str, Any], name: str) -> list[str]:
    if not isinstance(action[name], list) or not all(isinstance(it, str) for it in action[name]):
        raise Unclear(f"{name} has to be a list of texts")
    return action[name]


def _seconds(action: Mapping[str, Any], name: str) -> float:
    told = action[name]
    try:
        found = float(told) if _is_number(told, int, float) else math.nan
    except OverflowError:  # a whole number of hundreds of digits
        found = math.inf
    if not math.isfinite(found):
        raise Unclear(f"{name} has to be a number of seconds")
    return found


def _when() -> str:
    return datetime.now(UTC).isoformat()
