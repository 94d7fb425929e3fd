"""Which packets are intra pictures, which restart a stream, and which are only second fields, read from the first bits
without decoding them.

Sources: ITU-T H.264 7.3.1, 7.3.2 and 7.3.3, ITU-T H.265 7.3.2.3 and 7.3.6.1, RFC 6386 9.1, VP9 bitstream specification
6.2.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

_H264_SPS, _H264_PPS = 7, 8
_H264_WITH_CHROMA_FORMAT = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})  # profiles
_H264_IDR = 5
_H264_FULL_CHROMA = 244  # the profile of 4:4:4
_H264_SETS = frozenset({_H264_SPS, _H264_PPS, 13, 15})  # and the extension of one, and one of a subset
_H264_SLICES = frozenset({1, 2, _H264_IDR})  # NAL unit types: non-IDR, data partition A, IDR
_H264_I_SLICES = frozenset({2, 7})
_HEVC_PPS, _HEVC_FIRST_IRAP, _HEVC_LAST_IRAP, _HEVC_LAST_SLICE = 34, 16, 23, 31
_HEVC_I_SLICE = 2
_HEVC_SETS, _HEVC_IDR = frozenset({32, 33, _HEVC_PPS}), frozenset({19, 20})
_HEADER_BYTES = 64  # more than any field of a slice read here needs
_SET_BYTES = 1024  # and of a parameter set, with all its scaling lists


def intra_test(codec: str, extradata: bytes | None) -> Callable[[bytes], bool] | None:
    """A function saying of each packet, fed in order, whether it is an intra picture; None for codecs not known here.

    It raises ValueError where a packet's first bits do not tell.
    """
    if codec == "h264":
        return _H264(extradata or b"")
    if codec == "hevc":
        return _Hevc(extradata or b"")
    return {"vp8": _vp8_is_intra, "vp9": _vp9_is_intra}.get(codec)


def second_field_test(codec: str, extradata: bytes | None) -> Callable[[bytes], bool] | None:
    """A function saying of each packet, fed in order, whether it completes the picture that the one before it began.

    None where each packet is a whole picture. A packet whose first bits do not tell counts as one.
    """
    slices = _H264Slices(extradata or b"") if codec == "h264" else None
    return _SecondFields(slices) if slices and slices.may_be_fields else None


def follows_test(codec: str, extradata: bytes | None) -> Callable[[bytes, bytes], bool] | None:
    """A function saying of two packets whether no picture that others lean on was lost between them, by the number that
    each carries; None for codecs that do not number their pictures.

    Behind a key frame that restarts the stream nothing is predicted from what was before. It raises ValueError
    where the packets' first bits do not tell.
    """
    return _Follows(_H264Slices(extradata or b"")) if codec == "h264" else None


def restart_test(codec: str, extradata: bytes | None) -> Callable[[bytes], bool] | None:
    """A function saying of each packet, fed in order, whether nothing from it on needs anything from before it.

    None for codecs and streams where that is not known: it is of HEVC, and of H.264 in whole frames, both divided by
    lengths; not of H.264 in 4:4:4, as what old versions of x264 meant by it only the first packet tells. It raises
    ValueError where a packet brings parameter sets that the extradata lack.
    """
    extradata = extradata or b""
    if codec == "h264" and extradata[:1] == b"\x01" and len(extradata) > 6:
        if extradata[1] == _H264_FULL_CHROMA or _H264Slices(extradata).may_be_fields:
            return None
        return _Restarts(_avcc_nals(extradata), (extradata[4] & 3) + 1, 0, _H264_SETS, frozenset({_H264_IDR}))
    if codec == "hevc" and extradata[:1] == b"\x01" and len(extradata) > 22:
        return _Restarts(_hvcc_nals(extradata), (extradata[21] & 3) + 1, 1, _HEVC_SETS, _HEVC_IDR)
    return None


class _Slice(NamedTuple):
    is_intra: bool
    frame_num: int = 0
    field: int | None = None  # 0: top, 1: bottom, None: of a whole frame
    numbers: int = 0  # of frames until frame_num starts over; 0: it could not be read
    is_reference: bool = False
    restarts: bool = False


class _Widths(NamedTuple):
    """Bits of a slice's header before its frame_num and of that, and whether it may be of a field."""

    before: int
    frame_num: int
    may_be_field: bool


