"""What the model resources of all roles have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar, TypeVar

import dagster as dg
from pydantic import Field

from dataset_pipeline.models import loading
from dataset_pipeline.models.registry import ModelEntry, ModelFingerprint, ModelPack, Role

Loaded = TypeVar("Loaded")


class ModelResource(dg.ConfigurableResource):
    """One role's model: nothing is loaded before the first picture, and nothing is ever fetched from the network.

    Only the weights (`fingerprint`) and a role's own measuring fields change results; cache, device, batch_size,
    keep_loaded and threads never do, beyond the rounding of the device.
    """

    role: ClassVar[Role]

    pack: str = Field("real", description="A [packs.*] table of models.toml.")
    cache: str = Field(
        "", description="The folder that holds hub/ with pulled weights; empty = the user's cache folder."
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    batch_size: int = Field(16, ge=1, description="Pictures per model run.")
    keep_loaded: int = Field(6, ge=1, description="Roles whose models stay in memory, in this process.")
    threads: int = Field(0, ge=0, description="Cores for one ONNX run on the CPU; 0 = all that the process may use.")

    def open_pack(self) -> ModelPack:
        """The pack this resource reads. Raises RegistryError."""
        return ModelPack.open(self.pack, self.cache, {self.role: self._chosen()})

    def fingerprint(self) -> ModelFingerprint:
        """Which weights answer. Raises WeightsMissing."""
        return self.open_pack().fingerprint(self.role)

    @abstractmethod
    def _chosen(self) -> str | Sequence[str]:
        """The user's choice by name; empty = the pack's."""

    def _loaded(self, key: tuple[Hashable, ...], load: Callable[[], Loaded]) -> Loaded:
        return loading.loaded((self.role, *key), load, self.keep_loaded)


class SingleModelResource(ModelResource):
    """A role that uses one model."""

    model: str = Field("", description="Another model of this role, by its name in models.toml; empty = the pack's.")

    def _chosen(self) -> str:
        return self.model

    def _entry(self) -> tuple[ModelPack, ModelEntry]:
        pack = self.open_pack()
        return pack, pack.models(self.role)[0]
