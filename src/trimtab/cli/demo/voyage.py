"""The voyage, chapter by chapter. Nothing is staged: every number comes from the running server."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pandas as pd

from trimtab.cli import words
from trimtab.cli.demo import flights
from trimtab.cli.demo.batch_check import compare
from trimtab.cli.demo.configuration import configure
from trimtab.cli.demo.redis_server import RedisServer
from trimtab.cli.demo.replay import MODEL, Replay, Tally, flight_queue
from trimtab.cli.demo.server import Server
from trimtab.cli.demo.story import Story
from trimtab.cli.demo.train import THRESHOLD, UNITS, fit, train, with_humidity_as_fraction
from trimtab.cli.session import Session
from trimtab.config import load
from trimtab.errors import Conflict, Unavailable
from trimtab.report.stakeholder import render_report
from trimtab.types import Comparison, RolloutState, Task, Version
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.overview import ModelOverview
from trimtab.wiring.registration import Training, register
from trimtab.wiring.retraining import recorded, retrain
from trimtab.wiring.serving import open_store

DAY = 86_400.0
ACTOR = "demo"
CATCH_UP_SECONDS = 120.0
MARKER = ".made-by-trimtab-demo"
_overview = msgspec.json.Decoder(ModelOverview)


def at(date: str) -> float:
    """Midnight of a date in New York, Unix seconds."""
    return pd.Timestamp(date, tz=flights.NEW_YORK).timestamp()


FIRST_MONDAY = at("2013-06-03")
"""After May. Nobody starts a rollout on a Saturday."""

LATEST_RETRAINING = at("2013-07-01")


@dataclass(slots=True)
class Summary:
    """What the last screen says."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, figure: str) -> None:
        """Keep a figure."""
        self.lines.append((what, figure))


