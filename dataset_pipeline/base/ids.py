"""Ids of images, made of facts alone, and the file names they map to.

An image id is `<episode>/<still>` or `<episode>/<still>#<kind>-<x>-<y>-<w>-<h>`; the episode is the partition key
`<show>.<episode>`. What is made of a span of a video is called after its first and last frame: a still
`pan-<first ms>-<last ms>`, `plate-<first ms>-<last ms>` or `plate-<first ms>-<last ms>-with-<base ms>`, a clip
`<episode>/clip-<first ms>-<last ms>`. The pair of a frame of two releases is `<episode of the low one>/pair-<ms>`. Ids
are lower-case ASCII, so they compare and sort alike everywhere.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from dataset_pipeline.base.file_names import ascii_slug

MAX_EPISODE_LENGTH = 100
MAX_SLUG_LENGTH = 40
DETAIL = "detail"  # how the kinds of square details end

_EPISODE = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_IMAGE = re.compile(_EPISODE.pattern + r"/[a-z0-9_-]+(#[a-z]+(-\d+){4})?")
_KIND = re.compile(r"[a-z]+")
_FRAME = re.compile(r"\d{8,}")
_SPAN = re.compile(r"(pan|plate|clip)-(\d{8,})-(\d{8,})(-with-\d{8,})?")
PANORAMA, PLATE, PLATE_WITH_SUBJECT, CLIP = "panorama", "plate", "plate_with_subject", "clip"
_WORDS = {("pan", False): PANORAMA, ("plate", False): PLATE, ("plate", True): PLATE_WITH_SUBJECT, ("clip", False): CLIP}
_CONTENT_HASH = re.compile(r"-[0-9a-f]{12}$")
# A dot would start a suffix, and trainers split names without a caption on underscores.
_TO_FILE = str.maketrans("./#_", "~@=+")
_FROM_FILE = str.maketrans("~@=+", "./#_")


def check_episode(episode: str) -> str:
    """Return `episode` if it can be a partition key, else raise ValueError."""
    if not _EPISODE.fullmatch(episode) or len(episode) > MAX_EPISODE_LENGTH:
        raise ValueError(
            f"{episode!r} is no episode key: parts of a-z, 0-9, _ and - joined by dots, "
            f"at most {MAX_EPISODE_LENGTH} characters"
        )
    return episode


def check_image(image: str) -> str:
    """Return `image` if it is an image id, else raise ValueError."""
    if not _IMAGE.fullmatch(image):
        raise ValueError(f"{image!r} is no image id: <episode>/<still> or <episode>/<still>#<kind>-<x>-<y>-<w>-<h>")
    return image


def frame_id(episode: str, pts_ms: int) -> str:
    """The frame shown `pts_ms` milliseconds after the episode's first video frame."""
    if pts_ms < 0:
        raise ValueError(f"pts_ms = {pts_ms} of {episode}: frames are counted from the first one, so never below 0")
    return f"{check_episode(episode)}/{pts_ms:08d}"


def clip_id(episode: str, start_s: float, end_s: float) -> str:
    """The clip from one time to another, in seconds after the episode's first video frame."""
    return _span_id(episode, "clip", start_s, end_s)


def panorama_id(episode: str, start_s: float, end_s: float) -> str:
    """The panorama of the shot whose first and last frame are shown at these times, as those of a clip."""
    return _span_id(episode, "pan", start_s, end_s)


def plate_id(episode: str, start_s: float, end_s: float, base_s: float | None = None) -> str:
    """The clean plate of such a shot; with the subject of the frame shown at `base_s` put back if that is given."""
    plain = _span_id(episode, "plate", start_s, end_s)
    return plain if base_s is None else f"{plain}-with-{round(base_s * 1000):08d}"


def pair_id(episode: str, low_s: float) -> str:
    """The pair of pictures of two releases whose low one, the episode, shows it at that time."""
    return f"{frame_id(episode, round(low_s * 1000)).replace('/', '/pair-')}"


def _span_id(episode: str, word: str, start_s: float, end_s: float) -> str:
    start_ms, end_ms = round(start_s * 1000), round(end_s * 1000)
    if not 0 <= start_ms <= end_ms:
        raise ValueError(f"a {word} of {episode} cannot last from {start_s} s to {end_s} s")
    return f"{check_episode(episode)}/{word}-{start_ms:08d}-{end_ms:08d}"


def kind_of_span(image: str) -> str:
    """PANORAMA, PLATE, PLATE_WITH_SUBJECT or CLIP for what is made of a span of a video, and for a crop of that; empty
    for frames and pictures of a folder."""
    span = _SPAN.fullmatch(still_of(image).partition("/")[2])
    return _WORDS.get((span[1], bool(span[4])), "") if span else ""


def shows_nobody(image: str) -> bool:
    """Whether an image is a clean plate, or a crop of one: nobody is on it, whatever a model takes for a person."""
    return kind_of_span(image) == PLATE


def is_clip(image: str) -> bool:
    """Whether an image id is that of a clip."""
    return kind_of_span(image) == CLIP


