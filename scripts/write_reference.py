"""Writes docs/reference/configuration.md and cli.md from the code; ``--check`` only compares.

What stands in the code once is not written down a second time by hand: a setting's type, bounds,
default and meaning come from ``trimtab.config``, a command's arguments from its declaration.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
from msgspec import inspect as kinds

from trimtab.cli.main import COMMANDS, cli
from trimtab.config import FILE_NAME, PREFIX, Config

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
GENERATED = "<!-- Written by scripts/write_reference.py: change the code, then run it. -->"
PLACEHOLDERS = {
    "models": "MODEL",
    "stores": "STORE",
    "views": "VIEW",
    "channels": "CHANNEL",
}
SHARED_OPTIONS = ("--config", "--state", "--json")


# ------------------------------------------------------------------------ configuration


def configuration() -> str:
    """The page of settings."""
    lines = [
        "# Configuration",
        GENERATED,
        f"""
One file, `{FILE_NAME}`, in the working directory or named by `--config`. All settings have a
default; an empty file is a valid one. Unknown keys are refused with their path.

Precedence: command line, then environment, then file, then default. The setting `port` of
`[serve]` is overridden by `{PREFIX}SERVE__PORT`: two underscores go one level down. Values from the
environment are read as TOML, or else as text.

Secrets never stand in the file: write `env:NAME` or `file:PATH`. They are never printed.

`trimtab config show` prints what is in force, `trimtab config check` checks it, and
`trimtab config schema` prints this page as JSON Schema. The numbers of a rollout plan are checked
against each other when a rollout starts; a plan that cannot be run is refused with its reason.
""",
    ]
    for path, struct in sections(Config, ""):
        lines.append(f"## `[{path}]`\n\n{prose(struct)}\n")
        rows = [setting(field, path) for field in own_fields(struct)]
        if rows:
            lines += ["| setting | type and bounds | default |\n|---|---|---|", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


def sections(struct: type[msgspec.Struct], path: str) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Every table of the file, with its dotted path, parents first."""
    if path:
        yield path, struct
    for field in fields(struct):
        below = nested(field.type)
        if below is not None:
            name, many = below
            parts = (
                path,
                field.encode_name,
                PLACEHOLDERS.get(field.encode_name, "") if many else "",
            )
            yield from sections(name, ".".join(filter(None, parts)))


def nested(kind: kinds.Type) -> tuple[type[msgspec.Struct], bool] | None:
    """The struct in a field's type, and whether there is one for each name."""
    if isinstance(kind, kinds.StructType):
        return kind.cls, False
    if isinstance(kind, kinds.DictType):
        found = nested(kind.value_type)
        return None if found is None else (found[0], True)
    if isinstance(kind, kinds.VarTupleType):
        return nested(kind.item_type)
    if isinstance(kind, kinds.UnionType):
        return next(filter(None, map(nested, kind.types)), None)
    return None


def fields(struct: type[msgspec.Struct]) -> tuple[kinds.Field, ...]:
    """The fields of a struct."""
    found = kinds.type_info(struct)
    if not isinstance(found, kinds.StructType):
        message = f"{struct} is no struct"
        raise TypeError(message)
    return found.fields


def own_fields(struct: type[msgspec.Struct]) -> list[kinds.Field]:
    """Those that are not a table of their own; an array of tables stays, to be named."""
    return [
        field
        for field in fields(struct)
        if nested(field.type) is None or isinstance(field.type, kinds.VarTupleType)
    ]


def setting(field: kinds.Field, path: str) -> str:
    """One row of a table."""
    name = field.encode_name
    tables = nested(field.type) is not None
    kind = f"array of `[[{path}.{name}]]`" if tables else words(field.type)
    return f"| `{name}` | {kind} | {default(field)} |"


def default(field: kinds.Field) -> str:
    """A field's default as TOML, or that there is none."""
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, tuple | dict) and not value:
        return "empty"
    return f"`{msgspec.json.encode(value).decode()}`"


