"""What stores in one file of this machine share: where it is, reads that let others run, how a fault is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from trimtab.config import StoreConfig
from trimtab.errors import Unavailable
from trimtab.types import StoredRow

ReadNow = Callable[[str, Sequence[str]], Mapping[str, StoredRow]]


def file_of(config: StoreConfig, state_dir: Path, name: str) -> Path:
    """The file at ``url``, or the one of that name in the state directory."""
    return Path(config.url) if config.url else state_dir / name


async def read_in_pieces(
    read_now: ReadNow, view: str, entities: Sequence[str], most: int
) -> dict[str, StoredRow]:
    """The rows of those entities that exist, in order; lets others run between ``most`` of them and the next."""
    found = dict(read_now(view, entities[:most]))
    for start in range(most, len(entities), most):
        await asyncio.sleep(0)
        found |= read_now(view, entities[start : start + most])
    return found


@contextmanager
def explained(path: Path, kind: str, fault: type[Exception]) -> Iterator[None]:
    """Tell of the file's own faults and the system's as :class:`~trimtab.errors.Unavailable`.

    Args:
        path: The file.
        kind: What it should be, with its article.
        fault: What its library raises.
    """
    try:
        yield
    except (fault, OSError) as wrong:
        raise Unavailable(
            f"The feature store {str(path)!r} does not work: {wrong}.",
            code="store_unavailable",
            hint=f"Is it {kind} file that this process may write, on a disk with space left?",
        ) from wrong