class Voyage:
    """Runs the demo.

    Args:
        session: The command's session.
        directory: Where its state goes.
        leave: Whether to end at the end.
    """

    def __init__(self, session: Session, directory: Path, *, leave: bool) -> None:
        self._session = session
        self._dir = directory.resolve()
        self._leave = leave
        self._story = Story.on_stdout()
        self._summary = Summary()
        self._redis = RedisServer(self._dir / "redis")
        self._seen: set[str] = set()
        self._retrain_at = 0.0

    async def run(self) -> int:
        """All chapters; 0 when every claim held."""
        self._prepare()
        server: Server | None = None
        try:
            self._redis.start()
            path = configure(self._dir, self._redis.url)
            config = load(path, environ={})
            deployment = Deployment.open(config)
            try:
                frame = self._data()
                self._champion(deployment, frame)
                server = self._serve(path)
                store = open_store(deployment, "weather_live")
                async with httpx.AsyncClient(base_url=server.url, timeout=30.0) as client:
                    start = frame[frame["event_time"] >= at("2013-03-01")]
                    replay = Replay(
                        client, store, self._dir / "batch" / "weather.parquet", flight_queue(start)
                    )
                    await self._seasons(client, replay)
                    await self._second_version(client, replay, deployment)
                    await self._summer(client, replay)
                    await self._broken_version(client, replay, deployment)
                    await self._outage(client, replay, config.features.breaker_seconds)
                    await self._batch(deployment)
                    await self._report(client, deployment)
                await store.close()
                self._close(server, replay.sent)
                if not self._leave:
                    await self._stay()
            finally:
                deployment.close()
        finally:
            if server is not None:
                server.stop()
            self._redis.kill()
        return 0

    # ------------------------------------------------------------------ chapters

    def _prepare(self) -> None:
        if self._dir.exists():
            if any(self._dir.iterdir()) and not (self._dir / MARKER).exists():
                raise Conflict(
                    f"{self._dir} is not empty and was not made by the demo.",
                    hint="Choose another directory with --dir.",
                )
            shutil.rmtree(self._dir)
        self._dir.mkdir(parents=True)
        (self._dir / MARKER).touch()

    def _data(self) -> pd.DataFrame:
        self._story.chapter("Real flights")
        frame = flights.load()
        known = frame["late"].notna()
        self._story.say(
            f"{len(frame):,} flights left New York in 2013; {int((~known).sum()):,} never arrived as "
            "planned and have no outcome."
        )
        self._story.say(
            "Asked at scheduled departure: will this flight arrive 15 minutes late or more? "
            f"{frame.loc[known, 'late'].mean():.0%} did."
        )
        return frame

    def _champion(self, deployment: Deployment, frame: pd.DataFrame) -> None:
        self._story.chapter("A champion, trained on January and February")
        reference = frame[frame["event_time"] < at("2013-02-19")]
        holdout = frame[frame["event_time"].between(at("2013-02-19"), at("2013-03-01"))]
        version = self._register(
            deployment,
            fit(reference),
            reference,
            holdout,
            "Trained on the first seven weeks of 2013.",
        )
        deployment.deploy(MODEL, version.version, actor=ACTOR, reason="first deployment")
        self._story.say(
            f"A scikit-learn pipeline with categories and missing values, {len(reference):,} rows, "
            f"{words.size(version.size_bytes)}."
        )
        self._story.say(
            f"Held out (19 to 28 February): ROC AUC {version.metrics['roc_auc']:.3f}, "
            f"accuracy {version.metrics['accuracy']:.3f}. Registered with signature, reference "
            f"profile and digest {version.digest[:19]}…, and deployed to 100 % of traffic."
        )

    def _serve(self, config: Path) -> Server:
        self._story.chapter("The server: workers, watcher, feature store")
        began = time.monotonic()
        server = Server.start(config, self._dir / "server.log")
        self._story.say(
            f"`trimtab serve` is ready after {time.monotonic() - began:.1f} s at {server.url} "
            "(the dashboard is there already)."
        )
        self._story.say(
            "Weather comes from Redis by airport; if that fails, last month's averages; else defaults."
        )
        return server

    async def _seasons(self, client: httpx.AsyncClient, replay: Replay) -> None:
        self._story.chapter("March to May, until people are told: the seasons change")
        self._story.say("Replayed over HTTP in time order; outcomes arrive when the flights do.")
        for begin, end in (("March", "2013-04-01"), ("April", "2013-05-01"), ("May", "2013-06-01")):
            await self._stretch(client, replay, at(end), begin)
            await self._tell_month(client, begin)
        day = FIRST_MONDAY
        await replay.until(day)
        await self._catch_up(client, replay)
        while not await self._must_retrain(client) and day < LATEST_RETRAINING:
            day += DAY
            await replay.until(day)
            await self._catch_up(client, replay)
        self._retrain_at = day

    async def _second_version(
        self, client: httpx.AsyncClient, replay: Replay, deployment: Deployment
    ) -> None:
        self._story.chapter("Retrained on what was recorded, then a canary")
        began = time.monotonic()
        version = retrain(
            deployment,
            MODEL,
            train,
            since=at("2013-03-01"),
            author=ACTOR,
            description=f"Retrained on what was recorded from March to {words.day(self._retrain_at)}.",
        )
        self._story.say(
            f"v{version.version} learned from {int(float(version.lineage['reference_rows'])):,} recorded "
            f"predictions with their outcomes in {time.monotonic() - began:.1f} s; held out: "
            f"ROC AUC {version.metrics['roc_auc']:.3f}."
        )
        plan = deployment.plan_for(MODEL)
        steps = ", ".join(
            f"{words.percent(s.share)} for {words.span(s.bake_seconds)}" for s in plan.steps
        )
        self._story.say(f"Ramp: {steps}; promoted only with a certificate that it does no harm.")
        deployment.deploy_or_roll_out(MODEL, version.version, actor=ACTOR, reason="retrained")
        begin = self._retrain_at
        end = await self._ramp(client, replay, begin, begin + 45 * DAY, DAY)
        rollout = (await self._look(client)).rollouts[-1]
        self._story.say(f"{rollout.state.value.replace('_', ' ')}: {rollout.reason}")
        self._summary.add(
            f"v{version.version} canary",
            f"{rollout.state.value.replace('_', ' ')} after {(end - begin) / DAY:.0f} days",
        )

    async def _must_retrain(self, client: httpx.AsyncClient) -> bool:
        found = await self._look(client)
        return any(
            a.closed_at is None and a.alert.title.startswith("Retrain") for a in found.alerts
        )

    async def _summer(self, client: httpx.AsyncClient, replay: Replay) -> None:
        self._story.chapter("Summer")
        await self._stretch(client, replay, at("2013-09-16"), "until mid-September")
        await self._tell_month(client, "Mid-September")

    async def _broken_version(
        self, client: httpx.AsyncClient, replay: Replay, deployment: Deployment
    ) -> None:
        self._story.chapter("A release that is broken as real releases are")
        table = recorded(deployment, MODEL, since=at("2013-03-01"))
        frame = table.to_pandas().rename(columns={"outcome": "late"})
        broken = with_humidity_as_fraction(frame)
        cut = frame["event_time"].quantile(0.9)
        reference, holdout = broken[broken["event_time"] < cut], broken[broken["event_time"] >= cut]
        version = self._register(
            deployment, fit(reference), reference, holdout, "Humidity cleaned up to 0 to 1."
        )
        self._story.say(
            f"v{version.version} was trained with humidity as a fraction; production sends percent. "
            f"Its own tests looked fine (ROC AUC {version.metrics['roc_auc']:.3f})."
        )
        deployment.deploy_or_roll_out(MODEL, version.version, actor=ACTOR, reason="new release")
        begin = at("2013-09-16")
        end = await self._ramp(client, replay, begin, at("2013-10-01"), DAY / 8)
        rollout = (await self._look(client)).rollouts[-1]
        self._story.say(rollout.reason)
        self._summary.add(
            f"v{version.version} canary",
            f"{rollout.state.value.replace('_', ' ')} within {words.span(end - begin)} of event time",
        )

    async def _outage(
        self, client: httpx.AsyncClient, replay: Replay, breaker_seconds: float
    ) -> None:
        self._story.chapter("The feature store dies")
        await self._stretch(client, replay, at("2013-10-07"), "until 7 October")
        self._redis.kill()
        self._story.say("Redis killed. Predictions go on:")
        tally = await self._stretch(client, replay, at("2013-10-10"), "without the store")
        self._story.say(
            f"{tally.flights:,} flights answered, {tally.failed} failed; weather came from "
            f"{_provenance(tally)}."
        )
        self._redis.start()
        await asyncio.sleep(breaker_seconds)
        after = await self._stretch(client, replay, at("2013-10-14"), "the store is back")
        self._story.say(
            f"Redis is back: {_provenance(after)} (batch fills what the stations did not report)."
        )
        self._summary.add("store outage", f"{tally.failed} of {tally.flights:,} predictions failed")

    async def _batch(self, deployment: Deployment) -> None:
        self._story.chapter("One month as a batch job, through the same path")
        span = at("2013-09-01"), at("2013-10-01")
        result = await asyncio.to_thread(compare, deployment, MODEL, self._dir / "september", span)
        self._story.say(
            f"{result.rows:,} rows of September scored in {result.seconds:.1f} s "
            f"({result.rows / result.seconds:,.0f} rows/s); largest difference from the online "
            f"score of the same rows and version: {result.largest_difference:g}."
        )
        self._summary.add("batch equals online", f"max |Δ| {result.largest_difference:g}")

    async def _report(self, client: httpx.AsyncClient, deployment: Deployment) -> None:
        self._story.chapter("For the stakeholders")
        found = await self._look(client)
        path = self._dir / "report.html"
        path.write_text(
            render_report(
                found,
                config=deployment.config.models[MODEL],
                now=time.time(),
                watch=deployment.config.watch,
            ),
            encoding="utf-8",
        )
        self._story.say(f"{found.health.value}: {'; '.join(found.because) or 'nothing to do'}")
        self._story.say(f"Report: {path} ({words.size(path.stat().st_size)})")

    # ------------------------------------------------------------------ between chapters

    def _register(
        self,
        deployment: Deployment,
        model: object,
        reference: pd.DataFrame,
        holdout: pd.DataFrame,
        description: str,
    ) -> Version:
        columns = [*flights.FEATURES, "late", "event_time"]
        return register(
            deployment,
            MODEL,
            model,
            Training(
                reference=reference.loc[reference["late"].notna(), columns],
                holdout=holdout.loc[holdout["late"].notna(), columns],
                outcome="late",
                time="event_time",
                task=Task.BINARY,
                labels=("on time", "late"),
                threshold=THRESHOLD,
                units=UNITS,
            ),
            views=("weather",),
            author=ACTOR,
            description=description,
            trust=True,
        )

    async def _stretch(
        self, client: httpx.AsyncClient, replay: Replay, until: float, note: str
    ) -> Tally:
        total = replay.flights_before(until)
        with self._story.tracking(total, "flights") as tracker:
            tally = await replay.until(
                until, lambda rows, now: tracker.advance(rows, f"{note}, {words.day(now)}")
            )
        await self._catch_up(client, replay)
        return tally

    async def _ramp(
        self, client: httpx.AsyncClient, replay: Replay, begin: float, limit: float, step: float
    ) -> float:
        """Replay until the rollout has ended or ``limit``; the event time reached."""
        now, share = begin, 0.0
        with self._story.tracking(replay.flights_before(limit), "flights") as tracker:
            while now < limit:
                now += step
                await replay.until(
                    now, lambda rows, when: tracker.advance(rows, f"rollout, {words.day(when)}")
                )
                found = await self._catch_up(client, replay)
                if found.rollouts[-1].state is not RolloutState.RUNNING:
                    return now
                route = found.route
                if route is not None and len(route.arms) > 1 and route.arms[1].share != share:
                    share = route.arms[1].share
                    self._story.event(now, f"candidate at {words.percent(share)}")
        return now

    async def _look(self, client: httpx.AsyncClient) -> ModelOverview:
        reply = await client.get(f"/api/v1/models/{MODEL}")
        reply.raise_for_status()
        return _overview.decode(reply.content)

    async def _catch_up(self, client: httpx.AsyncClient, replay: Replay) -> ModelOverview:
        """Wait until the watcher has read all that was sent; tell what it found."""
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while True:
            found = await self._look(client)
            if (
                sum(v.predictions for v in found.versions) >= replay.sent.flights
                and sum(v.outcomes for v in found.versions) >= replay.sent.outcomes
            ):
                self._tell_news(found)
                return found
            if time.monotonic() > deadline:
                raise Unavailable("The watcher does not keep up.", hint="See server.log.")
            await asyncio.sleep(0.05)

    def _tell_news(self, found: ModelOverview) -> None:
        for view in found.alerts:
            if view.alert.key not in self._seen:
                self._seen.add(view.alert.key)
                self._story.event(view.alert.event_time, f"alert: {view.alert.title}", "yellow")

    async def _tell_month(self, client: httpx.AsyncClient, name: str) -> None:
        found = await self._look(client)
        drift, scores = found.latest("data_drift"), found.latest("prediction_drift")
        performance = found.latest("performance")
        if drift is not None:
            since = f" since {words.day(drift.since)}" if drift.since is not None else ""
            self._story.say(f"{name}: data {drift.state.value}{since}")
            moved = [c for c in drift.comparisons if c.name in drift.flagged]
            furthest = sorted(moved or drift.comparisons, key=_effect, reverse=True)[:2]
            sure = "beyond chance" if moved else "as days of the reference differ anyway"
            for c in furthest:
                self._story.say(
                    f"  {c.name} by {c.score:.2f}: {c.words} ({sure}, p {c.p_value:.2g})"
                )
        if scores is not None:
            effect = "; ".join(f"by {c.score:.2f}: {c.words}" for c in scores.comparisons)
            self._story.say(f"  effect on the scores {effect} ({scores.state.value})")
        if performance is not None:
            self._story.say(f"  performance: {performance.state.value}; {performance.words}")

    def _close(self, server: Server, total: Tally) -> None:
        self._story.chapter("Done")
        seconds = time.monotonic() - self._story.began
        rows = [
            ("flights answered", f"{total.flights:,} in {total.requests:,} requests"),
            ("failed", f"{total.failed}"),
            ("outcomes joined", f"{total.outcomes:,}"),
            *self._summary.lines,
            ("time", f"{seconds:.0f} s"),
        ]
        for what, figure in rows:
            self._story.say(f"{what:<22}{figure}")
        self._story.say("")
        self._story.say(f"dashboard  {server.url}/")
        self._story.say(f"report     {self._dir / 'report.html'}")

    async def _stay(self) -> None:
        self._story.say(f"try        trimtab status --config {self._dir / 'trimtab.toml'}")
        self._story.say("Ctrl-C ends.")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._story.say("stopping")


def _provenance(tally: Tally) -> str:
    """Where the values of the feature view came from, as shares."""
    codes = {"r": "realtime", "b": "batch", "d": "default"}
    total = max(1, sum(tally.sources[code] for code in codes))
    return ", ".join(f"{name} {tally.sources[code] / total:.1%}" for code, name in codes.items())


def _effect(comparison: Comparison) -> float:
    return comparison.score * comparison.importance
