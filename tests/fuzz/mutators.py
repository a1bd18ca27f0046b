"""Changes to files as disks, networks, programs and people make them; seeded, so repeatable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

__all__ = ["mutated", "mutated_json", "odd_value"]

_INTEGERS = (
    *(b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\0\x80", b"\1\0\0\0"),
    *(b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\xff\xff", b"\0\0", b"\xff"),
)


def mutated(data: bytes, rng: Random, others: Sequence[bytes] = ()) -> bytes:
    """Change bytes in one to three ways."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_WAYS)(data, rng, others)
    return data


def _cut(data: bytes, rng: Random, _: Any) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _flip(data: bytes, rng: Random, _: Any) -> bytes:
    out = bytearray(data)
    for _n in range(rng.choice((1, 1, 2, 8, 64))):
        if out:
            out[_place(out, rng)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _integer(data: bytes, rng: Random, _: Any) -> bytes:
    if not data:
        return data
    out, value = bytearray(data), rng.choice(_INTEGERS)
    at = _place(out, rng)
    out[at : at + len(value)] = value
    return bytes(out)


def _span(data: bytes, rng: Random, _: Any) -> bytes:
    """Remove, repeat, empty or shake a part."""
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 4, 16, 256, 4096)))
    part = data[at:end]
    new = rng.choice((b"", part * 2, bytes(len(part)), rng.randbytes(len(part)), part[::-1]))
    return data[:at] + new + data[end:]


def _splice(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data[::-1]
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _place(data: Sequence[int], rng: Random) -> int:
    """Headers are short, and tell most."""
    return rng.randrange(min(len(data), 512) if rng.random() < 0.6 else len(data))


_WAYS = (_cut, _flip, _flip, _integer, _integer, _span, _splice)


def odd_value(rng: Random) -> Any:
    """A value of JSON that nobody expects there."""
    deep: Any = 1
    for _ in range(rng.choice((3, 30))):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    return rng.choice((
        None, True, -1, 0, 255, 256, 2**31, 2**63, 10**400, 1e308, -0.5, "", "x", "\ud7ff\0\n",
        "=1+1", "../../etc", "a" * 5000, [], {}, [[1], 2], [None], {"": None}, deep,
    ))  # fmt: skip


def mutated_json(text: str, rng: Random) -> str:
    """JSON with one value or key replaced, or the text itself damaged."""
    if rng.random() < 0.25:
        return rng.choice((
            "", "[" * 100_000, text[: rng.randrange(len(text) + 1)], text + text, "\ufeff" + text,
            "NaN", "{" + '"a":' * 5000, "9" * 5000,
        ))  # fmt: skip
    content = json.loads(text)
    holders: list[Any] = []
    _walk(content, holders)
    holder = rng.choice(holders) if holders else None
    if not holder:
        return json.dumps(odd_value(rng))
    key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    if isinstance(holder, dict) and rng.random() < 0.4:
        value = holder.pop(key)
        holder[rng.choice(("", "255", "64", "254", "2147483648", "-1", "x", "1.5", "²"))] = value
    else:
        holder[key] = odd_value(rng)
    return json.dumps(content)


def _walk(value: Any, holders: list[Any]) -> None:
    if isinstance(value, (dict, list)) and value:
        holders.append(value)
        for one in value.values() if isinstance(value, dict) else value:
            _walk(one, holders)
