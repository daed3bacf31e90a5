# SPDX-License-Identifier: Apache-2.0
"""``volume``: requests about one volume."""

from __future__ import annotations

import argparse

from stackmend.cli.options import add_object
from stackmend.cli.request import RequestCommand


class _VolumeRequest(RequestCommand):
    """A request about one volume."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "volume", "volume", help="the volume, by name or id")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The volume."""
        return {"volume": parsed_args.volume}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The volume."""
        return [parsed_args.volume]


class VolumeDetach(_VolumeRequest):
    """Detach a volume that no guest uses any more: through the APIs, or in the databases of Nova and Cinder.

    A guest that still uses the disk keeps writing to it: check its host first.
    """

    repair = "detach-volume"
    examples = """
  $ stackmend volume detach 0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10 --via api
  $ stackmend volume detach 0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10 --allow-db
  $ stackmend volume detach --server web-1 --allow-db data-1"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "server", "--server", help="detach it from this server, if several have it")
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The volume, and the server if one is named."""
        return super().target(parsed_args) | ({"server": parsed_args.server} if parsed_args.server else {})

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The volume, and the server if one is named."""
        return super().words(parsed_args) + (["--server", parsed_args.server] if parsed_args.server else [])


class VolumeMarkDeleted(_VolumeRequest):
    """Delete a volume that could not be deleted: through the API, or with all its rows and its quota.

    In the databases, this is for a volume whose data no longer exists on the back end.
    """

    repair = "mark-volume-deleted"
    examples = """
  $ stackmend volume mark-deleted 0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10 --allow-db --out plan.json"""


class VolumeRevive(_VolumeRequest):
    """Undelete a volume that was marked deleted while a server or a snapshot still needs it."""

    repair = "revive-volume"
    examples = """
  $ stackmend volume revive 0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10 --allow-db"""


COMMANDS = {"volume detach": VolumeDetach, "volume mark-deleted": VolumeMarkDeleted, "volume revive": VolumeRevive}
