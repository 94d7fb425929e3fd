"""Where packets of a stream are missing, and which frames lean on what was lost.

A decoder conceals what it has not got: the frames after a loss come out whole and look like a mix of two pictures, and
only the first of them is marked. They are right again from the next key frame on.
"""

from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import av
from av.video.frame import PictureType

# Of a packet: `own` is not passed on, as nothing that leans on its picture is left.
Damage = Literal["none", "own", "spreads"]

GAP_S = 0.5  # shorter holes are dropped frames
GAP_STEPS = 3  # times the longest of the steps before it
GAPS_NAMED = 5
PACKETS_AHEAD = 3
JUMP_S = 10.0  # a clock that is so far ahead, at a key frame, is that of another recording
_STEPS_KEPT, _FEWEST_STEPS = 64, 8
_JUMP_BACK_S = 5.0  # further back than any decoder holds frames: the recording starts over


def stamp_of(item: av.Packet | av.VideoFrame) -> int | None:
    """Its timestamp, or failing that its place in decoding order."""
    return item.pts if item.pts is not None else item.dts


class Gaps:
    """Finds holes in the time line of a stream whose packets say how long they last."""

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._gap, self._jump_back = float(GAP_S / time_base), float(_JUMP_BACK_S / time_base)
        self._steps: deque[int] = deque(maxlen=_STEPS_KEPT)
        self._first: int | None = None
        self._end: int | None = None  # of the latest picture so far
        self._latest = 0
        self._found: list[str] = []

    def before(self, packet: av.Packet) -> bool:
        """Whether packets are missing between those seen so far and this one, in decoding order."""
        stamp = stamp_of(packet)
        if stamp is None:
            return False
        if self._first is None:
            self._first = stamp
        end, step = self._end, stamp - self._latest
        if end is not None and step <= 0:
            if -step > self._jump_back:
                self._end, self._latest = stamp + (packet.duration or 0), stamp
            return False
        self._latest, self._end = stamp, stamp + packet.duration if packet.duration else None
        if end is None:
            return False
        is_gap = stamp - end > self._gap and len(self._steps) >= _FEWEST_STEPS and step > GAP_STEPS * max(self._steps)
        if is_gap:
            start_s, stop_s = (float((at - self._first) * self._time_base) for at in (end, stamp))
            self._found.append(f"no frames from {start_s:.1f} s to {stop_s:.1f} s")
        else:
            self._steps.append(step)
        return is_gap

    @property
    def found(self) -> list[str]:
        """A sentence for each of the first holes, and the number of the others."""
        others = len(self._found) - GAPS_NAMED
        return self._found[:GAPS_NAMED] + ([f"{others} more stretches without frames"] if others > 0 else [])


def damage_of(ahead: Sequence[tuple[av.Packet, bool]], may_be_joined: bool = False) -> Damage:
    """What is known of the first of these successive packets; with each goes whether there is a gap before it.

    `may_be_joined`: recordings of that container are joined by putting one file behind the other.
    """
    (packet, after_gap), *rest = ahead
    # Transport streams mark a packet or two before a loss, and also where recordings were joined and nothing is lost.
    dts = [later.dts for later, _ in rest if later.dts is not None]
    is_joined = packet.dts is not None and min(dts, default=packet.dts) < packet.dts
    is_joined = is_joined or (may_be_joined and any(_begins_anew(packet, *later) for later in rest))
    if (after_gap and not packet.is_keyframe) or (packet.is_corrupt and not is_joined):
        return "spreads"
    return "own" if rest and rest[0][1] and not is_joined else "none"


def _begins_anew(packet: av.Packet, later: av.Packet, after_gap: bool) -> bool:
    """Whether the later packet is the first of another recording: reception that comes back rarely does with one."""
    if not after_gap or not later.is_keyframe or later.dts is None or packet.dts is None:
        return False
    return (later.dts - packet.dts) * Fraction(packet.time_base or 0) > JUMP_S


class Leaning:
    """Tells frames that lean on damage: all from the damage on, up to the next key frame.

    Streams of gradual refresh have key packets but no further key frames: theirs are whole from the second on.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._jump_back = float(_JUMP_BACK_S / time_base)
        self._start: int | None = None  # of the first frame that may lean; None while all is sound
        self._damaged: set[int] = set()
        self._keys: list[int] = []

    def feed(self, packet: av.Packet, damage: Damage) -> None:
        """Every packet, before its frames are asked about."""
        stamp = stamp_of(packet)
        if stamp is None:
            return
        if damage == "own":
            self._damaged.add(stamp)
        elif damage == "spreads":
            # Pictures that are decoded later may be shown earlier, but none before this one's decoding time.
            self._damage(stamp, stamp if packet.dts is None else min(stamp, packet.dts))
        elif packet.is_keyframe and self._start is not None:
            self._keys.append(stamp)

    def leans(self, image: av.VideoFrame) -> bool:
        """Every frame, in the order the decoder shows them."""
        stamp = stamp_of(image)
        if stamp is None:
            return image.is_corrupt
        if image.is_corrupt:
            self._damage(stamp, stamp)
            return True
        if stamp in self._damaged:
            return True
        if self._start is None:
            return False
        if self._ends_at(image, stamp):
            self._start = None
            self._damaged.clear()
            return False
        return stamp >= self._start and image.pict_type != PictureType.I

    def _damage(self, stamp: int, start: int) -> None:
        self._start = start if self._start is None else min(self._start, start)
        self._damaged.add(stamp)
        self._keys.clear()

    def _ends_at(self, image: av.VideoFrame, stamp: int) -> bool:
        last = max(self._damaged)
        if image.key_frame:
            return stamp > last or last - stamp > self._jump_back
        return len(self._keys) > 1 and stamp >= self._keys[1]
