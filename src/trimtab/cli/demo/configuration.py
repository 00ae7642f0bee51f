"""The demo's trimtab.toml: what a user of these flights would write."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = """\
[state]
dir = "{state}"

[serve]
workers = 2

[watch]
poll_ms = 50
window_seconds = 604_800            # a week: one day of weather is one draw
outcome_delay_seconds = 43_200      # 99.97 % of flights have arrived within 12 hours
lateness_seconds = 3_600

[features]
deadline_ms = 100

[features.stores.weather_live]
kind = "redis"
url = "{redis}"

[features.stores.weather_monthly]
kind = "parquet"
url = "{batch}"
options = {{ entity_column = "airport", check_seconds = 0.2 }}

[features.views.weather]
entity = "origin"
realtime = "weather_live"
batch = "weather_monthly"
ttl_seconds = 10_800
features = [
  {{ name = "temp", unit = "°F", default = 36.0 }},
  {{ name = "humid", unit = "%", default = 58.0 }},
  {{ name = "wind_speed", unit = "mph", default = 10.4 }},
  {{ name = "precip", unit = "inch", default = 0.0 }},
  {{ name = "pressure", unit = "hPa", default = 1018.0 }},
  {{ name = "visib", unit = "mile", default = 10.0 }},
]

[models.flights_late]
owner = "Flight operations"
purpose = "Warn passengers of flights that will probably arrive 15 minutes late or more."
outcome = "arrival"
trainer = "trimtab.cli.demo.train:train"

[models.flights_late.rollout]
alpha = 0.05
outcome_delay_seconds = 43_200
certificate_margin = 0.15
promote = "certified"
steps = [
  {{ share = 0.10, bake_seconds = 345_600 }},
  {{ share = 0.25, bake_seconds = 604_800 }},
  {{ share = 0.50, bake_seconds = 1_209_600 }},
]

[[models.flights_late.rollout.guardrails]]
name = "wrong decisions"
event = "wrong_decision"
margin = 0.10
weight = 4
cost_per_event = 40.0
currency = "USD"

[[models.flights_late.rollout.guardrails]]
name = "candidate errors"
event = "error"
weight = 1

[alerts.channels.file]
kind = "file"
url = "{alerts}"
"""


def configure(folder: Path, redis_url: str) -> Path:
    """Write the configuration; its path."""
    path = folder / "trimtab.toml"
    path.write_text(
        TEMPLATE.format(
            state=(folder / "state").as_posix(),
            redis=redis_url,
            batch=(folder / "batch").as_posix(),
            alerts=(folder / "alerts.jsonl").as_posix(),
        ),
        encoding="utf-8",
    )
    return path
