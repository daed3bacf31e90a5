# SPDX-License-Identifier: Apache-2.0
"""``server apparmor``: why a NIC cannot be attached to a guest."""

from __future__ import annotations

import argparse

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import add_object
from stackmend.cli.request import Working
from stackmend.model.errors import Exit


class ServerApparmor(Printing):
    """Show whether AppArmor keeps a guest from a NIC: 'Failed to attach network adapter device' (HTTP 500).

    libvirt makes the profile of a guest when it starts; a guest that started without a virtio NIC, say because its
    network cache was empty, may not open /dev/vhost-net. Reads the profile and the kernel log on the host, compares the
    rules with those of another guest there, and says what to type. Changes nothing. Exit code 3 where the profile is
    the reason.
    """

    default_format = TEXT
    examples = """
  $ stackmend server apparmor web-1
  $ stackmend server apparmor web-1 -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "server", "server", help="the server, by name or id")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it; exit code 3 if the profile prevents attaching a NIC."""
        from stackmend.app.objects import confinement
        from stackmend.report.objects import confinement as shown

        found = confinement.look(self.config(), parsed_args.server)
        self.show(shown.confined(found), parsed_args)
        if found.kept:
            self.notes.next(self.typed("server", "mend-apparmor", parsed_args.server))
        return int(Exit.FINDINGS if found.kept else Exit.CLEAN)


class ServerMendApparmor(Working):
    """Let a running guest open /dev/vhost-net, which its AppArmor profile denies, so that a NIC can be attached.

    Adds the rule to the guest's own profile on its host, loads the profile again, and has Nova attach the port. If the
    guest can be stopped, stop and start the server instead: libvirt then creates the profile anew. This needs root
    access to the host ([hosts] in the configuration).
    """

    workflow = "permit-vhost-net"
    parallel = 1
    examples = """
  $ stackmend server mend-apparmor web-1 --port 9f6c2f5e-2b59-4f4c-8f6a-5b8b1d0f7a11
  $ stackmend server mend-apparmor 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "server", "server", help="the server, by name or id")
        add_object(
            parser, "port", "--port", help="the port that could not be attached; default: you attach it yourself"
        )
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server, and the port."""
        return {"server": parsed_args.server, "port": parsed_args.port}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The server, and the port."""
        return [parsed_args.server, *(["--port", parsed_args.port] if parsed_args.port else [])]


COMMANDS = {"server apparmor": ServerApparmor, "server mend-apparmor": ServerMendApparmor}
