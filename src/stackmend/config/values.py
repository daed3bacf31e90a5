# SPDX-License-Identifier: Apache-2.0
"""The kinds of values in the TOML file: what each must be, and how it is written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

#: a request that may take longer than a day has no limit
_LONGEST = 86_400
#: upper limit for the ages of checks, in seconds
_OLDEST = 366 * 86_400


def documented(meaning: str) -> Meta:
    """What a key is for."""
    return Meta(description=meaning)


def _kind(title: str, must: str, write: str, **bounds: Any) -> Meta:
    """A kind of value: its name, the error for an invalid value, and how to write a valid one."""
    return Meta(title=title, extra={"must": must, "write": write}, **bounds)


Text = Annotated[str, _kind("text", "be a text", '{key} = "..."')]
#: a text that must not be empty, because an empty one would mean something else
Filled = Annotated[str, _kind("text", "be a non-empty text", '{key} = "..."', min_length=1)]
_Argument = Annotated[str, Meta(min_length=1)]
Words = Annotated[
    tuple[_Argument, ...], _kind("list of texts", "be a list of texts", '{key} = ["program", "option"]', min_length=1)
]
Switch = Annotated[bool, _kind("true or false", "be true or false", "{key} = true")]
Seconds = Annotated[float, _kind("seconds", "be a number of seconds", "{key} = {default:.0f}", gt=0, lt=_LONGEST)]
Amount = Annotated[float, _kind("number", "be a number, 0 or more", "{key} = {default}", ge=0, lt=_LONGEST)]
#: a pause in the middle of a table must end before the server gives up sending it (net_write_timeout, 600 seconds)
Pause = Annotated[float, _kind("seconds", "be a number from 0 to 500", "{key} = {default:.0f}", ge=0, le=500)]
Count = Annotated[int, _kind("whole number", "be a whole number, 0 or more", "{key} = {default}", ge=0)]
Share = Annotated[float, _kind("share", "be a number from 0 to 1", "{key} = {default}", ge=0, le=1)]
TransportName = Annotated[Literal["", "ssh", "local"], _kind("text", "be ssh or local", '{key} = "ssh"')]
Destination = Annotated[
    str,
    _kind(
        "text",
        "have {{host}} in it, and not begin with a dash",
        '{key} = "root@{{host}}"',
        pattern=r"\A(?!-)[^\0]*\{host\}",
    ),
]
FolderPath = Annotated[str, _kind("text", "begin with a slash", '{key} = "{default}"', pattern=r"\A/.*[^/]/*\Z")]
Cells = Annotated[dict[str, Filled], _kind("text", "hold texts", 'name = "URL", a line each')]
Places = Annotated[dict[str, Filled], _kind("text", "hold texts", '"db1" = "db2:3306", a line each')]
SeverityName = Annotated[
    Literal["error", "warning", "info"], _kind("severity", "be error, warning or info", '{key} = "warning"')
]
Ages = Annotated[
    dict[str, Annotated[int, Meta(ge=0, le=_OLDEST)]],
    _kind("table", f"be a table of seconds, from 0 to {_OLDEST} (a year)", "[ages.{key}] and idle = 600"),
]

Counts = Annotated[
    dict[str, Annotated[int, Meta(ge=1)]],
    _kind("table", "be a table of whole numbers, 1 or more", "[counts.{key}] and many = 1000"),
]
