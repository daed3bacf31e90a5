# SPDX-License-Identifier: Apache-2.0
"""Text of unknown origin for a terminal: names in a cloud are chosen by its users, escape sequences included."""

from __future__ import annotations

import unicodedata


def printable(text: str, keep: str = "") -> str:
    """``text`` with every control and formatting character, except those in ``keep``, written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c in keep or not _control(c) else _escape(c) for c in text)


def _control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
