"""The command line, one file a command group."""

from trimtab.cli.main import main

__all__ = ["main"]
