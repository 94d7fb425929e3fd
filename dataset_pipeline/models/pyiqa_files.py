"""Metrics of pyiqa from the files of a pack: pyiqa builds and fills a network as it does by default, and whatever it
would download is taken from those files, or refused by name.

Backbones that pyiqa first fills with the weights of others are left without a number: what its own file does not
replace is found out.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from dataset_pipeline.models.registry import ModelEntry, RegistryError

# embed_dim, image_resolution, vision_layers, vision_width, vision_patch_size, context_length, vocab_size,
# transformer_width, transformer_heads, transformer_layers of OpenAI's CLIP networks
_CLIP = {
    "RN50": (1024, 224, (3, 4, 6, 3), 64, None, 77, 49408, 512, 8, 12),
    "ViT-B/32": (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12),
}


class _NoWeights(dict):
    """Stands for the weights of a backbone that are not to be downloaded."""


def metric_of(entry: ModelEntry, files: Mapping[str, Path], device: str) -> Any:
    """pyiqa's own model of the entry's metric, with nothing but these files, by the names that pyiqa knows them by.

    Raises RegistryError for one that is asked for and not there, RuntimeError for one that does not fit the network."""
    import pyiqa
    import torch

    with _nothing_downloaded(entry, files):
        model = pyiqa.create_metric(entry.metric, device=torch.device(device))
    if _unfilled(model.net):
        raise RegistryError(
            f"the files of {entry.name!r} in models.toml do not fill all of pyiqa's {entry.metric!r}: name the file of "
            "its backbone too"
        )
    return model


@contextlib.contextmanager
def _nothing_downloaded(entry: ModelEntry, files: Mapping[str, Path]) -> Iterator[None]:
    import timm.models._builder as timm_builder
    import torch
    from torchvision.models import WeightsEnum

    def file_of(url: str, *_: Any, **__: Any) -> str:
        name = PurePosixPath(unquote(urlparse(url).path)).name
        if name not in files:
            raise RegistryError(
                f"pyiqa's {entry.metric!r} takes {name}, which [models.{entry.name}] of models.toml does not name "
                f"among its files; there are: {', '.join(files) or 'none'}"
            )
        return str(files[name])

    def state_of(url: str, *_: Any, map_location: Any = "cpu", **__: Any) -> Any:
        return torch.load(file_of(url), map_location=map_location, weights_only=False)

    fill = torch.nn.Module.load_state_dict

    def fill_whole(module: Any, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        if isinstance(state, _NoWeights):
            return _empty(module)
        outcome = fill(module, state, strict, assign)
        learned = {name for name, _ in module.named_parameters()}
        if missing := sorted(learned.intersection(outcome.missing_keys)):  # some metrics go on with random ones
            raise RuntimeError(f"Missing key(s) in the weights of {entry.name!r}: {', '.join(missing)}")
        return outcome

    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as own_cache:
        stack.enter_context(_replaced(torch.nn.Module, "load_state_dict", fill_whole))
        stack.enter_context(_replaced(torch.hub, "load_state_dict_from_url", state_of))
        stack.enter_context(_replaced(WeightsEnum, "get_state_dict", lambda *_, **__: _NoWeights()))
        stack.enter_context(_replaced(timm_builder, "load_pretrained", lambda model, *_, **__: _empty(model)))
        taken = {
            "load_file_from_url": file_of,
            "load": _clip_from(files),
            "DEFAULT_CACHE_DIR": own_cache,  # LIQE keeps the answers of one file there for any other
        }
        for module, name in _as_imported(entry.metric):
            stack.enter_context(_replaced(module, name, taken[name]))
        yield


def _as_imported(metric: str) -> list[tuple[Any, str]]:
    """Where modules of pyiqa hold, under their own names, what they download with; that of the metric is imported
    first, as pyiqa does when it is asked for, lest it keeps what stands for them now."""
    from pyiqa.archs import _lazy_import_arch
    from pyiqa.archs.clip_model import load
    from pyiqa.default_model_configs import DEFAULT_CONFIGS
    from pyiqa.utils.download_util import DEFAULT_CACHE_DIR, load_file_from_url

    _lazy_import_arch(DEFAULT_CONFIGS[metric]["metric_opts"]["type"])
    found = {"load": load, "load_file_from_url": load_file_from_url, "DEFAULT_CACHE_DIR": DEFAULT_CACHE_DIR}
    modules = [module for name, module in sys.modules.items() if name.startswith("pyiqa.")]
    return [(it, name) for it in modules for name, value in found.items() if vars(it).get(name) is value]


def _clip_from(files: Mapping[str, Path]) -> Any:
    """What stands for pyiqa's loading of OpenAI's CLIP by name."""
    from pyiqa.archs.clip_model import CLIP, load

    def load_clip(name: str, device: Any = "cpu", *arguments: Any, **options: Any) -> Any:
        archive = f"{name.replace('/', '-')}.pt"
        if archive in files:
            return load(str(files[archive]), device, *arguments, **options)
        network = CLIP(*_CLIP[name]).eval()
        _empty(network)
        return network

    return load_clip


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _empty(network: Any) -> None:
    """Not a number in all that a file of weights would fill."""
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))


def _unfilled(net: Any) -> bool:
    """Whether anything in a network, or in one that it keeps in a list, is no number."""
    import torch

    kept = [
        it for module in net.modules() for value in vars(module).values() if isinstance(value, list) for it in value
    ]
    networks = [net, *(it for it in kept if isinstance(it, torch.nn.Module))]
    tensors = (tensor for network in networks for tensor in network.state_dict().values())
    return any(tensor.is_floating_point() and bool(tensor.isnan().any()) for tensor in tensors)
