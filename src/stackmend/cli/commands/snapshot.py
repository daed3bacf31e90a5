# SPDX-License-Identifier: Apache-2.0
"""``snapshot``: the state of the databases at one time, to audit again later."""

from __future__ import annotations

import argparse

from stackmend.cli.base import TEXT, Printing
from stackmend.model.errors import Exit


class SnapshotCreate(Printing):
    """Read the databases into a snapshot (Parquet, no secrets) for 'audit --snapshot'.

    Exit code 7: a source could not be read; the snapshot says which.
    """

    examples = """
  $ stackmend snapshot create
  $ stackmend snapshot create --out /var/backups/stackmend/today"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--out", metavar="DIR", help="new folder for the snapshot (default: a dated one in the state folder)"
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Collect, and print its folder and contents."""
        from stackmend.app import snapshots
        from stackmend.report import snapshots as shown

        with self.watch() as progress:
            path, manifest = snapshots.create(self.config(), into=parsed_args.out, progress=progress)
        self.show(shown.snapshot(path, manifest), parsed_args)
        for database, error in sorted(manifest.failed().items()):
            self.notes.warn(f"{database} could not be read: {error}")
        self.notes.next(self.typed("audit", "--snapshot", str(path)))
        return int(Exit.INCOMPLETE if manifest.failed() else Exit.CLEAN)


class SnapshotList(Printing):
    """List the snapshots in the state folder, newest first."""

    examples = """
  $ stackmend snapshot list"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.app import snapshots
        from stackmend.report import snapshots as shown

        found = snapshots.list_snapshots(self.config())
        self.show(shown.snapshots(found), parsed_args)
        if not found:
            self.notes.say("no snapshots yet")
        return int(Exit.CLEAN)


class SnapshotShow(Printing):
    """Show what a snapshot holds: sources, releases, rows, and what could not be read."""

    examples = """
  $ stackmend snapshot show /var/backups/stackmend/today"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("snapshot", metavar="DIR", help="folder or name of a snapshot")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print its table of contents."""
        from stackmend.app import snapshots
        from stackmend.report import snapshots as shown

        path, manifest = snapshots.show(self.config(), parsed_args.snapshot)
        self.show(shown.snapshot(path, manifest), parsed_args)
        return int(Exit.CLEAN)


class SnapshotDiff(Printing):
    """Compare the findings of two snapshots: which are new and which are gone."""

    examples = """
  $ stackmend snapshot diff yesterday today"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("before", metavar="OLD", help="folder or name of a snapshot")
        parser.add_argument("after", metavar="NEW", help="folder or name of a later snapshot")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the differences."""
        from stackmend.app import snapshots
        from stackmend.report import snapshots as shown

        difference = snapshots.diff(self.config(), parsed_args.before, parsed_args.after)
        self.show(shown.difference(*difference), parsed_args)
        return int(Exit.CLEAN)


COMMANDS = {
    "snapshot create": SnapshotCreate,
    "snapshot list": SnapshotList,
    "snapshot show": SnapshotShow,
    "snapshot diff": SnapshotDiff,
}
