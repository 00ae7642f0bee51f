"""What models, aliases and feature views may be named: as stands in a URL, a file's name and a label alike."""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.IGNORECASE)

NAME_HINT = "Take letters, digits, '_' and '-', at most 63, a letter or digit first."


def is_name(text: str) -> bool:
    """Whether something can be named so.

    >>> is_name("fraud-2"), is_name("fraud/2"), is_name("")
    (True, False, False)
    """
    return _NAME.fullmatch(text) is not None
