"""Containers by their first bytes, and whether a file ends before its container does. Reads headers only."""

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SNIFF_BYTES = 2048
VIDEO_ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("mkv", "mp4", "m4v", "avi", "webm", "ogm", "ogv", "flv", "f4v", "mov", "wmv", "asf", "ts", "m2ts", "mts"),
        *("mpg", "mpeg", "vob", "rm", "rmvb", "3gp", "divx", "y4m"),
    )
)
# ffmpeg knows these from anywhere inside; by ending, for files whose beginning is damaged.
FORMATS_BY_ENDING = {".ts": "mpegts", ".m2ts": "mpegts", ".mts": "mpegts",
                     ".mpg": "mpeg", ".mpeg": "mpeg", ".vob": "mpeg"}  # fmt: skip
_TS_SYNC = 0x47
_OTHERS = (
    (b"\x89PNG\r\n", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"), (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"), (b"II*\0", "a TIFF picture"), (b"MM\0*", "a TIFF picture"), (b"%PDF", "a PDF document"),
    (b"PK\3\4", "a ZIP archive"), (b"Rar!", "a RAR archive"), (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "gzip data"), (b"ID3", "MP3 sound"), (b"fLaC", "FLAC sound"), (b"\x7fELF", "a program"),
    (b"MZ", "a program"), (b"SQLite format 3", "a database"),
)  # fmt: skip
_ISO_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_MOOV_BYTES = 1 << 26  # of a day and more
_PICTURE_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"jpeg", b"crx "})
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_TRACKS, _TRACK, _VIDEO = 0x1654AE6B, 0xAE, 0xE0
_CLUSTER, _GROUP = 0x1F43B675, 0xA0
_BLOCKS = frozenset({0xA3, 0xA1})
# What a block may be followed by up to the next one: also what belongs to blocks and clusters, the index, and padding.
_AMONG_BLOCKS = _BLOCKS | {_CLUSTER, _GROUP, 0xE7, 0xA7, 0xAB, 0x9B, 0xFB, 0xFA, 0xA4, 0x75A1, 0x75A2, 0x5854, 0xEC,
                           0xBF, 0x1C53BB6B, 0x114D9B74, 0x1254C367}  # fmt: skip
_CHUNK_HEADER_BYTES, _CHUNK_LISTS = 8, (b"RIFF", b"LIST")
_AVI_CHUNK = re.compile(rb"\d\d(?:d[bc]|wb|tx|pc)|ix\d\d|idx1|JUNK")
_FLV_HEADER_BYTES, _FLV_TAGS = 11, (b"\x08", b"\x09", b"\x12")  # sound, video, data
_CROPS = (0x54CC, 0x54BB, 0x54DD, 0x54AA)  # left, top, right, bottom