def track_id(episode: str, first_s: float, box: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    """The track whose first sample lies in `box` (x0, y0, x1, y1 in px) of a picture of that width and height, at a
    time in seconds after the episode's first video frame."""
    x0, y0, x1, y1 = box
    width, height = size
    sides = (
        _thousandths(length, side) for length, side in ((x0, width), (y0, height), (x1 - x0, width), (y1 - y0, height))
    )
    return f"{check_episode(episode)}/track-{round(first_s * 1000):08d}-" + "-".join(map(str, sides))


def box_of_crop(crop: str) -> tuple[str, tuple[float, float, float, float]]:
    """The kind of a crop, and its detection box as shares of the still (x0, y0, x1, y1), to a thousandth, as its id
    tells them. Raises ValueError for an image that is no crop."""
    kind, *sides = crop.partition("#")[2].split("-")
    if len(sides) != 4:
        raise ValueError(f"{crop!r} is no crop: <still>#<kind>-<x>-<y>-<w>-<h>")
    x, y, w, h = (int(side) / 1000 for side in sides)
    return kind, (x, y, x + w, y + h)


def is_detail(kind: str) -> bool:
    """Whether crops of this kind are square details at native size."""
    return kind.endswith(DETAIL)


def picture_slug(path: str) -> str:
    """The end of a path as a slug, at most `MAX_SLUG_LENGTH` characters; empty if nothing is left."""
    return ascii_slug(path)[-MAX_SLUG_LENGTH:].strip("-_")


def picture_id(episode: str, relative: str) -> str:
    """The picture at `relative`, its path inside the episode's folder.

    The hash is of the path with forward slashes in Unicode form C, so Windows and macOS give the id that Linux gives.
    """
    path = unicodedata.normalize("NFC", relative.replace("\\", "/"))
    stem = path.rpartition(".")[0] if "." in path.rpartition("/")[2] else path
    name = picture_slug(stem) or "picture"
    name = re.sub(r"^(pan|plate|clip(?=-\d{8,}$))-", r"\1_", name)  # never read as what is made of a span
    return f"{check_episode(episode)}/{name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def exact_picture_id(episode: str, relative: str, frame: int = 0) -> str:
    """The id of a picture whose `picture_id` another claims too: its hash, twice as long, is of the path's own bytes.

    frame: which frame of an animation.
    """
    exact = relative.encode("utf-8", "surrogateescape") + (b"\0%d" % frame if frame else b"")
    return f"{picture_id(episode, relative)[:-8]}{hashlib.sha256(exact).hexdigest()[:16]}"


def crop_id(still_id: str, kind: str, box: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    """The piece of a still inside the detection `box` (x0, y0, x1, y1 in px); `size`: width and height of the still.

    Two boxes of one kind that agree to a thousandth of the still get the same id. Raises ValueError for an empty
    still or a box turned inside out.
    """
    x0, y0, x1, y1 = box
    width, height = size
    if "#" in check_image(still_id):
        raise ValueError(f"{still_id} is a crop itself; crops are named after their still")
    if not _KIND.fullmatch(kind):
        raise ValueError(f"{kind!r} is no kind of crop: letters a-z only")
    if width <= 0 or height <= 0 or not (x0 <= x1 and y0 <= y1):
        raise ValueError(f"box {box} of {still_id} ({width}x{height} px) is impossible")
    x, y = _thousandths(x0, width), _thousandths(y0, height)
    w, h = _thousandths(x1 - x0, width), _thousandths(y1 - y0, height)
    return f"{still_id}#{kind}-{x}-{y}-{w}-{h}"


def _thousandths(length_px: float, side_px: int) -> int:
    """Rounded half up; boxes that stick out of the still are held at its edges."""
    return min(1000, max(0, int(1000 * length_px / side_px + 0.5)))


def file_name(image: str) -> str:
    """A file stem for an image id or an episode key: no dots or underscores, legal on Windows, Linux and macOS."""
    if not _EPISODE.fullmatch(image):
        check_image(image)
    return image.translate(_TO_FILE)


def image_id(name: str) -> str:
    """The id behind a file name or path, with or without suffixes and the content hash that the store appends.

    Raises ValueError if the name was not made by `file_name`.
    """
    stem = re.split(r"[/\\]", name)[-1].partition(".")[0]
    if "@" in stem:
        stem = _CONTENT_HASH.sub("", stem)
    image = stem.translate(_FROM_FILE)
    if not (_IMAGE.fullmatch(image) or _EPISODE.fullmatch(image)) or image.translate(_TO_FILE) != stem:
        raise ValueError(f"{name!r} is not the file name of an image id")
    return image


def episode_of(image: str) -> str:
    """The episode of an image id; an episode key is its own."""
    return image.partition("/")[0]


def still_of(image: str) -> str:
    """The still of a crop id; a still is its own."""
    return image.partition("#")[0]


def show_of(episode: str) -> str:
    """The show's part of an episode key or image id."""
    return episode_of(episode).partition(".")[0]


def pts_ms_of(image: str) -> int | None:
    """Where in the video an image is from, in ms; of a panorama, a plate or a clip the first frame; None for folder
    pictures."""
    span = span_ms_of(image)
    return span[0] if span else None


def span_ms_of(image: str) -> tuple[int, int] | None:
    """The first and the last ms of the video that an image shows, one and the same for a frame; None for folder
    pictures."""
    still = still_of(image).partition("/")[2]
    if _FRAME.fullmatch(still):
        return int(still), int(still)
    span = _SPAN.fullmatch(still) if kind_of_span(image) else None
    return (int(span[2]), int(span[3])) if span else None
