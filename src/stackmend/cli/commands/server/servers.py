# SPDX-License-Identifier: Apache-2.0
"""``server``: requests about one server."""

from __future__ import annotations

import argparse

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import add_object
from stackmend.cli.request import RequestCommand
from stackmend.model.errors import Exit

_OVERRULED = "overrule records that name this host: you have verified that the guest is not there"


class _ServerRequest(RequestCommand):
    """A request about one server."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "server", "server", help="the server, by name or id")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server."""
        return {"server": parsed_args.server}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The server."""
        return [parsed_args.server]


class ServerCacheRebuild(_ServerRequest):
    """Rebuild a server's network info cache from its ports.

    Keeps known values of preserve_on_delete; if the value is unknown, the port is kept.
    """

    repair = "rebuild-info-cache"
    examples = """
  $ stackmend server cache rebuild web-1 --allow-db
  $ stackmend server cache rebuild 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db --yes"""


class ServerMarkDeleted(_ServerRequest):
    """Delete a server that cannot be deleted: by force through the API, or with all its rows, as Nova would.

    If its host is up, Nova removes everything it still finds of the server there: this is a real deletion. Use
    --cleaned only if its files no longer exist on the host. If a record says that its guest is alive, --overrule must
    name the host.
    """

    repair = "mark-server-deleted"
    examples = """
  $ stackmend server mark-deleted 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --via api
  $ stackmend server mark-deleted 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db
  $ stackmend server mark-deleted 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db --overrule compute3 --out plan.json
  $ stackmend server mark-deleted 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db --cleaned --out plan.json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("--cleaned", action="store_true", help="its files no longer exist on the host")
        add_object(parser, "host", "--overrule", help=_OVERRULED)
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server, whether its host is clean, and the overruled objections."""
        cleaned = {"cleaned": True} if parsed_args.cleaned else {}
        overrule = {"overrule": parsed_args.overrule} if parsed_args.overrule else {}
        return super().target(parsed_args) | cleaned | overrule

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The server, whether its host is clean, and the overruled objections."""
        overrule = ["--overrule", parsed_args.overrule] if parsed_args.overrule else []
        return super().words(parsed_args) + (["--cleaned"] if parsed_args.cleaned else []) + overrule


class ServerRevive(_ServerRequest):
    """Undelete a server that SQL marked deleted while its guest is alive."""

    repair = "revive-server"
    examples = """
  $ stackmend server revive 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db --out plan.json"""


class ServerPurge(_ServerRequest):
    """Remove every row of a server that is already deleted, in all of Nova's databases."""

    repair = "purge-server"
    examples = """
  $ stackmend server purge 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --allow-db --out plan.json"""


class ServerSetHost(_ServerRequest):
    """Correct the host of a server that really runs elsewhere; moves rows, not the guest.

    'server where' shows what each record says. If a record names another host, --overrule must name that host.
    """

    repair = "set-server-host"
    examples = """
  $ stackmend server where web-1
  $ stackmend server set-host 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --host compute7 --allow-db
  $ stackmend server set-host 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 --host compute7 --overrule compute3 --allow-db"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "--host", required=True, help="the compute host on which the guest really is")
        parser.add_argument("--node", help="its hypervisor node, if the host has several")
        add_object(parser, "host", "--overrule", help=_OVERRULED)
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The server, where it is, and the overruled objections."""
        more = {name: getattr(parsed_args, name) for name in ("node", "overrule") if getattr(parsed_args, name)}
        return super().target(parsed_args) | {"host": parsed_args.host} | more

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The server, where it is, and the overruled objections."""
        more = [(f"--{name}", getattr(parsed_args, name)) for name in ("node", "overrule")]
        return [parsed_args.server, "--host", parsed_args.host, *(w for pair in more if pair[1] for w in pair)]


class ServerWhere(Printing):
    """Show where a server is: each record, the hypervisors if they can be queried, and the verdict."""

    examples = """
  $ stackmend server where 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55
  $ stackmend server where 5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55 -f json"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "server", "server", help="the server, by name or id")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it; exit 0 if the row is right, 3 if it is wrong or the place is unknown."""
        from stackmend.app.objects import servers
        from stackmend.report.objects import servers as shown

        found = servers.where(self.config(), parsed_args.server)
        self.show(shown.where(found), parsed_args)
        return int(Exit.CLEAN if found.right else Exit.FINDINGS)


COMMANDS = {
    "server cache rebuild": ServerCacheRebuild,
    "server mark-deleted": ServerMarkDeleted,
    "server purge": ServerPurge,
    "server revive": ServerRevive,
    "server set-host": ServerSetHost,
    "server where": ServerWhere,
}
