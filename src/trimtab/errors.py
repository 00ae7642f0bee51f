"""Every error Trimtab raises on purpose.

::

    TrimtabError                      code, message, hint, path
    ├── InvalidInput                  the caller can mend it
    │   ├── InvalidRequest            malformed body, wrong shape, too large
    │   ├── InvalidRow                a value is of the wrong type, unknown or missing
    │   ├── InvalidConfig             a setting is unknown or out of bounds
    │   └── InvalidPlan               a rollout, split or schedule that cannot be run
    ├── NotFound                      a name that nothing bears
    ├── Conflict                      true a moment ago, or still forbidden by the current state
    ├── Refused                       not allowed: missing role, untrusted artifact, failed digest
    ├── Unavailable                   a part outside the caller's reach does not work
    └── ModelFailure                  the model raised, timed out or answered nonsense
"""

from __future__ import annotations


class TrimtabError(Exception):
    """What went wrong, with which value, and what to do next.

    Args:
        message: What is wrong and with which value, one sentence.
        hint: What to do next, one sentence.
        code: A stable snake_case name that a program can compare.
        path: Where in the input the value stands, for example ``rows[3].features.distance``.
    """

    code = "error"

    def __init__(
        self, message: str, *, hint: str = "", code: str | None = None, path: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).code
        self.path = path

    def __str__(self) -> str:
        where = f" (at {self.path})" if self.path else ""
        then = f" {self.hint}" if self.hint else ""
        return f"{self.message}{where}{then}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint, self.code, self.path))


def _rebuild(
    kind: type[TrimtabError], message: str, hint: str, code: str, path: str | None
) -> TrimtabError:
    return kind(message, hint=hint, code=code, path=path)


class InvalidInput(TrimtabError):
    """The caller sent something that cannot be used."""

    code = "invalid_input"


class InvalidRequest(InvalidInput):
    """A body that is malformed, of the wrong shape or too large."""

    code = "invalid_request"


class InvalidRow(InvalidInput):
    """A feature value of the wrong type, an unknown feature or a missing one."""

    code = "invalid_row"


class InvalidConfig(InvalidInput):
    """A setting that is unknown, of the wrong type or out of bounds."""

    code = "invalid_config"


class InvalidPlan(InvalidInput):
    """A rollout, traffic split or schedule that cannot be run as stated."""

    code = "invalid_plan"


class NotFound(TrimtabError):
    """A model, version, alias, rollout or plugin that does not exist."""

    code = "not_found"


class Conflict(TrimtabError):
    """The state has moved on, or forbids the change."""

    code = "conflict"


class Refused(TrimtabError):
    """Not allowed: a role is missing, an artifact is untrusted or was tampered with."""

    code = "refused"


class Unavailable(TrimtabError):
    """A store, disk or service that Trimtab needs does not work now."""

    code = "unavailable"


class ModelFailure(TrimtabError):
    """A model raised, ran out of time, or answered with the wrong shape or a value not finite."""

    code = "model_failure"