class _H264Slices:
    """Reads the headers of slices. Parameter sets come from the extradata and from the packets as they pass."""

    def __init__(self, extradata: bytes) -> None:
        self._widths: dict[int, _Widths] = {}  # by sequence set
        self._sequence_set: dict[int, int] = {}  # by picture set
        self._length_bytes = 0
        nals = _nals(extradata, 0)
        if extradata[:1] == b"\x01" and len(extradata) > 6:
            self._length_bytes = (extradata[4] & 3) + 1
            nals = _avcc_nals(extradata)
        for nal in nals:
            self._remember(nal)

    @property
    def may_be_fields(self) -> bool:
        """Whether pictures may be coded in fields, as far as is known by now."""
        return any(widths.may_be_field for widths in self._widths.values())

    def of(self, packet: bytes) -> list[_Slice]:
        """The slices of a packet. Raises ValueError where their first bits do not tell."""
        slices = []
        for nal in _nals(packet, self._length_bytes):
            self._remember(nal)
            if nal[0] & 31 in _H264_SLICES:
                slices.append(self._read(nal))
        return slices

    def _read(self, nal: bytes) -> _Slice:
        bits = _Bits(nal[1:_HEADER_BYTES])
        bits.ue()  # first_mb_in_slice
        is_intra = bits.ue() in _H264_I_SLICES
        widths = self._widths.get(self._sequence_set.get(bits.ue(), -1))
        if widths is None:
            return _Slice(is_intra)
        bits.u(widths.before)
        frame_num = bits.u(widths.frame_num)
        field = bits.u(1) if widths.may_be_field and bits.u(1) else None
        is_reference, restarts = bool(nal[0] & 0x60), nal[0] & 31 == _H264_IDR
        return _Slice(is_intra, frame_num, field, 1 << widths.frame_num, is_reference, restarts)

    def _remember(self, nal: bytes) -> None:
        kind = nal[0] & 31
        if kind not in (_H264_SPS, _H264_PPS):
            return
        bits = _Bits(nal[1:])
        with suppress(ValueError):  # the decoder says what is wrong with a broken set
            if kind == _H264_PPS:
                picture_set = bits.ue()
                self._sequence_set[picture_set] = bits.ue()
                return
            sequence_set, widths = _read_sequence_set(bits)
            self._widths[sequence_set] = widths


class _H264:
    def __init__(self, extradata: bytes) -> None:
        self._slices = _H264Slices(extradata)

    def __call__(self, packet: bytes) -> bool:
        slices = self._slices.of(packet)
        if any(one.field is not None for one in slices):
            raise ValueError("a picture in two fields, the second of which may be predicted")
        return _all_or_none([one.is_intra for one in slices])


class _SecondFields:
    def __init__(self, slices: _H264Slices) -> None:
        self._slices = slices
        self._begun: tuple[int, int] | None = None  # frame_num and field of a picture that lacks the other field

    def __call__(self, packet: bytes) -> bool:
        try:
            slices = self._slices.of(packet)
        except ValueError:
            slices = []
        begun, self._begun = self._begun, None
        fields = {one.field for one in slices}
        if len(fields) != 1 or (field := slices[0].field) is None:
            return False  # a frame, or both its fields
        if begun == (slices[0].frame_num, 1 - field):
            return True
        self._begun = slices[0].frame_num, field
        return False


class _Follows:
    def __init__(self, slices: _H264Slices) -> None:
        self._slices = slices

    def __call__(self, before: bytes, after: bytes) -> bool:
        earlier, later = self._slices.of(before), self._slices.of(after)
        if not earlier or not later or not earlier[-1].numbers:
            raise ValueError("a packet without a numbered picture")
        number = (earlier[-1].frame_num + earlier[-1].is_reference) % earlier[-1].numbers
        return later[0].restarts or later[0].frame_num == number


