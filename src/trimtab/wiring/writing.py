"""Writing features in a deployment: materialisation and streams, joined with its state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trimtab import plugins
from trimtab.errors import InvalidConfig
from trimtab.features.history import history_of
from trimtab.features.materialise import Ledger, materialise
from trimtab.features.streams import Intake, StreamOptions
from trimtab.features.writing import RowReader, Tally, Written, writable
from trimtab.types import SourceProgress
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import open_store
from trimtab.wiring.views import served_features, versions_of

STREAMS = {
    "redis": "trimtab.features.streams.redis:RedisStream",
    "rediss": "trimtab.features.streams.redis:RedisStream",
    "unix": "trimtab.features.streams.redis:RedisStream",
    "kafka": "trimtab.features.streams.kafka:KafkaStream",
}
"""What reads a stream, by the scheme of its URL."""


async def materialise_view(
    deployment: Deployment,
    view: str,
    *,
    again: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005 - nobody looks
) -> Written:
    """Write what is new in a view's history to its realtime store.

    Args:
        deployment: Where progress is kept.
        view: The view's name.
        again: Read all of the history, also what earlier runs read.
        progress: Called with rows done and rows in all.

    Raises:
        InvalidConfig: the view has no history or no realtime store.
        Unavailable: a file or the store cannot be used.
    """
    config = served_features(deployment)
    found = config.views[view]
    target = writable(found, view)
    job = f"{view}/{target}/{versions_of(deployment, [view])[view]}"
    if again:
        with deployment.state.transaction() as state:
            state.features.forget_progress(job)

    def load() -> dict[str, SourceProgress]:
        with deployment.state.reading() as state:
            return dict(state.features.progress(job))

    def save(reached: SourceProgress) -> None:
        with deployment.state.transaction() as state:
            state.features.save_progress(job, reached)

    store = open_store(deployment, target)
    try:
        return await materialise(
            history_of(config, view, deployment.dir),
            found,
            store,
            Ledger(load, save),
            deployment.clock,
            progress,
        )
    finally:
        await store.close()


async def consume_stream(
    deployment: Deployment,
    view: str,
    asked: StreamOptions,
    stop: asyncio.Event,
    *,
    until_empty: bool,
    told: Callable[[str], None] = lambda refusal: None,  # noqa: ARG005 - nobody listens
) -> Written:
    """Write a stream's events to a view's realtime store until ``stop``, or until nothing waits.

    ``told`` is called with each of the first few refusals, as it happens.

    Raises:
        InvalidConfig: the view has no realtime store, or the stream's URL is of no known kind.
        Unavailable: the stream or the store cannot be reached; nothing is lost.
    """
    scheme = asked.url.partition("://")[0]
    if scheme not in STREAMS:
        raise InvalidConfig(
            f"A stream's URL begins with {scheme + '://' if '://' in asked.url else 'no scheme'}.",
            code="unknown_stream",
            path="--url",
            hint=f"Known are {', '.join(f'{known}://' for known in STREAMS)}.",
        )
    try:
        kind = plugins.by_path(STREAMS[scheme])
    except InvalidConfig as missing:
        raise InvalidConfig(
            f"Streams of {scheme}:// need a package that is not installed.",
            path="--url",
            hint=f"Install it: pip install 'trimtab[{'kafka' if scheme == 'kafka' else 'redis'}]'.",
        ) from missing
    found = served_features(deployment).views[view]
    tally = Tally(told)
    store = open_store(deployment, writable(found, view))
    reader = RowReader(found, deployment.clock, asked.time_column)
    stream = kind(asked, Intake(view, reader, store, tally))
    try:
        await stream.run(stop, until_empty=until_empty)
    finally:
        await stream.close()
        await store.close()
    return tally.written()
