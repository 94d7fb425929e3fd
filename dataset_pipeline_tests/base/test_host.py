"""What this machine is called."""

import platform

from dataset_pipeline.base.host import HOST_VARIABLE, host_name


def test_a_machine_is_called_as_in_its_network_unless_it_is_told_otherwise(monkeypatch):
    monkeypatch.delenv(HOST_VARIABLE, raising=False)
    assert host_name() == platform.node()
    monkeypatch.setenv(HOST_VARIABLE, "gpu-2")
    assert host_name() == "gpu-2"
