"""The group of all commands; a command's module is imported when it is run."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from trimtab import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("settings:init", "Write a trimtab.toml to start from."),
    "demo": ("demo:demo", "Run the whole voyage on real flights."),
    "register": ("models:register", "Make a trained model a version, with profile and metrics."),
    "keys": ("signing:keys", "Make a key that signs artifacts."),
    "sign": ("signing:sign", "Sign a model file."),
    "list": ("models:list_models", "List models and their versions."),
    "show": ("models:show", "Show a version: signature, metrics, lineage."),
    "diff": ("models:diff", "Show how two versions differ."),
    "serve": ("serving:serve", "Serve and watch all deployed models."),
    "watch": ("serving:watch", "Watch the journal without serving."),
    "deploy": ("rollouts:deploy", "Deploy a version: the first at once, a later one step by step."),
    "promote": ("rollouts:promote", "Give the candidate all of the traffic."),
    "approve": ("rollouts:approve", "Confirm the next step that needs it."),
    "pause": ("rollouts:pause", "Hold the running rollout at its share."),
    "resume": ("rollouts:resume", "Let a held rollout go on."),
    "rollback": ("rollouts:rollback", "Take the candidate, or the newest champion, off at once."),
    "override": ("overrides:override", "Send a tester's key to a stated version."),
    "score": ("scoring:score", "Score a file through the serving path."),
    "drift": ("drift:drift", "Compare two files: verdict, and HTML if asked."),
    "optimize": ("optimize:optimize", "Make a model smaller and faster, with a certificate."),
    "features": ("features:features", "Define feature views, fill stores, make training sets."),
    "outcomes": ("outcomes:outcomes", "Send outcomes from a file; see how many arrived."),
    "journal": ("journal:journal", "Check, read, export and compact what was recorded."),
    "retrain": ("retrain:retrain", "Retrain on recorded predictions and their outcomes."),
    "report": ("report:report", "Write the stakeholder report as one HTML file."),
    "status": ("status:status", "How every model is: healthy, watch or act."),
    "events": ("status:events", "Show the audit log; --verify checks its chain."),
    "doctor": ("settings:doctor", "Check that this installation and state work."),
    "config": ("settings:config", "Show, check or explain the configuration."),
}


class _Lazy(click.Group):
    """Lists commands from the table and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found = getattr(import_module(f"trimtab.cli.{module}"), name)
        return found if isinstance(found, click.Command) else None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else " See `trimtab --help`."
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


START = """\b
Start:  trimtab demo                 the whole voyage on real data
        trimtab init                 a configuration to start from
        trimtab register NAME FILE   then deploy it, and serve
"""


@click.group(cls=_Lazy, epilog=START, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trimtab")
def cli() -> None:
    """Take trained tabular models into production and keep them in trim."""


def main() -> None:
    """Run the command line."""
    sys.exit(cli(standalone_mode=True))
