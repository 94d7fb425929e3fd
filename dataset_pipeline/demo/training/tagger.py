"""The tagger of the pack: its vocabulary, what is true of a picture, and the export in the WD14 contract."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dataset_pipeline.demo.training.export import to_onnx
from dataset_pipeline.demo.training.people import CROP_SIZE, PeopleNet
from dataset_pipeline.demo.training.vocabulary import RATINGS, TAGS

INPUT_SIZE = 2 * CROP_SIZE


class ExportedTagger(nn.Module):
    """NHWC BGR 0..255 [b, 256, 256, 3] -> tag probabilities [b, tags] and features [b, 192]."""

    def __init__(self, net: PeopleNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rgb = images.permute(0, 3, 1, 2).flip(1) / 255
        logits, features, _ = self.net(F.avg_pool2d(rgb, 2))
        return logits.sigmoid(), features


def tagger_onnx(net: PeopleNet) -> bytes:
    """``model.onnx`` of the tagger."""
    example = torch.rand(2, INPUT_SIZE, INPUT_SIZE, 3) * 255
    return to_onnx(ExportedTagger(net), example, inputs=["input"], outputs=["prediction", "embedding"])


def selected_tags_csv() -> bytes:
    """``selected_tags.csv``: ratings in category 9, everything else in category 0."""
    rows = [f"{i},{tag},{9 if tag in RATINGS else 0},1" for i, tag in enumerate(TAGS)]
    return ("\n".join(["tag_id,name,category,count", *rows]) + "\n").encode()
