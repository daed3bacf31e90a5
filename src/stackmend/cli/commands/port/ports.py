# SPDX-License-Identifier: Apache-2.0
"""``port``: which ports are deleted with their server, and whether they should be; and who has an address."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import add_object, silence
from stackmend.model.errors import Exit
from stackmend.model.objects.port import Fate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stackmend.model.objects.port import ServerPort

#: next steps that are shown
_SHOWN = 3
#: what ports are listed by
_BY = {
    "server": "only ports of this server, by name or ID",
    "project": "only ports of this project",
    "network": "only ports of this network",
    "host": "only ports bound to this compute host",
}


class PortList(Printing):
    """List ports with binding, addresses and differences, and whether Nova deletes them with their server.

    Reads Neutron's ports and the network info caches of their servers; no API shows the latter. If no database is
    configured, the APIs are used, and it stays unknown whether a port is kept. --project, --network and --host show
    ports that Neutron has; --server also shows ports that only the cache lists, and asks libvirt of the server's host,
    if that is configured, which NICs the guest has.
    """

    examples = """
  $ stackmend port list --server web-1
  $ stackmend port list --network internal
  $ stackmend port list --host compute3 -f json
  $ stackmend port list --project demo -c port -c addresses -c differences"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        group = parser.add_mutually_exclusive_group(required=True)
        for kind, text in _BY.items():
            group.add_argument(f"--{kind}", metavar=kind.upper(), help=text)
        parser.set_defaults(objects={kind: kind for kind in _BY})
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them; exit code 3 if there are inconsistencies, 7 if the host was asked and did not answer."""
        from stackmend.app.objects.ports import in_guest, ports_of
        from stackmend.report.objects import ports as shown

        by = next(kind for kind in _BY if getattr(parsed_args, kind) is not None)
        found = ports_of(self.config(), by, getattr(parsed_args, by))
        guest = in_guest(self.config(), found if by == "server" else ())
        found = guest.ports or found
        self.show(shown.ports(found, of_server=by == "server"), parsed_args)
        if by == "server":
            self._fates(found, parsed_args.server)
        for line in guest.notes:
            self.notes.warn(line)
        odd = sum(bool(port.differences) for port in found)
        if not odd and not guest.strangers:
            return int(Exit.INCOMPLETE if guest.unread else Exit.CLEAN)
        if odd:
            self.notes.say(f"{odd} of {len(found)} are inconsistent")
        self.notes.next(self.typed("audit", *(() if by == "network" else (f"--{by}", getattr(parsed_args, by)))))
        return int(Exit.FINDINGS)

    def _fates(self, found: Sequence[ServerPort], server: str) -> None:
        """Report what would be lost with the server, and what to do about it."""
        dying = [port for port in found if port.fate is Fate.DELETED]
        if dying:
            self.notes.say(f"{len(dying)} of {len(found)} would be deleted with the server, and their addresses lost")
        if any(not port.in_cache for port in dying):
            # a port can be kept only once the cache lists it
            self.notes.next(self.typed("server", "cache", "rebuild", "--allow-db", server))
        elif dying:
            self.notes.next(*(self.typed("port", "keep", "--allow-db", port.port) for port in dying[:_SHOWN]))


class PortShow(Printing):
    """Show one port: addresses, network, binding, server, floating IPs, and inconsistencies."""

    default_format = TEXT
    examples = """
  $ stackmend port show 8a2b6d1c-0f5e-4f0b-b5ad-6a6f1a2b3c4d"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "port", "port", help="the port, by name or id")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it; exit code 3 if there are inconsistencies."""
        from stackmend.app.objects.ports import port_of
        from stackmend.report.objects import ports as shown

        found = port_of(self.config(), parsed_args.port)
        self.show(shown.port(found), parsed_args)
        return int(Exit.FINDINGS if found.listed.differences else Exit.CLEAN)


class PortFind(Printing):
    """Show who has an address, who had it, and from where it can be reached.

    Neutron's ports show who has it now. Network caches show which servers had it, or the rows of their NICs for a MAC,
    including deleted and archived servers. Nova empties the cache of a server that it deletes normally, so finding
    nothing does not prove that nobody had it.
    """

    default_format = TEXT
    examples = """
  $ stackmend port find 10.0.0.5
  $ stackmend port find fa:16:3e:12:34:56 -f json
  $ stackmend port find 2001:db8::5"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("address", metavar="IP|MAC", help="the address: IPv4, IPv6 or MAC")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it; exit code 7 if something could not be read."""
        from stackmend.app.objects import addresses
        from stackmend.report.objects import addresses as shown

        found = addresses.find(self.config(), parsed_args.address)
        self.show(shown.whose(found), parsed_args)
        for source, why in sorted(found.unread.items()):
            self.notes.warn(f"{source}: {why}")
        return int(Exit.INCOMPLETE if found.unread else Exit.CLEAN)


class PortCheck(Printing):
    """Try a TCP connection to an address, from where this program runs.

    Nothing is sent. 'refused' is also an answer: something has the address. Needs no configuration.
    """

    examples = """
  $ stackmend port check 10.0.0.5
  $ stackmend port check 10.0.0.5:443 '[2001:db8::5]:22' --limit 2"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("address", metavar="IP[:PORT]", nargs="+", help="the address; the default port is 22")
        parser.add_argument(
            "--limit", type=silence, default=5.0, metavar="SECONDS", help="time limit for each address (default: 5)"
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the results; exit code 3 if one is not open."""
        from stackmend.app.objects import reach
        from stackmend.report.objects import addresses as shown

        found = list(reach.check(parsed_args.address, parsed_args.limit))
        self.show(shown.reached(found), parsed_args)
        return int(Exit.CLEAN if all(one.state == "open" for one in found) else Exit.FINDINGS)


COMMANDS = {
    "port list": PortList,
    "port show": PortShow,
    "port find": PortFind,
    "port check": PortCheck,
}
