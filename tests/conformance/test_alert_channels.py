"""Every built-in alert channel keeps the laws, the webhook against real sockets."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trimtab.act.channels import file_channel, log_channel, webhook
from trimtab.config import ChannelConfig
from trimtab.testing import check_alert_channel

SECONDS = 0.5


@contextmanager
def receiver(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every post with one status; its address and what it got."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append(body.decode())
            self.send_response(status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/alerts", got
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/alerts"


def config(kind: str, url: str) -> ChannelConfig:
    return ChannelConfig(kind=kind, url=url, timeout_seconds=SECONDS)


@pytest.mark.anyio
async def test_webhook_keeps_the_laws() -> None:
    with (
        receiver(204) as (url, got),
        receiver(500) as (failing, _),
        receiver(302) as (moved, _),
        silent() as mute,
        socket.socket() as closed,
    ):
        closed.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        await check_alert_channel(
            webhook.create("hook", config("webhook", url)),
            lambda: got,
            broken=[
                webhook.create("hook", config("webhook", address))
                for address in (failing, moved, mute, refused)
            ],
            timeout_seconds=SECONDS,
        )


@pytest.mark.anyio
async def test_file_keeps_the_laws(tmp_path: Path) -> None:
    path = tmp_path / "new" / "alerts.jsonl"
    (tmp_path / "plain").write_text("")
    broken = file_channel.create("file", config("file", str(tmp_path / "plain" / "alerts.jsonl")))
    await check_alert_channel(
        file_channel.create("file", config("file", str(path))),
        lambda: path.read_text().splitlines() if path.exists() else [],
        broken=[broken],
        timeout_seconds=SECONDS,
    )


@pytest.mark.anyio
async def test_log_keeps_the_laws(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await check_alert_channel(
        log_channel.create("log", config("log", "")),
        lambda: [str(record.__dict__["key"]) for record in caplog.records],
        broken=[],
        timeout_seconds=SECONDS,
    )
