"""Artifacts: which format writes a model, and which reads a file, found without running its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from trimtab import plugins
from trimtab.digests import BLAKE3, SHA256
from trimtab.errors import InvalidConfig, InvalidInput, NotFound
from trimtab.protocols import FolderFormat, ModelFormat

GROUP = "trimtab.formats"


_MAPPED = frozenset({"compact", "compact_joblib"})


def kind_of(file_format: str) -> str:
    """What a file of this format is digested by: BLAKE3 where workers map it, else SHA-256."""
    return BLAKE3 if file_format in _MAPPED else SHA256


class Formats:
    """The model formats that can be used here, each made when it is first wanted.

    Args:
        makers: How to make each format, by name.
    """

    def __init__(self, makers: Mapping[str, Callable[[], ModelFormat]]) -> None:
        self._makers = makers
        self._made: dict[str, ModelFormat] = {}

    @classmethod
    def installed(cls) -> Formats:
        """All formats that are installed as plugins."""
        return cls({name: partial(_plugin, name) for name in plugins.names(GROUP)})

    def named(self, name: str) -> ModelFormat:
        """The format of that name.

        Raises:
            NotFound: there is none.
            InvalidConfig: its package is not installed.
        """
        if name not in self._makers:
            raise NotFound(
                f"There is no model format {name!r}.",
                hint=f"Known: {', '.join(sorted(self._makers))}.",
                code="unknown_format",
            )
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def sniff(self, path: Path) -> str:
        """The name of the format that a file is in; no code from the file runs.

        Raises:
            NotFound: there is no such file.
            InvalidInput: no format that is installed knows it.
        """
        if not path.is_file():
            raise NotFound(f"There is no file {str(path)!r}.", code="no_such_file", path=str(path))
        for candidate in self._usable():
            if candidate.sniff(path):
                return candidate.name
        raise InvalidInput(
            f"No installed model format knows the file {path.name!r}.",
            hint=f"Installed: {', '.join(each.name for each in self._usable())}.",
            code="unknown_format",
            path=str(path),
        )

    def within(self, folder: Path) -> Path | None:
        """The file of a model folder that is served by itself; None if the whole folder is the model."""
        for candidate in self._usable():
            if isinstance(candidate, FolderFormat):
                found = candidate.within(folder)
                if found is not None:
                    return found
        return None

    def save(self, model: object, path: Path, name: str | None = None) -> str:
        """Write an in-memory model.

        Args:
            model: A fitted model.
            path: The file to write.
            name: The format; None takes the first that accepts it, those without code before others.

        Returns:
            The format's name.

        Raises:
            InvalidInput: no format accepts it, or not this one.
        """
        candidates = self._usable() if name is None else [self.named(name)]
        for candidate in candidates:
            if candidate.accepts(model):
                candidate.save(model, path)
                return candidate.name
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise InvalidInput(
            f"A {kind} cannot be written as {name or 'any installed model format'}.",
            hint=f"Installed: {', '.join(each.name for each in self._usable())}.",
            code="unknown_format",
        )

    def _usable(self) -> list[ModelFormat]:
        """The formats whose packages are installed; those that run code come last."""
        found = []
        for name in sorted(self._makers):
            try:
                found.append(self.named(name))
            except InvalidConfig:
                continue
        return sorted(found, key=lambda each: each.runs_code)


def _plugin(name: str) -> ModelFormat:
    made: ModelFormat = plugins.load(GROUP, name)()
    return made
