"""What the web UI shows of a project's status."""

from dataclasses import replace

from dataset_pipeline.reports.status.asset import _metadata, markdown
from dataset_pipeline.reports.status.states import Status

ALONE = Status("store", (), {}, {}, {}, [])


def test_machines_are_named_where_there_are_several():
    lab = replace(ALONE, machines=("machines for gpu runs: east, north", "machines for head runs: desk"))
    shown = _metadata(lab, markdown(lab))
    assert shown["machines"] == "machines for gpu runs: east, north; machines for head runs: desk"
    assert "machines for head runs: desk." in shown["summary"].value
    assert "machines" not in _metadata(ALONE, markdown(ALONE))
