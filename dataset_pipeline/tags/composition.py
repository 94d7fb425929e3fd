"""How much of a person an image shows, in the words of image boards: from close-up to full body.

Crops of a head, a face or a half body are by their cut what they are called. On a still or the crop of a person the
boxes decide where one person is there for certain: by how many heads high what is seen of it is, and whether it goes on
below the still's edge. Grown figures are 5 to 7 heads high, and are cut at about 1.5 heads below the shoulders, 2.5 at
the navel and 4 at the thigh; between these the tagger's word stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dataset_pipeline.base.boxes import Box
from dataset_pipeline.base.tag_words import NOBODY, words
from dataset_pipeline.tags.counts import Decided
from dataset_pipeline.tags.people import STILL, Seen

# Of these an image bears one.
COMPOSITIONS = tuple(map(words, ("close-up", "portrait", "upper body", "lower body", "cowboy shot", "full body")))
OTHER_COMPOSITION = "other_composition"
OF_CROP: Mapping[str, str] = MappingProxyType({"face": "close-up", "head": "portrait", "halfbody": "upper body"})
OF_HEAD = frozenset({"facedetail", "eyesdetail", "headdetail"})  # details that hold a whole head, and more of a person
# From how many to how many heads high a person is that is cut by the still's lower edge.
CUT_AT = (("portrait", 1.0, 1.6), ("upper body", 2.0, 2.8), ("cowboy shot", 3.3, 4.2))
WHOLE_HEADS = 4.8  # from so many on a person that ends above the still's edge is shown down to the feet
EDGE_SHARE = 0.02  # of the still's height: what comes so near to its edge may go on beyond it


def composition_of(kind: str, seen: Seen | None, still_height_px: int, place: Box | None = None) -> str:
    """What the boxes say for certain; empty where they do not. kind: still, or the crop's. place: where a detail lies
    in its still: its lower edge cuts somebody off as that of a still does."""
    if kind in OF_CROP:
        return OF_CROP[kind]
    if seen is None or (seen.at_least, seen.at_most) != (1, 1) or not seen.people:
        return ""
    person = seen.people[0]
    if not person.body or not person.head:
        return ""
    if kind in OF_HEAD and place is not None:
        x0, y0, x1, y1 = person.body
        return framing((x0, y0, x1, min(y1, place[3])), person.head, round(place[3]))
    return framing(person.body, person.head, still_height_px) if kind in (STILL, "person") else ""


def framing(body: Box, head: Box, still_height_px: int) -> str:
    """What is seen of one person: `upper body` for a head of 100 px and a body of 250 px that the still's lower edge
    cuts off; empty where the head is cut off or the height is between two."""
    edge_px = EDGE_SHARE * still_height_px
    head_px = head[3] - head[1]
    if head_px <= 0 or head[1] <= edge_px:
        return ""
    heads = (body[3] - head[1]) / head_px
    if body[3] < still_height_px - edge_px:
        return "full body" if heads >= WHOLE_HEADS else ""
    return next((name for name, low, high in CUT_AT if low <= heads <= high), "")


def decide_composition(scores: Mapping[str, float], decided: str, space: str = "_") -> Decided:
    """What is to be dropped and added so that one composition stays: the one that is decided, else the most probable.

    Beside `no humans` none does. scores: the general tags that reached their threshold. space: what stands between the
    words of a tag.
    """
    said = [tag for tag in scores if words(tag) in COMPOSITIONS]
    if any(words(tag) == NOBODY for tag in scores):
        return Decided(dict.fromkeys(said, OTHER_COMPOSITION))
    if not decided:
        best = min(said, key=lambda tag: (-scores[tag], tag), default="")
        return Decided({tag: OTHER_COMPOSITION for tag in said if tag != best})
    reason = f"seen: {decided}"
    dropped = {tag: reason for tag in said if words(tag) != words(decided)}
    if len(dropped) < len(said):
        return Decided(dropped)
    return Decided(dropped, {decided.replace(" ", space): (1.0, reason)})
