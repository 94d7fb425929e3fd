"""Where packets of a stream are missing, and which frames lean on what was lost.

A decoder conceals what it has not got: the frames after a loss come out whole and look like a mix of two pictures, and
only the first of them is marked. They are right again from the next key frame on.
"""

from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.video.frame import PictureType
from av.video.stream import VideoStream

from dataset_pipeline.video.bitstream import follows_test
from dataset_pipeline.video.containers import is_unbroken

# Of a packet: `own` is not passed on, as nothing that leans on its picture is left.
Damage = Literal["none", "own", "spreads"]

GAP_S = 0.5  # shorter holes are dropped frames
GAP_STEPS = 3  # times the longest of the steps before it
GAPS_NAMED = 5
PACKETS_AHEAD = 3
HOLD_S = 60.0  # no picture stands longer
JUMP_S = 10.0  # a clock that is so far ahead, at a key frame, is that of another recording
_STEPS_KEPT, _FEWEST_STEPS = 64, 8
_BROADCAST = "mpeg2video"  # of a steady rate: what is not there was lost, maybe before it came into this file
_JUMP_BACK_S = 5.0  # further back than any decoder holds frames: the recording starts over


def stamp_of(item: av.Packet | av.VideoFrame) -> int | None:
    """Its timestamp, or failing that its place in decoding order."""
    return item.pts if item.pts is not None else item.dts


class Holds:
    """Tells of two successive packets, in decoding order, whether the picture of the first stands until the second.

    Frames that show nothing new are often dropped, with no duration on those that stay. It is so where the container
    is whole between the two, and the stream numbers no picture that is missing; unknown containers never say it.
    """

    def __init__(self, path: Path, stream: VideoStream) -> None:
        self._path, self._time_base = path, Fraction(stream.time_base or 0)
        context = stream.codec_context
        self._is_known = context.codec.canonical_name != _BROADCAST
        self._follows = follows_test(context.codec.canonical_name, context.extradata)

    def __call__(self, before: av.Packet, after: av.Packet) -> bool:
        one, other = stamp_of(before), stamp_of(after)
        if not self._is_known or one is None or other is None or (other - one) * self._time_base > HOLD_S:
            return False
        if before.pos is None or after.pos is None or not is_unbroken(self._path, before.pos, after.pos):
            return False
        try:
            return self._follows is None or self._follows(bytes(before), bytes(after))
        except ValueError:
            return False


class Gaps:
    """Finds holes in the time line of a stream whose packets say how long they last."""

    def __init__(self, time_base: Fraction, is_hold: Callable[[av.Packet, av.Packet], bool] | None = None) -> None:
        self._is_hold = is_hold
        self._before: av.Packet | None = None
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
        before, self._before = self._before, packet
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
        if not is_gap:
            self._steps.append(step)
            return False
        if before is not None and self._is_hold is not None and self._is_hold(before, packet):
            return False
        start_s, stop_s = (float((at - self._first) * self._time_base) for at in (end, stamp))
        self._found.append(f"no frames from {start_s:.1f} s to {stop_s:.1f} s")
        return True

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
    is_joined = is_joined or (may_be_joined and any(_restarts(packet, *later) for later in rest))
    if (after_gap and not packet.is_keyframe) or (packet.is_corrupt and not is_joined):
        return "spreads"
    return "own" if rest and rest[0][1] and not is_joined else "none"


def _restarts(packet: av.Packet, later: av.Packet, after_gap: bool) -> bool:
    """Whether the later packet is the first of another recording: reception that comes back rarely does with one."""
    if not after_gap or not later.is_keyframe or later.dts is None or packet.dts is None:
        return False
    return (later.dts - packet.dts) * Fraction(packet.time_base or 0) > JUMP_S


class DamagedReferences:
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

    def damaged_for(self, image: av.VideoFrame) -> bool:
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
