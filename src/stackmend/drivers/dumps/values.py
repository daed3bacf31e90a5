# SPDX-License-Identifier: Apache-2.0
"""The values in a dump: patterns that find them, and what they stand for."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache

from stackmend.model.step import Value

#: a text in single quotes; a quote inside is doubled or has a backslash before it
STRING = rb"'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'"
#: a name in back ticks, in double quotes (--compatible=ansi), or bare (--skip-quote-names)
NAME = rb'(?:`(?:[^`]|``)+`|"(?:[^"]|"")+"|[\w$]+)'
#: there is only one way to match each text: a row that is cut off must not be tried in all others
_VALUE = (
    rb"(?:(?:_\w+ ?)?" + STRING + rb"|NULL|0[xX][0-9A-Fa-f]*|[xXbB]'[0-9A-Fa-f]*'"
    rb"|[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|DEFAULT)"
)
_QUOTE = ord("'")
_ESCAPED = re.compile(rb"\\(.)|''", re.DOTALL)
_ESCAPES = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"Z": b"\x1a"}


@cache
def row(width: int, kept: Sequence[int]) -> re.Pattern[bytes]:
    """A pattern for a row of so many values with a group for each that is kept, and for what follows the row.

    A value that is not kept is passed over, never copied.
    """
    wanted: Collection[int] = frozenset(kept)
    parts = [b"(" + _VALUE + b")" if n in wanted else _VALUE for n in range(width)]
    return re.compile(rb"\s*\(" + rb",\s*".join(parts) + rb"\)\s*([,;])", re.DOTALL)


def name(raw: bytes) -> str:
    """A name without its quotes."""
    quote = raw[:1]
    if quote in (b"`", b'"'):
        raw = raw[1:-1].replace(quote * 2, quote)
    return raw.decode(errors="replace")


def value(raw: bytes) -> Value:
    """What a value stands for: text, or bytes if it is binary or not UTF-8."""
    if raw == b"NULL":
        return None
    if raw[0] == _QUOTE:
        return _text(_plain(raw[1:-1]))
    if raw.isdigit():
        return int(raw)
    if raw == b"DEFAULT":
        return None
    if raw[:2] in (b"0x", b"0X"):
        return bytes.fromhex(raw[2:].decode())
    if raw.startswith(b"_"):
        introducer, _, rest = raw.partition(b"'")
        plain = _plain(rest[:-1])
        return plain if introducer.strip() == b"_binary" else _text(plain)
    if raw[1:2] == b"'":
        inner = raw[2:-1].decode()
        return bytes.fromhex(inner) if raw[:1] in b"xX" else int(inner or "0", 2)
    return int(raw) if raw.lstrip(b"-+").isdigit() else float(raw)


def _plain(inner: bytes) -> bytes:
    if b"\\" not in inner and b"''" not in inner:
        return inner
    return _ESCAPED.sub(_unescaped, inner)


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        return b"'"
    return _ESCAPES.get(found[1], found[1])


def _text(plain: bytes) -> str | bytes:
    try:
        return plain.decode()
    except UnicodeDecodeError:
        return plain
