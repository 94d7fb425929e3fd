"""What happens to pictures on their way to a screen: blur, darkness, noise, rescaling, compression.

Every function takes and gives uint8 RGB [h, w, 3] and draws its chances from the generator it is handed.
"""

from __future__ import annotations

import cv2
import numpy as np

from dataset_pipeline.demo.scenes import grade


def blurred(image: np.ndarray, sigma_px: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma_px) if sigma_px > 0.05 else image


def motion_blurred(image: np.ndarray, length_px: int, angle_deg: float) -> np.ndarray:
    """Smear along a line of `length_px` pixels."""
    if length_px < 2:
        return image
    kernel = np.zeros((length_px, length_px), np.float32)
    kernel[length_px // 2] = 1
    centre = ((length_px - 1) / 2, (length_px - 1) / 2)
    kernel = cv2.warpAffine(kernel, cv2.getRotationMatrix2D(centre, angle_deg, 1), (length_px, length_px))
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


def relit(image: np.ndarray, gain: float, gamma: float, tint: tuple[float, float, float]) -> np.ndarray:
    """Multiply by `gain` and by a colour `tint`, then raise to `gamma`."""
    light = np.clip(image.astype(np.float32) / 255 * gain * np.array(tint, np.float32), 0, 1) ** gamma
    return (light * 255 + 0.5).astype(np.uint8)


def noisy(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of `sigma` grey levels."""
    noise = rng.standard_normal(image.shape, np.float32) * sigma
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG with halved colour planes and back."""
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """Scaled down by `factor` < 1."""
    height, width = image.shape[:2]
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def rescaled(image: np.ndarray, factor: float) -> np.ndarray:
    """Down by `factor` < 1 and up again."""
    height, width = image.shape[:2]
    return cv2.resize(resized(image, factor), (width, height), interpolation=cv2.INTER_LINEAR)


def darkness(rng: np.random.Generator) -> float:
    """How dark a night is, for `dataset_pipeline.demo.scenes.grade`."""
    return float(rng.uniform(0.3, 0.8))


def as_broadcast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One picture as an episode might hold it: usually clean but for compression, sometimes dark, soft or coarse."""
    height = image.shape[0]
    if rng.random() < 0.25:
        image = grade(image, darkness(rng))
    elif rng.random() < 0.3:
        image = relit(image, rng.uniform(0.8, 1.2), rng.uniform(0.85, 1.15), tuple(rng.uniform(0.88, 1.1, 3)))
    chance = rng.random()
    if chance < 0.15:
        image = blurred(image, rng.uniform(0.3, 1.3) * height / 180)
    elif chance < 0.25:
        image = motion_blurred(image, int(rng.uniform(2, 9) * height / 360) + 1, rng.uniform(0, 180))
    elif chance < 0.35:
        image = rescaled(image, rng.uniform(0.35, 0.8))
    if rng.random() < 0.15:
        image = noisy(image, rng.uniform(2, 10), rng)
    if rng.random() < 0.8:
        image = compressed(image, int(rng.uniform(25, 95)))
    return image