def words(kind: kinds.Type) -> str:
    """A type and its bounds, for people."""
    if isinstance(kind, kinds.LiteralType | kinds.EnumType):
        choices = (
            kind.values if isinstance(kind, kinds.LiteralType) else [m.value for m in kind.cls]
        )
        return ", ".join(f"`{choice}`" for choice in choices)
    if isinstance(kind, kinds.UnionType):
        said = {type(one): words(one) for one in kind.types}
        if kinds.FloatType in said:
            said.pop(kinds.IntType, None)
        return " or ".join(text for one, text in said.items() if one is not kinds.NoneType)
    if isinstance(kind, kinds.VarTupleType):
        return f"array of {words(kind.item_type)}"
    if isinstance(kind, kinds.DictType):
        return f"table of {words(kind.value_type)}"
    if isinstance(kind, kinds.IntType | kinds.FloatType):
        whole = "whole number" if isinstance(kind, kinds.IntType) else "number"
        return f"{whole}{bounds(kind)}"
    plain = {kinds.StrType: "text", kinds.BoolType: "true or false", kinds.NoneType: "nothing"}
    return plain[type(kind)]


def bounds(kind: kinds.IntType | kinds.FloatType) -> str:
    """The bounds of a number, for people."""
    signs = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
    said = [
        f"{sign} {getattr(kind, name)}" for name, sign in signs if getattr(kind, name) is not None
    ]
    return f", {', '.join(said)}" if said else ""


def prose(documented: type) -> str:
    """A docstring as Markdown."""
    return re.sub(r"``([^`]+)``", r"`\1`", inspect.cleandoc(documented.__doc__ or ""))


# ------------------------------------------------------------------------ command line


def command_line() -> str:
    """The page of commands."""
    lines = [
        "# Command line",
        GENERATED,
        """
Every command takes `--config FILE`, `--state DIRECTORY` (overrides the directory of `[state]`) and
`--json` (one JSON document on standard output instead of text; errors too).

Exit status: 0 done; 1 failed; 2 bad input; 130 interrupted. `trimtab drift` ends with 3 when a
feature has drifted.
""",
    ]
    with click.Context(cli, info_name="trimtab") as context:
        for name in COMMANDS:
            command = cli.get_command(context, name)
            if command is None:
                message = f"there is no command {name}"
                raise LookupError(message)
            lines += described(command, f"trimtab {name}")
    return "\n".join(lines).rstrip() + "\n"


def described(command: click.Command, name: str) -> Iterator[str]:
    """A command and, below it, its own commands."""
    text = inspect.cleandoc((command.help or "").replace("\b", ""))
    if isinstance(command, click.Group):
        yield f"## `{name}`\n\n{text}\n"
        for below in command.commands.values():
            yield from described(below, f"{name} {below.name}")
        return
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [
        p for p in command.params if isinstance(p, click.Option) and p.opts[0] not in SHARED_OPTIONS
    ]
    usage = " ".join([name, *map(argument, arguments)])
    yield f"## `{usage}`\n\n{text}\n"
    if options:
        yield "| option | meaning |\n|---|---|"
        yield from (f"| `{option(one)}` | {meaning(one)} |" for one in options)
        yield ""


def argument(one: click.Argument) -> str:
    """An argument as it stands in a usage line."""
    name = (one.name or "").upper()
    return name if one.required else f"[{name}]"


def option(one: click.Option) -> str:
    """An option with what it takes."""
    if one.is_flag:
        return one.opts[0]
    if isinstance(one.type, click.Choice):
        return f"{one.opts[0]} {'|'.join(str(choice) for choice in one.type.choices)}".replace(
            "|", "\\|"
        )
    kind = one.type.name.split()[0]
    return f"{one.opts[0]} {'NUMBER' if kind in {'integer', 'float'} else kind.upper()}"


def meaning(one: click.Option) -> str:
    """An option's help, and whether it must be given."""
    said = [one.help or ""]
    if one.required:
        said.append("Required.")
    # None also where click has a mark of its own for what is not given.
    stated = one.to_info_dict()["default"]
    given = stated is not None and (one.show_default or isinstance(one.type, click.Choice))
    if given and not one.is_flag and not one.multiple:
        said.append(f"Default: `{stated}`.")
    return " ".join(filter(None, said))


# ------------------------------------------------------------------------ the script

PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "cli.md": command_line,
}


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` say which pages are not current; the exit status."""
    stale = []
    for name, write in PAGES.items():
        path, text = REFERENCE / name, write()
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"not current: {', '.join(stale)}; run scripts/write_reference.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