class _Restarts:
    def __init__(
        self, known: Iterator[bytes], length_bytes: int, kind_shift: int, sets: frozenset[int], restarts: frozenset[int]
    ) -> None:
        """`kind_shift`: bits behind the type of a NAL unit in its first byte."""
        self._known = {nal[:_SET_BYTES] for nal in known}
        self._length_bytes, self._kind_shift, self._mask = length_bytes, kind_shift, 63 if kind_shift else 31
        self._sets, self._restarts = sets, restarts

    def __call__(self, packet: bytes) -> bool:
        restarts = False
        for nal in _nals(packet, self._length_bytes):
            kind = nal[0] >> self._kind_shift & self._mask
            restarts = restarts or kind in self._restarts
            if kind in self._sets and nal not in self._known:
                raise ValueError("parameter sets that the extradata lack")
        return restarts


def _read_sequence_set(bits: "_Bits") -> tuple[int, _Widths]:
    """The number of a sequence parameter set (H.264, 7.3.2.1.1), and the widths in the headers of its slices."""
    profile = bits.u(8)
    bits.u(16)
    number = bits.ue()
    separate_planes = 0
    if profile in _H264_WITH_CHROMA_FORMAT:
        chroma_format = bits.ue()
        separate_planes = bits.u(1) if chroma_format == 3 else 0
        bits.skip_ue(2)  # bit depths
        bits.u(1)  # transform bypass
        if bits.u(1):
            for index in range(8 if chroma_format != 3 else 12):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.ue() + 4
    order_type = bits.ue()
    if order_type == 0:
        bits.ue()
    elif order_type == 1:
        bits.u(1)
        bits.skip_ue(2)
        bits.skip_ue(bits.ue())
    bits.ue()  # reference frames
    bits.u(1)  # gaps
    bits.skip_ue(2)  # width, height
    only_frames = bits.u(1)
    return number, _Widths(2 * separate_planes, frame_num_bits, not only_frames)


