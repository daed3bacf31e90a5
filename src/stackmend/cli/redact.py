# SPDX-License-Identifier: Apache-2.0
"""The last net against printing a password: nobody should rely on it, every line passes through it."""

from __future__ import annotations

import re

_URL = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@?#'\"]*):(?P<password>[^\s'\"]+)@")
_WORD = re.compile(
    r"(?P<head>\b(?:password|passwd|pwd|secret|token)\b['\"]?\s*[=:]\s*)(?P<password>'[^']*'|\"[^\"]*\"|[^\s,;)&]+)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """``text`` with the password of every URL, and whatever follows ``password=``, replaced by ``***``."""
    return _WORD.sub(r"\g<head>***", _URL.sub(r"\g<head>:***@", text))
