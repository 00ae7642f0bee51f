"""What the built-in channels send, and what they refuse to be made of."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from trimtab.act.alerts import alert_id
from trimtab.act.channels import file_channel, log_channel, webhook
from trimtab.config import ChannelConfig
from trimtab.errors import InvalidConfig, Unavailable
from trimtab.types import Alert, Scalar, Severity

ALERT = Alert(
    key="flights_late/1/data_drift",
    severity=Severity.PAGE,
    title="flights_late: data drift since 2013-05-02",
    body="- dep_hour: later",
    model="flights_late",
    version=1,
    event_time=100.0,
    runbook="data_drift",
)
FIELDS = {
    "id": alert_id(ALERT),
    "key": "flights_late/1/data_drift",
    "severity": "page",
    "title": "flights_late: data drift since 2013-05-02",
    "body": "- dep_hour: later",
    "model": "flights_late",
    "version": 1,
    "event_time": 100.0,
    "runbook": "data_drift",
    "change": None,
}


async def posted(key: bytes, answer: bytes) -> tuple[dict[str, str], bytes, str]:
    """One webhook against a real socket: headers and body as they arrived, and the error."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        heard.extend((head, await reader.readexactly(length)))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/T0KEN"
        try:
            await webhook.Webhook("hook", url, 5.0, key).send(ALERT)
            error = ""
        except Unavailable as failure:
            error = failure.message
    lines = heard[0].decode().lower().split("\r\n")[1:]
    headers = dict(line.split(": ", 1) for line in lines if line)
    return headers, heard[1], error


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.anyio
async def test_a_webhook_posts_the_alert_with_its_id() -> None:
    headers, body, error = await posted(b"", OK)
    assert json.loads(body) == FIELDS
    assert headers["x-trimtab-alert-id"] == alert_id(ALERT)
    assert headers["content-type"] == "application/json"
    assert "x-trimtab-signature" not in headers
    assert error == ""


@pytest.mark.anyio
async def test_a_webhook_signs_what_it_posts() -> None:
    headers, body, _ = await posted(b"secret", OK)
    assert headers["x-trimtab-signature"] == f"sha256={webhook.signature(b'secret', body)}"


def test_the_signature_is_hmac_sha256() -> None:
    # RFC 4231, test case 2.
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert webhook.signature(b"Jefe", b"what do ya want for nothing?") == expected


@pytest.mark.anyio
async def test_a_webhooks_failure_does_not_tell_its_address() -> None:
    _, _, error = await posted(b"", b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
    assert error == "The webhook 'hook' answered 403."


@pytest.mark.parametrize(
    "url", ["", "ftp://example.org", "example.org/hook", "http://", "http://example.org:port"]
)
def test_a_webhook_needs_an_address(url: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        webhook.create("hook", ChannelConfig(kind="webhook", url=url))
    assert caught.value.path == "alerts.channels.hook.url"


def test_a_webhooks_secret_is_read_from_its_reference(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    options: dict[str, Scalar] = {"secret": f"file:{tmp_path / 'secret'}"}
    made = webhook.create(
        "hook", ChannelConfig(kind="webhook", url="https://example.org", options=options)
    )
    assert made._key == b"s3cret"


def test_a_webhooks_secret_must_not_stand_in_the_configuration() -> None:
    options: dict[str, Scalar] = {"secret": "s3cret"}
    with pytest.raises(InvalidConfig, match="must not stand"):
        webhook.create(
            "hook", ChannelConfig(kind="webhook", url="https://example.org", options=options)
        )


@pytest.mark.anyio
async def test_a_file_has_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"before": 1}\n')
    await file_channel.create("file", ChannelConfig(kind="file", url=str(path))).send(ALERT)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"before": 1}, FIELDS]


def test_a_file_channel_needs_a_path_to_a_file(tmp_path: Path) -> None:
    for url in ("", str(tmp_path)):
        with pytest.raises(InvalidConfig) as caught:
            file_channel.create("file", ChannelConfig(kind="file", url=url))
        assert caught.value.path == "alerts.channels.file.url"


@pytest.mark.anyio
async def test_a_page_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    await log_channel.create("log", ChannelConfig(kind="log")).send(ALERT)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, ALERT.title)