def _skip_scaling_list(bits: "_Bits", size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
            last = following or last


class _Hevc:
    """Parameter sets come from the extradata and from the packets as they pass."""

    def __init__(self, extradata: bytes) -> None:
        self._length_bytes = 0
        self._slice_fields: dict[int, tuple[int, int]] = {}
        if extradata[:1] == b"\x01" and len(extradata) > 22:
            self._length_bytes = (extradata[21] & 3) + 1
            nals = _hvcc_nals(extradata)
        else:
            nals = _nals(extradata, 0)
        for nal in nals:
            self._remember(nal)

    def __call__(self, packet: bytes) -> bool:
        types: list[bool] = []
        for nal in _nals(packet, self._length_bytes):
            self._remember(nal)
            kind = (nal[0] >> 1) & 63
            if kind > _HEVC_LAST_SLICE:
                continue
            types.append(self._is_intra_slice(nal, kind))
            if not types[0]:
                return False
        return _all_or_none(types)

    def _remember(self, nal: bytes) -> None:
        if len(nal) > 2 and (nal[0] >> 1) & 63 == _HEVC_PPS:
            bits = _Bits(nal[2:_HEADER_BYTES])
            pps_id, _sps_id, dependent_segments, _output_flag = bits.ue(), bits.ue(), bits.u(1), bits.u(1)
            self._slice_fields[pps_id] = (dependent_segments, bits.u(3))

    def _is_intra_slice(self, nal: bytes, kind: int) -> bool:
        if _HEVC_FIRST_IRAP <= kind <= _HEVC_LAST_IRAP:
            return True
        bits = _Bits(nal[2:_HEADER_BYTES])
        first_in_picture, pps_id = bits.u(1), bits.ue()
        if pps_id not in self._slice_fields:
            raise ValueError(f"HEVC slice without its parameter set {pps_id}")
        dependent_segments, extra_bits = self._slice_fields[pps_id]
        if not first_in_picture:
            if dependent_segments and bits.u(1):
                return True  # continues the slice before it, which was one
            raise ValueError("the type of an HEVC picture's second slice lies behind a field as wide as the picture")
        bits.u(extra_bits)
        return bits.ue() == _HEVC_I_SLICE


def _all_or_none(slices_are_intra: list[bool]) -> bool:
    if any(slices_are_intra) and not all(slices_are_intra):
        raise ValueError("a picture of intra and other slices")
    return bool(slices_are_intra) and slices_are_intra[0]


def _vp8_is_intra(packet: bytes) -> bool:
    return bool(packet) and packet[0] & 1 == 0


def _vp9_is_intra(packet: bytes) -> bool:
    shown = False
    for frame in _vp9_frames(packet):
        bits = _Bits(frame[:4])
        bits.u(2)  # frame marker
        profile = bits.u(1) + 2 * bits.u(1)
        if profile == 3:
            bits.u(1)
        if bits.u(1):  # show_existing_frame
            continue
        inter, show, _error_resilient = bits.u(1), bits.u(1), bits.u(1)
        intra_only = inter and not show and bits.u(1)
        if not show and (not inter or intra_only):
            raise ValueError("an intra frame that is decoded now and shown later")
        shown = shown or not inter
    return shown


def _vp9_frames(packet: bytes) -> list[bytes]:
    """The frames of a superframe (VP9 bitstream specification, annex B), or the packet itself."""
    marker = packet[-1] if packet else 0
    count, size_bytes = (marker & 7) + 1, ((marker >> 3) & 3) + 1
    index_bytes = 2 + count * size_bytes
    if marker & 0xE0 != 0xC0 or len(packet) < index_bytes or packet[-index_bytes] != marker:
        return [packet] if packet else []
    index, frames, start = packet[-index_bytes + 1 : -1], [], 0
    for n in range(count):
        size = int.from_bytes(index[n * size_bytes : (n + 1) * size_bytes], "little")
        if size:
            frames.append(packet[start : start + size])
        start += size
    return frames


def _avcc_nals(extradata: bytes) -> Iterator[bytes]:
    """The NAL units of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1.2)."""
    position = 5
    for mask in (31, 255):  # of the number of sequence sets, then of picture sets
        count = extradata[position] & mask if position < len(extradata) else 0
        position += 1
        for _ in range(count):
            length = int.from_bytes(extradata[position : position + 2], "big")
            if nal := extradata[position + 2 : position + 2 + length]:
                yield nal
            position += 2 + length


def _hvcc_nals(extradata: bytes) -> Iterator[bytes]:
    """The beginnings of the NAL units of an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1.2)."""
    position = 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[position + 1 : position + 3], "big")
        position += 3
        for _ in range(count):
            length = int.from_bytes(extradata[position : position + 2], "big")
            yield extradata[position + 2 : position + 2 + min(length, _SET_BYTES)]
            position += 2 + length


def _nals(packet: bytes, length_bytes: int) -> Iterator[bytes]:
    """The beginnings of a packet's NAL units, divided by lengths, or by start codes where `length_bytes` is 0."""
    if length_bytes:
        position = 0
        while position + length_bytes < len(packet):
            length = int.from_bytes(packet[position : position + length_bytes], "big")
            position += length_bytes
            if length:
                yield packet[position : position + min(length, _SET_BYTES)]
            position += length
        return
    position = packet.find(b"\0\0\1")
    while position >= 0:
        if nal := packet[position + 3 : position + 3 + _SET_BYTES]:
            yield nal
        position = packet.find(b"\0\0\1", position + 3)


class _Bits:
    """Bits of a NAL unit, most significant first, without its emulation prevention bytes."""

    def __init__(self, data: bytes) -> None:
        plain = data.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(plain, "big"), len(plain) * 8

    def u(self, bits: int) -> int:
        self._left -= bits
        if self._left < 0:
            raise ValueError("a header that is cut short")
        return (self._value >> self._left) & ((1 << bits) - 1)

    def ue(self) -> int:
        """Exp-Golomb code (ITU-T H.265, 9.2)."""
        zeros = 0
        while self.u(1) == 0:
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def skip_ue(self, codes: int) -> None:
        """Past so many codes, with or without a sign."""
        for _ in range(codes):
            self.ue()

    def se(self) -> int:
        """The same with a sign (ITU-T H.264, 9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -code // 2
