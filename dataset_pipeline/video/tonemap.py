"""High dynamic range and wide gamuts to sRGB.

PQ and HLG pictures become display light (PQ as it says, HLG on a 1000 cd/m2 display), are tone-mapped by the EETF of
ITU-R BT.2390 so that 203 cd/m2, the reference white of ITU-R BT.2408, is the brightest that is left, turned to BT.709
primaries and encoded as sRGB. The EETF acts on the brightest of R, G, B and scales all three, which keeps hues; what
lies outside BT.709 loses saturation at its own luminance and, where still too bright, is darkened; what lies inside is
not touched.
"""

from functools import cache
from typing import Literal

import cv2
import numpy as np

Transfer = Literal["sdr", "pq", "hlg"]
Values = np.ndarray | float

REFERENCE_WHITE_NITS = 203.0
HLG_PEAK_NITS = 1000.0
DEEP_FORMAT = "gbrp14le"
DEEP_WHITE = 255 << 6  # swscale's white: that of 8 bits, shifted
_DEEP_CODES = 1 << 14

_SDR_GAMMA = 2.4  # ITU-R BT.1886
_BT709_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
_TINY = np.float32(1e-6)
_ROWS_AT_ONCE = 64  # intermediate rows stay in the cache
_STEPS = 4096  # of tables over light: with a root as index finer than 8 bits anywhere

# Chromaticities (ITU-T H.273, table 2): red, green, blue, white.
_D65 = (0.3127, 0.3290)
_CHROMATICITIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    "smpte431": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
WIDE_PRIMARIES = frozenset(_CHROMATICITIES) - {"bt709"}


def to_srgb(codes: np.ndarray, transfer: Transfer, primaries: str, peak_nits: float) -> np.ndarray:
    """RGB uint8 HxWx3 of full-range R'G'B' `codes`, uint16 HxWx3 with white at `DEEP_WHITE`.

    `primaries`: one of `WIDE_PRIMARIES`; others are taken for BT.709's. `peak_nits`: the brightest light of a PQ
    picture. Standard dynamic range keeps its transfer curve, so that its greys stay what they are.
    """
    stills = np.empty(codes.shape, np.uint8)
    for top in range(0, len(codes), _ROWS_AT_ONCE):
        rows = np.stack(cv2.split(codes[top : top + _ROWS_AT_ONCE]))
        if transfer == "sdr":
            light = _looked_up(_light(transfer), rows)
        else:
            light = _tone_mapped(rows, transfer, max(REFERENCE_WHITE_NITS, peak_nits))
        if primaries in WIDE_PRIMARIES:
            light = _into_gamut(np.tensordot(_to_bt709(primaries), light, 1))
        cv2.merge([*_looked_up(_code_of_light(transfer), _root_index(light))], stills[top : top + _ROWS_AT_ONCE])
    return stills


