# SPDX-License-Identifier: Apache-2.0
"""``server apparmor``: why a NIC cannot be attached to a guest."""

from __future__ import annotations

import argparse

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import add_object
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
        """Print it; exit code 3 where a NIC cannot be attached for it."""
        from stackmend.app import confinement
        from stackmend.report import confinement as shown

        found = confinement.look(self.config(), parsed_args.server)
        self.show(shown.confined(found), parsed_args)
        return int(Exit.FINDINGS if found.kept else Exit.CLEAN)


COMMANDS = {"server apparmor": ServerApparmor}
