# SPDX-License-Identifier: Apache-2.0
"""Whether something answers at addresses, from where this program runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from stackmend.drivers import reach
from stackmend.drivers.reach import Reached
from stackmend.model.errors import UsageError

#: the port where a guest most likely listens
SSH = 22


def target(text: str) -> tuple[str, int]:
    """(address, port) of ``10.0.0.5``, ``10.0.0.5:443``, ``2001:db8::5`` or ``[2001:db8::5]:443``; else UsageError."""
    host, port = text, str(SSH)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest else port
        if rest and not rest.startswith(":"):
            raise _wrong(text)
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = str(ip_address(host))
    except ValueError:
        raise _wrong(text) from None
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536):
        raise UsageError(f"{text!r} has no valid TCP port", "A port is a number from 1 to 65535.")
    return address, int(port)


def check(texts: Iterable[str], limit: float) -> Iterator[Reached]:
    """The result of a connection to each, one after another; UsageError before the first for an invalid address."""
    wanted = [target(text) for text in texts]
    return (reach.connect(address, port, limit) for address, port in wanted)


def _wrong(text: str) -> UsageError:
    return UsageError(f"{text!r} is not an address", "Write 10.0.0.5, 10.0.0.5:443, or [2001:db8::5]:443.")
