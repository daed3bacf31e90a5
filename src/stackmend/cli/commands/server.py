# SPDX-License-Identifier: Apache-2.0
"""``server``: what an operator may ask for about one server."""

from __future__ import annotations

import argparse

from stackmend.cli.request import Request


class _ServerRequest(Request):
    """A request about one server."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("server", metavar="UUID", help="the server")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server."""
        return {"server": parsed_args.server}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The server."""
        return [parsed_args.server]


class ServerCacheRebuild(_ServerRequest):
    """Rebuild a server's network info cache from its ports.

    Keeps what the cache knows of preserve_on_delete; where that is unknown a port is kept.
    """

    repair = "rebuild-info-cache"
    examples = """
  $ stackmend server cache rebuild 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db
  $ stackmend server cache rebuild 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db --yes"""


class ServerMarkDeleted(_ServerRequest):
    """Delete a server that cannot be deleted: by force through the API, or with all its rows, as Nova would.

    While its host runs, Nova removes what it still finds of the server there: this deletes for real. Name --cleaned
    only if its files are gone from the host already.
    """

    repair = "mark-server-deleted"
    examples = """
  $ stackmend server mark-deleted 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --via api
  $ stackmend server mark-deleted 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db
  $ stackmend server mark-deleted 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db --cleaned --out plan.json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("--cleaned", action="store_true", help="its files are gone from the host already")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server, and whether its host is clean."""
        return super().target(parsed_args) | ({"cleaned": True} if parsed_args.cleaned else {})

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The server, and whether its host is clean."""
        return super().words(parsed_args) + (["--cleaned"] if parsed_args.cleaned else [])


class ServerPurge(_ServerRequest):
    """Remove every row of a server that is already deleted, in all of Nova's databases."""

    repair = "purge-server"
    examples = """
  $ stackmend server purge 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db --out plan.json"""


class ServerSetHost(_ServerRequest):
    """Correct the host of a server that really runs elsewhere; moves rows, not the guest."""

    repair = "set-server-host"
    examples = """
  $ stackmend server set-host 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --host compute7 --allow-db"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("--host", required=True, help="the compute host on which the guest really is")
        parser.add_argument("--node", help="its hypervisor node, where the host has several")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server and where it is."""
        where = {"host": parsed_args.host} | ({"node": parsed_args.node} if parsed_args.node else {})
        return super().target(parsed_args) | where

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The server and where it is."""
        node = ["--node", parsed_args.node] if parsed_args.node else []
        return [parsed_args.server, "--host", parsed_args.host, *node]


COMMANDS = {
    "server cache rebuild": ServerCacheRebuild,
    "server mark-deleted": ServerMarkDeleted,
    "server purge": ServerPurge,
    "server set-host": ServerSetHost,
}
