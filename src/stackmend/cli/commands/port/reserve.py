# SPDX-License-Identifier: Apache-2.0
"""``port reserve`` and ``port recover-ip``: ports without a server, and addresses of deleted servers."""

from __future__ import annotations

import argparse

from stackmend.cli.options import add_object, positive
from stackmend.cli.request import Working
from stackmend.model.errors import Exit, UsageError


class _Reserving(Working):
    """A workflow that creates a port."""

    parallel = 1

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Plan or create it; then explain how to give it to a server."""
        code = super().take_action(parsed_args)
        if code == Exit.REPAIRED:
            self.notes.next(*self.afterwards(parsed_args))
        return code

    def afterwards(self, parsed_args: argparse.Namespace) -> list[str]:
        """Commands that show the new port."""
        return [self.typed("port", "list", "--network", parsed_args.network)]


class PortReserve(_Reserving):
    """Create a port without a server: Nova keeps it, and its addresses, when a server that uses it is deleted.

    Without --fixed-ip, Neutron assigns an address of each IP version of the network. A NAME with dots is a DNS name:
    its first part must be the hostname of the server that gets the port.
    """

    workflow = "reserve-port"
    examples = """
  $ stackmend port reserve --network internal --name web-1.example.org
  $ stackmend port reserve --network internal --fixed-ip 10.0.0.20 --fixed-ip 2001:db8::20 --project demo --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "network", "--network", required=True, help="the network, by name or id")
        parser.add_argument("--name", metavar="NAME", help="name of the port, or the DNS name of the future server")
        parser.add_argument(
            "--fixed-ip", action="append", default=[], metavar="IP", help="use this address; may be repeated"
        )
        add_object(parser, "project", "--project", help="for this project (default: the account's project)")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The network and the properties of the port."""
        return {
            "network": parsed_args.network,
            "name": parsed_args.name or "",
            "addresses": tuple(parsed_args.fixed_ip),
            "project": parsed_args.project or "",
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The arguments to type again."""
        words = ["--network", parsed_args.network]
        words += ["--name", parsed_args.name] if parsed_args.name else []
        words += [word for address in parsed_args.fixed_ip for word in ("--fixed-ip", address)]
        return words + (["--project", parsed_args.project] if parsed_args.project else [])


class PortRecoverIp(_Reserving):
    """Get back the address of a deleted server: create a port with it for the project that had it.

    Project and MAC address are taken from the records of the last server that had it, if there are any ('stackmend port
    find' shows them). Addresses in use are refused, naming their ports. By default the address is requested from
    Neutron, which requires an administrator or the owner of the network; for others, --max-ports creates at most that
    many ports until one has the address, and deletes the others.
    """

    workflow = "recover-address"
    examples = """
  $ stackmend port find 10.0.0.20
  $ stackmend port recover-ip 10.0.0.20
  $ stackmend port recover-ip 10.0.0.20 --project demo --network internal --yes
  $ stackmend port recover-ip 10.0.0.20 --max-ports 30 --yes    # if you may not request a specific address"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("address", metavar="IP", help="the address: IPv4 or IPv6")
        add_object(parser, "project", "--project", help="for this project (default: the one that had it)")
        group = parser.add_mutually_exclusive_group()
        add_object(group, "network", "--network", help="in this network, if several have the range")
        group.add_argument("--subnet", metavar="ID", help="in this subnet, if several have the range")
        parser.add_argument("--name", metavar="NAME", help="name of the port (default: recovered-IP)")
        parser.add_argument(
            "--max-ports", type=positive, metavar="N", help="let Neutron assign addresses, to at most N ports"
        )
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The address and its former owner."""
        from stackmend.app.objects import addresses

        kind, address = addresses.address_of(parsed_args.address)
        if kind != "ip":
            raise UsageError(
                f"{parsed_args.address} is a MAC address", "'stackmend port find' shows which addresses it had."
            )
        found = addresses.owner(self.config(), address, parsed_args.network or "", parsed_args.subnet or "")
        for line in found.notes:
            self.notes.say(line)
        same = not parsed_args.project or parsed_args.project == found.project
        return {
            "address": address,
            "project": parsed_args.project or found.project,
            "network": parsed_args.network or "",
            "subnet": parsed_args.subnet or "",
            "name": parsed_args.name or "",
            "mac": found.mac if same else "",
            "living": found.living,
            **({} if found.floating is None else {"floating": found.floating}),
            "unread": found.unread,
            "leaked": found.leaked,
            "tries": parsed_args.max_ports or 0,
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The arguments to type again."""
        words = [parsed_args.address]
        for name in ("project", "network", "subnet", "name", "max_ports"):
            if (value := getattr(parsed_args, name)) is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return words

    def afterwards(self, parsed_args: argparse.Namespace) -> list[str]:
        """Where it is now."""
        return [self.typed("port", "find", parsed_args.address)]


COMMANDS = {"port reserve": PortReserve, "port recover-ip": PortRecoverIp}
