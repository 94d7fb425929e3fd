"""A metric whose convolutions and products run in 16 bits, which a GPU does in half the time, where the scores of a
trial picture stay what they are: tried when it is loaded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from dataset_pipeline.models.device import Device
from dataset_pipeline.models.exported_metric import probe

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3  # of a picture's score, which lies in about 0..1; TF32, which it is compared with, rounds as much
logger = logging.getLogger(__name__)


class HalfMetric:
    """As pyiqa's metric, whose answers are float32 [n] or [n, 1] for pictures [n, 3, height, width] in 0..1;
    a picture whose answer in 16 bits is not finite is asked again in 32."""

    def __init__(self, metric: Any, device: Device) -> None:
        self.metric, self.device = metric, device

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        import torch

        answers = self.in_16_bits(pictures)
        spilled = ~answers.isfinite().reshape(len(pictures), -1).all(1)
        if spilled.any():
            with torch.inference_mode():
                answers[spilled] = self.metric(pictures[spilled]).float()
        return answers

    def in_16_bits(self, pictures: torch.Tensor) -> torch.Tensor:
        """Answers of which some may be no finite number."""
        import torch

        with torch.inference_mode(), torch.autocast(self.device.kind, torch.float16):
            return self.metric(pictures).float()


def halved(metric: Any, device: Device) -> Any:
    """The metric in 16 bits; itself where the score of a trial picture, or of its mirror image, is then another."""
    import torch

    found = HalfMetric(metric, device)
    pictures = torch.from_numpy(probe())[None].to(str(device))
    pictures = torch.cat([pictures, pictures.flip(-1)])
    with torch.inference_mode():
        apart = float((metric(pictures).float() - found.in_16_bits(pictures)).abs().max())
    if apart <= TOLERANCE:  # false for what is no number
        return found
    logger.info("%s runs in 32 bits: in 16 its scores differ by up to %.2g", type(metric).__name__, apart)
    return metric
