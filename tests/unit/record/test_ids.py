from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from trimtab.record.ids import IdIssuer
from trimtab.testing import FakeClock


def test_an_id_is_32_hex_digits_and_begins_with_the_time() -> None:
    made = IdIssuer(7, FakeClock(now=1_700_000_000.123)).new()
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert int(made[:12], 16) == 1_700_000_000_123


def test_ids_are_unique_over_issuers_and_threads_at_one_moment() -> None:
    issuers = [IdIssuer(7, FakeClock()) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda issuer: [issuer.new() for _ in range(2_000)], issuers * 2)
        made = [one for part in parts for one in part]
    assert len(set(made)) == len(made) == 16_000


def test_a_process_that_was_forked_goes_on_with_numbers_of_its_own() -> None:
    issuer = IdIssuer(7, FakeClock())
    issuer.new()
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.write(writes, issuer.new().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs, ours = os.read(reads, 32).decode(), issuer.new()
    os.close(reads)
    os.close(writes)
    assert issuer.issued(theirs)
    assert theirs[12:18] != ours[12:18]


def test_an_id_is_recognised_by_every_issuer_with_the_seed_and_no_other() -> None:
    made = IdIssuer(7, FakeClock()).new()
    assert IdIssuer(7, FakeClock()).issued(made)
    assert IdIssuer(7 + 2**64, FakeClock()).issued(made)
    assert not IdIssuer(8, FakeClock()).issued(made)


def test_any_changed_digit_is_noticed() -> None:
    issuer = IdIssuer(7, FakeClock())
    made = issuer.new()
    for place in range(32):
        for digit in "0123456789abcdef":
            changed = made[:place] + digit + made[place + 1 :]
            assert issuer.issued(changed) == (changed == made)


@pytest.mark.parametrize(
    "change", [str.upper, lambda s: s + " ", lambda s: s[:-1], lambda s: " " + s]
)
def test_only_the_exact_form_is_an_id(change: object) -> None:
    issuer = IdIssuer(7, FakeClock())
    made = next(one for one in iter(issuer.new, "") if not one.isdecimal())
    assert not issuer.issued(change(made))  # type: ignore[operator]


@pytest.mark.parametrize("text", ["", "x", "g" * 32, "0" * 31, "\uff10" * 32])
def test_other_texts_are_no_ids(text: str) -> None:
    assert not IdIssuer(7, FakeClock()).issued(text)
