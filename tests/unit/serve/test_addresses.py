"""Why nobody can be heard at an address, and what to do about it."""

from __future__ import annotations

import socket

import pytest

from trimtab.config import ServeConfig
from trimtab.errors import Unavailable
from trimtab.serve.supervisor import _listen, _reserved


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}") as wrong:
            _listen("127.0.0.1", port)
        with (
            pytest.raises(Unavailable) as of_grpc,
            _reserved(ServeConfig(host="127.0.0.1", grpc_port=port)),
        ):
            pass
    assert ["address_in_use"] * 2 == [wrong.value.code, of_grpc.value.code]
    assert ("--port" in wrong.value.hint, "grpc_port" in of_grpc.value.hint) == (True, True)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_another_s(host: str) -> None:
    with pytest.raises(Unavailable, match=host) as wrong:
        _listen(host, 0)
    with (
        pytest.raises(Unavailable, match=host) as of_grpc,
        _reserved(ServeConfig(host=host, grpc_port=0)),
    ):
        pass
    for error in (wrong.value, of_grpc.value):
        assert ("address_unusable", True) == (error.code, "--host" in error.hint)