def pq_nits(signal: Values) -> np.ndarray:
    """Light in cd/m2 of PQ signals 0..1 (ITU-R BT.2100, table 4)."""
    power = np.clip(np.asarray(signal, float), 0, 1) ** (1 / _M2)
    return 10000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def pq_signal(nits: Values) -> np.ndarray:
    """PQ signals 0..1 of light in cd/m2 (ITU-R BT.2100, table 4)."""
    power = (np.clip(np.asarray(nits, float), 0, 10000) / 10000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def eetf_nits(nits: np.ndarray, peak_nits: float, target_nits: float = REFERENCE_WHITE_NITS) -> np.ndarray:
    """Light of a picture with that peak on a display with that target peak, both blacks 0 (ITU-R BT.2390-11, 5.4.1)."""
    if peak_nits <= target_nits:
        return np.minimum(nits, target_nits)
    source_peak = pq_signal(peak_nits)
    highest = pq_signal(target_nits) / source_peak
    knee = 1.5 * highest - 0.5
    signal = np.minimum(pq_signal(nits) / source_peak, 1)
    t = (signal - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * highest
    return pq_nits(np.where(signal < knee, signal, spline) * source_peak)


def hlg_scene_light(signal: np.ndarray) -> np.ndarray:
    """Scene light 0..1 of HLG signals 0..1 (ITU-R BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.clip(signal, 0, 1)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _tone_mapped(codes: np.ndarray, transfer: Transfer, peak_nits: float) -> np.ndarray:
    """Light, 1 = reference white, of PQ or HLG codes, both [3, rows, columns]."""
    light = _looked_up(_light(transfer), codes)
    if transfer == "pq":
        return light * _looked_up(_pq_gain(peak_nits), codes.max(axis=0))
    # The OOTF of an HLG display scales all three by a power of the scene's luminance (ITU-R BT.2100, table 5).
    shown = np.tensordot(_BT2020_LUMA, light, 1) ** np.float32(0.2)
    return light * (shown * _looked_up(_hlg_gain(), _root_index(shown * light.max(axis=0))))


def _looked_up(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take(table, index, mode="clip")  # many times faster than indexing


@cache
def _light(transfer: Transfer) -> np.ndarray:
    """Of each code: light by BT.1886 (sdr) or PQ, both 1 = reference white, or scene light (hlg)."""
    signal = np.arange(_DEEP_CODES) / DEEP_WHITE
    if transfer == "sdr":
        return (signal**_SDR_GAMMA).astype(np.float32)
    light = pq_nits(signal) / REFERENCE_WHITE_NITS if transfer == "pq" else hlg_scene_light(signal)
    return light.astype(np.float32)


@cache
def _pq_gain(peak_nits: float) -> np.ndarray:
    """What the EETF multiplies light with, by the brightest code."""
    nits = np.maximum(pq_nits(np.arange(_DEEP_CODES) / DEEP_WHITE), 1e-6)
    return (eetf_nits(nits, peak_nits) / nits).astype(np.float32)


@cache
def _hlg_gain() -> np.ndarray:
    """What the EETF multiplies light with, in units of the peak, by the `_root_index` of the brightest."""
    nits = np.maximum((np.arange(_STEPS) / (_STEPS - 1)) ** 4, 1e-9) * HLG_PEAK_NITS
    return (eetf_nits(nits, HLG_PEAK_NITS) / nits * HLG_PEAK_NITS / REFERENCE_WHITE_NITS).astype(np.float32)


@cache
def _code_of_light(transfer: Transfer) -> np.ndarray:
    """8-bit code by the `_root_index` of light: BT.1886 for standard range, sRGB for what was tone-mapped."""
    light = (np.arange(_STEPS) / (_STEPS - 1)) ** 4
    if transfer == "sdr":
        signal = light ** (1 / _SDR_GAMMA)
    else:
        signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    return np.rint(signal * 255).astype(np.uint8)


def _root_index(light: np.ndarray) -> np.ndarray:
    """Fourth root of light 0..1 in `_STEPS` steps: as even to the eye as the codes it becomes."""
    root = np.sqrt(np.sqrt(np.clip(light, 0, 1)))
    return (root * np.float32(_STEPS - 1) + np.float32(0.5)).astype(np.uint16)


def _into_gamut(light: np.ndarray) -> np.ndarray:
    """Colours with a part below 0 drawn towards grey of their luminance until it is 0, then those above 1 darkened."""
    low = np.minimum(light.min(axis=0), 0)
    grey = np.maximum(np.tensordot(_BT709_LUMA, light, 1), _TINY)
    light = grey + grey / (grey - low) * (light - grey)
    return light / np.maximum(light.max(axis=0), 1)


@cache
def _to_bt709(primaries: str) -> np.ndarray:
    """3x3 float32 from linear RGB of those primaries to BT.709's, white to white (von Kries in XYZ for DCI's)."""
    to_xyz, white = _rgb_to_xyz(primaries)
    from_709, white_709 = _rgb_to_xyz("bt709")
    return (np.linalg.inv(from_709) @ np.diag(white_709 / white) @ to_xyz).astype(np.float32)


def _rgb_to_xyz(primaries: str) -> tuple[np.ndarray, np.ndarray]:
    red, green, blue, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in _CHROMATICITIES[primaries])
    columns = np.stack([red, green, blue], axis=1)
    return columns * np.linalg.solve(columns, white), white
