"""Which packets are intra pictures, read from the first bits of a coded picture without decoding it.

Sources: ITU-T H.264 7.3.1 and 7.3.3, ITU-T H.265 7.3.2.3 and 7.3.6.1, RFC 6386 9.1, VP9 bitstream specification 6.2.
"""

from collections.abc import Callable, Iterator

_H264_SLICES = frozenset({1, 2, 5})  # NAL unit types: non-IDR, data partition A, IDR
_H264_I_SLICES = frozenset({2, 7})
_HEVC_PPS, _HEVC_FIRST_IRAP, _HEVC_LAST_IRAP, _HEVC_LAST_SLICE = 34, 16, 23, 31
_HEVC_I_SLICE = 2
_HEADER_BYTES = 64  # more than any field read here needs


def intra_test(codec: str, extradata: bytes | None) -> Callable[[bytes], bool] | None:
    """A function saying of each packet, fed in order, whether it is an intra picture; None for codecs not known here.

    It raises ValueError where a packet's first bits do not tell.
    """
    if codec == "h264":
        return _H264(extradata or b"")
    if codec == "hevc":
        return _Hevc(extradata or b"")
    return {"vp8": _vp8_is_intra, "vp9": _vp9_is_intra}.get(codec)


class _H264:
    def __init__(self, extradata: bytes) -> None:
        in_lengths = extradata[:1] == b"\x01" and len(extradata) > 4
        self._length_bytes = (extradata[4] & 3) + 1 if in_lengths else 0

    def __call__(self, packet: bytes) -> bool:
        types = []
        for nal in _nals(packet, self._length_bytes):
            if nal[0] & 31 in _H264_SLICES:
                bits = _Bits(nal[1:])
                bits.ue()  # first_mb_in_slice
                types.append(bits.ue() in _H264_I_SLICES)
        return _all_or_none(types)


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
            bits = _Bits(nal[2:])
            pps_id, _sps_id, dependent_segments, _output_flag = bits.ue(), bits.ue(), bits.u(1), bits.u(1)
            self._slice_fields[pps_id] = (dependent_segments, bits.u(3))

    def _is_intra_slice(self, nal: bytes, kind: int) -> bool:
        if _HEVC_FIRST_IRAP <= kind <= _HEVC_LAST_IRAP:
            return True
        bits = _Bits(nal[2:])
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


def _hvcc_nals(extradata: bytes) -> Iterator[bytes]:
    """The beginnings of the NAL units of an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1.2)."""
    position = 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[position + 1 : position + 3], "big")
        position += 3
        for _ in range(count):
            length = int.from_bytes(extradata[position : position + 2], "big")
            yield extradata[position + 2 : position + 2 + min(length, _HEADER_BYTES)]
            position += 2 + length


def _nals(packet: bytes, length_bytes: int) -> Iterator[bytes]:
    """The beginnings of a packet's NAL units, divided by lengths, or by start codes where `length_bytes` is 0."""
    if length_bytes:
        position = 0
        while position + length_bytes < len(packet):
            length = int.from_bytes(packet[position : position + length_bytes], "big")
            position += length_bytes
            if length:
                yield packet[position : position + min(length, _HEADER_BYTES)]
            position += length
        return
    position = packet.find(b"\0\0\1")
    while position >= 0:
        if nal := packet[position + 3 : position + 3 + _HEADER_BYTES]:
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