def sniff_container(head: bytes) -> str | None:
    """Name of the container that these first bytes (`SNIFF_BYTES` of them) begin, or None.

    A container by its content may still hold no video: audio shares most of them.
    """
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[4:8] in _ISO_BOXES:
        return None if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS else "mp4"
    if head[:4] == b"RIFF":
        return "avi" if head[8:12] == b"AVI " else None
    for magic, name in (
        (b"OggS", "ogg"),
        (b"FLV\x01", "flv"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
        (b"\x00\x00\x01\xba", "mpeg-ps"),
        (b"\x00\x00\x01\xb3", "mpeg-video"),
        (b".RMF", "realmedia"),
        (b"\x06\x0e\x2b\x34", "mxf"),
        (b"YUV4MPEG2", "y4m"),
        (b"DKIF", "ivf"),
    ):
        if head.startswith(magic):
            return name
    return "mpeg-ts" if _ts_packets(head) else None


def what_else(path: Path) -> str:
    """What a file is whose first bytes are of no container, as the end of a sentence that begins with its name."""
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return f"it is {name}"
    if head[:4] == b"RIFF":
        return {b"WAVE": "it is WAVE sound", b"WEBP": "it is a WebP picture"}.get(head[8:12], "it is no AVI file")
    if not head.strip(b"\0"):
        return "it begins with nothing but zeros"
    with suppress(UnicodeDecodeError):
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # its last character may be cut in two
        if all(letter.isprintable() or letter.isspace() for letter in text):
            return "it is text"
    return "its first bytes are of no known container"


def _ts_packets(head: bytes) -> tuple[int, int] | None:
    """Where the sync byte of the first packet lies, and the bytes from packet to packet; None for what has none."""
    for start, packet_bytes in ((0, 188), (4, 192)):
        if len(head) > start + 4 * packet_bytes and all(head[start + n * packet_bytes] == _TS_SYNC for n in range(5)):
            return start, packet_bytes
    return None


def missing_end(path: Path) -> str | None:
    """A sentence saying how much of the file is missing, if its container promises more bytes than there are.

    Knows MP4/MOV boxes, the Matroska/WebM segment, AVI's RIFF chunks and the packets of transport streams; None for
    others and for whole files.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
        container = sniff_container(head)
        if container == "mpeg-ts":
            return _half_packet(file, size, *(_ts_packets(head) or (0, 188)))
        ends = {"mp4": _box_ends, "matroska": _segment_ends, "avi": _riff_ends}.get(container or "")
        end = max(ends(file, size), default=0) if ends else 0
    return f"the file is cut off: it ends at byte {size} of {end}" if end > size else None


def _half_packet(file: BinaryIO, size: int, sync_at: int, packet_bytes: int) -> str | None:
    left = size % packet_bytes
    file.seek(size - left + sync_at)
    if left <= sync_at or file.read(1) != bytes([_TS_SYNC]):  # otherwise it is padding, or the packets lost their step
        return None
    return f"the file is cut off: its last packet has {left} bytes of {packet_bytes}"


def _box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:16], "big")
        # A length of 0 means up to the end of the file; what is not a box is padding behind the last one.
        if length < 8 or not (kind.isascii() and kind.isalnum()):
            return
        position += length
        yield position


def _segment_ends(file: BinaryIO, size: int) -> Iterator[int]:
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(12)
        element, id_bytes = _vint(header, keep_marker=True)
        length, length_bytes = _vint(header[id_bytes:], keep_marker=False)
        if element not in (_EBML, _SEGMENT) or length_bytes == 0 or length == (1 << 7 * length_bytes) - 1:
            return  # an all-ones length is a live recording's: unknown
        position += id_bytes + length_bytes + length
        yield position


def _vint(data: bytes, keep_marker: bool) -> tuple[int, int]:
    """Value and byte count of an EBML variable-length integer; (0, 0) where there is none."""
    length = 9 - data[0].bit_length() if data and data[0] else 0
    if length == 0 or len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length], "big")
    return (value if keep_marker else value & ((1 << 7 * length) - 1)), length


def _riff_ends(file: BinaryIO, size: int) -> Iterator[int]:
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(8)
        if header[:4] != b"RIFF":
            return
        length = int.from_bytes(header[4:8], "little")
        position += 8 + length + length % 2
        yield position - length % 2


def is_encrypted(path: Path) -> bool:
    """Whether an MP4 file says that a video stream of it is encrypted (ISO/IEC 23001-7)."""
    start, size = 0, path.stat().st_size
    with path.open("rb") as file:
        for end in _box_ends(file, size):
            file.seek(start)
            box = file.read(8)
            if box[4:] == b"moov":
                content = file.read(min(end - start, _MOOV_BYTES))
                return b"encv" in content and b"sinf" in content
            start = end
    return False


def may_be_joined(path: Path) -> bool:
    """Whether a Matroska file may be several, one behind the other, each with a time line of its own: it has more than
    one segment, or one of unknown length."""
    size, segments, position = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            header = file.read(12)
            element, id_bytes = _vint(header, keep_marker=True)
            length, length_bytes = _vint(header[id_bytes:], keep_marker=False)
            if element not in (_EBML, _SEGMENT) or not length_bytes:
                return False
            segments += element == _SEGMENT
            if segments > 1 or length == (1 << 7 * length_bytes) - 1:
                return True
            position += id_bytes + length_bytes + length
    return False


def is_unbroken(path: Path, one: int, other: int) -> bool:
    """Whether a Matroska, FLV or AVI file goes on in whole parts from the packet at byte `one` to that at byte `other`,
    so that nothing in between is missing or overwritten. Of other containers it is never known.

    Bytes are those that ffmpeg calls the positions of packets: of blocks and AVI's chunks where their content begins,
    of FLV's tags where they begin themselves.
    """
    with path.open("rb") as file:
        container = sniff_container(file.read(SNIFF_BYTES))
        reads_on = {"matroska": _blocks_go_on, "flv": _tags_go_on, "avi": _chunks_go_on}.get(container or "")
        return reads_on is not None and one < other and reads_on(file, one, other)


def _blocks_go_on(file: BinaryIO, one: int, other: int) -> bool:
    position = one + _block_bytes(file, one)
    while one < position < other:
        file.seek(position)
        header = file.read(12)
        element, id_bytes = _vint(header, keep_marker=True)
        length, length_bytes = _vint(header[id_bytes:], keep_marker=False)
        if not length_bytes or element not in _AMONG_BLOCKS:
            return False
        position += id_bytes + length_bytes
        if position == other:
            return element in _BLOCKS
        position += 0 if element in (_CLUSTER, _GROUP) else length  # blocks lie in these
    return False


def _tags_go_on(file: BinaryIO, one: int, other: int) -> bool:
    position = one
    while position < other:
        file.seek(position)
        header = file.read(_FLV_HEADER_BYTES)
        whole = _FLV_HEADER_BYTES + int.from_bytes(header[1:4], "big")
        file.seek(position + whole)
        if header[:1] not in _FLV_TAGS or int.from_bytes(file.read(4), "big") != whole:
            return False  # each is followed by its length
        position += whole + 4
    return position == other


def _chunks_go_on(file: BinaryIO, one: int, other: int) -> bool:
    position, last = one - _CHUNK_HEADER_BYTES, other - _CHUNK_HEADER_BYTES
    while position < last:
        file.seek(position)
        header = file.read(_CHUNK_HEADER_BYTES)
        if header[:4] in _CHUNK_LISTS:
            position += _CHUNK_HEADER_BYTES + 4  # chunks lie in these
            continue
        if not _AVI_CHUNK.fullmatch(header[:4]):
            return False
        length = int.from_bytes(header[4:8], "little")
        position += _CHUNK_HEADER_BYTES + length + length % 2
    return position == last


def _block_bytes(file: BinaryIO, content_at: int) -> int:
    """Length of the block with its content there, as its header says; 0 where there is none."""
    file.seek(max(0, content_at - 9))
    header = file.read(content_at - file.tell())
    for length_bytes in range(1, len(header)):
        length, read_bytes = _vint(header[-length_bytes:], keep_marker=False)
        if read_bytes == length_bytes and header[-length_bytes - 1] in _BLOCKS:
            return length
    return 0


@dataclass(frozen=True)
class Crop:
    """What a container crops off its coded pictures, in pixels."""

    left_px: int = 0
    top_px: int = 0
    right_px: int = 0
    bottom_px: int = 0


def crops_of(path: Path) -> list[Crop]:
    """Of each video track of a Matroska or WebM file, in order; nothing for other files."""
    with path.open("rb") as file:
        if sniff_container(file.read(SNIFF_BYTES)) != "matroska":
            return []
        tracks = next(_children(file, 0, path.stat().st_size, (_SEGMENT, _TRACKS)), (0, 0))
        return [
            Crop(*(_number(file, video, side) for side in _CROPS))
            for track in _elements(file, *tracks, _TRACK)
            for video in _elements(file, *track, _VIDEO)
        ]


def _children(file: BinaryIO, start: int, end: int, path: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Where the contents of the elements lie that this path of identities leads to."""
    for inside in _elements(file, start, end, path[0]):
        if len(path) > 1:
            yield from _children(file, *inside, path[1:])
        else:
            yield inside


def _elements(file: BinaryIO, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Start and end of the content of each element of that identity between these bytes."""
    while start < end:
        file.seek(start)
        header = file.read(12)
        element, id_bytes = _vint(header, keep_marker=True)
        length, length_bytes = _vint(header[id_bytes:], keep_marker=False)
        if not id_bytes or not length_bytes:
            return
        start += id_bytes + length_bytes
        stop = end if length == (1 << 7 * length_bytes) - 1 else start + length  # all ones: to the end
        if element == wanted:
            yield start, min(stop, end)
        start = stop


def _number(file: BinaryIO, inside: tuple[int, int], wanted: int) -> int:
    for start, end in _elements(file, *inside, wanted):
        file.seek(start)
        return int.from_bytes(file.read(min(8, end - start)), "big")
    return 0
