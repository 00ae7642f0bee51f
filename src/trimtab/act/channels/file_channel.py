"""Alerts appended to a file, one JSON object a line."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from trimtab.act.alerts import alert_id
from trimtab.config import ChannelConfig
from trimtab.errors import InvalidConfig, Unavailable
from trimtab.types import Alert


class FileChannel:
    """Appends to a file; on the disk when ``send`` returns."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path

    async def send(self, alert: Alert) -> None:
        """Append one line.

        Raises:
            Unavailable: the file cannot be written.
        """
        line = msgspec.json.encode({"id": alert_id(alert), **msgspec.structs.asdict(alert)}) + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(
                f"The alert file {str(self._path)!r} cannot be written: {error.strerror}.",
                code="channel_unavailable",
            ) from error


def create(name: str, config: ChannelConfig) -> FileChannel:
    """A channel whose ``url`` is the file's path.

    Raises:
        InvalidConfig: no path, or what stands there is no regular file.
    """
    path = Path(config.url)
    if not config.url or (path.exists() and not path.is_file()):
        raise InvalidConfig(
            f"The alert channel {name!r} needs the path of a file, not {config.url!r}.",
            path=f"alerts.channels.{name}.url",
            hint='For example url = "/var/log/trimtab/alerts.jsonl".',
        )
    return FileChannel(name, path)
