"""How rows stand in Redis: the keys, and the script that keeps the newer of two events."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

WRITE = """
local kept = 0
for i, key in ipairs(KEYS) do
    local held = redis.call('GETRANGE', key, 0, 7)
    if #held < 8 or struct.unpack('>d', held) <= struct.unpack('>d', ARGV[i]) then
        redis.call('SET', key, ARGV[i])
        kept = kept + 1
    end
end
return kept
"""


class Keys:
    """The keys ``<prefix>:<view>:<entity>``.

    Args:
        prefix: Leads every key.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._leads: dict[str, str] = {}

    def of(self, view: str, entities: Iterable[str]) -> list[str]:
        """One key an entity. A quoted view has no colon: no view and entity read like another pair."""
        lead = self._leads.get(view)
        if lead is None:
            lead = self._leads[view] = f"{self._prefix}:{quote(view, safe='')}:"
        return [*map(lead.__add__, entities)]
