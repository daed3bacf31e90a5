# SPDX-License-Identifier: Apache-2.0
"""``snapshot``: the state of the databases at one time, to audit again later."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.commands.diagnose import add_logs, moment
from stackmend.cli.options import add_bundle, add_nice, add_outside, outside_asked, spared
from stackmend.model.errors import Exit

if TYPE_CHECKING:
    from stackmend.app.offline.bundles import Bundle
    from stackmend.config.settings import Config


class SnapshotCreate(Printing):
    """Read the databases into a snapshot (Parquet, no secrets) for 'audit --snapshot'.

    With --logs, the messages of logs are read into it as well: 'diagnose --snapshot' then searches those, as often as
    needed. With --bundle, the dumps of a support bundle take the place of the databases.

    Exit code 7: a source could not be read; the snapshot says which.
    """

    examples = """
  $ stackmend snapshot create
  $ stackmend snapshot create --out /var/backups/stackmend/today
  $ stackmend snapshot create --nice --max-view-seconds 600
  $ stackmend snapshot create --hosts           # also what runs on every hypervisor
  $ stackmend snapshot create --out /srv/cases/4711 --logs /var/log --since 6h
  $ stackmend snapshot create --out /srv/cases/4711 --bundle all-databases.sql.gz"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--out", metavar="DIR", help="new folder for the snapshot (default: a dated one in the state folder)"
        )
        add_bundle(parser, "read")
        add_nice(parser)
        add_outside(parser)
        add_logs(parser, stored=False)
        parser.add_argument(
            "--since", type=moment, metavar="TIME", help="of --logs, only messages since then: 6h, 2026-11-29T10:00"
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Collect, and print its folder and contents."""
        if not parsed_args.bundle:
            config = self.config_if_any() if parsed_args.logs else self.config()
            return self._created(parsed_args, spared(self, config, parsed_args), None)
        from stackmend.app.offline import bundles

        with bundles.opened(self.config_if_any(), parsed_args.bundle) as bundle:
            return self._created(parsed_args, bundle.config, bundle)

    def _created(self, parsed_args: argparse.Namespace, config: Config, bundle: Bundle | None) -> int:
        from stackmend.app import snapshots
        from stackmend.drivers.logs.reader import Window
        from stackmend.report import snapshots as shown

        logs = None
        if parsed_args.logs:
            window = Window(parsed_args.since, parsed_args.until)
            logs = snapshots.LogsAsked(paths=tuple(parsed_args.logs), window=window, offset=parsed_args.utc_offset)
        with self.watch() as progress:
            path, manifest = snapshots.create(
                config,
                into=parsed_args.out,
                progress=progress,
                logs=logs,
                bundle=bundle,
                outside=outside_asked(parsed_args),
            )
        self.show(shown.snapshot(path, manifest), parsed_args)
        for database, error in sorted(manifest.failed().items()):
            self.notes.warn(f"{database} could not be read: {error}")
        if manifest.sources:
            self.notes.next(self.typed("audit", "--snapshot", str(path)))
        if logs is not None:
            self.notes.next(self.typed("diagnose", "server", "SERVER", "--snapshot", str(path)))
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
