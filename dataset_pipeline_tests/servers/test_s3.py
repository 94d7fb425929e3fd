"""What tests rely on of the S3 server that they start."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_pipeline_tests.servers.s3 import s3_server

pytestmark = pytest.mark.thorough


def test_a_server_that_is_killed_starts_again_with_its_data_and_keeps_to_conditions(tmp_path: Path) -> None:
    S3Store = pytest.importorskip("obstore.store").S3Store  # noqa: N806
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    with s3_server(tmp_path / "s3") as server:
        names = {key.removeprefix("AWS_").lower(): value for key, value in server.environment.items()}
        endpoint = names.pop("endpoint_url")
        client = S3Store.from_url(server.root("x"), endpoint=endpoint, client_options={"allow_http": True}, **names)
        first = client.put("a~b@c=d.txt", b"first", mode="create")
        with pytest.raises(AlreadyExistsError):
            client.put("a~b@c=d.txt", b"other", mode="create")
        server.kill()
        server.start()
        assert bytes(client.get("a~b@c=d.txt").bytes()) == b"first"
        client.put("a~b@c=d.txt", b"second", mode={"e_tag": first["e_tag"]})
        with pytest.raises(PreconditionError):
            client.put("a~b@c=d.txt", b"third", mode={"e_tag": first["e_tag"]})
