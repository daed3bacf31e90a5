# SPDX-License-Identifier: Apache-2.0
"""``upgrade check``: whether the cloud is ready to be upgraded."""

from __future__ import annotations

import argparse

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import add_nice, seconds, spared


class UpgradeCheck(Printing):
    """Say whether the cloud is ready for an upgrade: the services' own upgrade checks and ours; changes nothing.

    Runs 'nova-status upgrade check' and the same of Placement, Cinder, Neutron, Glance and Keystone on this machine, as
    they are found in PATH or configured under [upgrade], and those checks of an audit whose findings make an upgrade
    fail or do harm. Run it with the programs of the release that you upgrade TO, before any service of it is started.

    Exit codes:
      0  nothing blocks the upgrade; there may be warnings
      3  something blocks it: a failure of a program, or a finding
      7  a program gave no answer, or something could not be read: not proven ready
    """

    default_format = TEXT
    examples = """
  $ stackmend upgrade check
  $ stackmend upgrade check --strict            # warnings block, and every program has to be there
  $ stackmend upgrade check --settle 0 -f json > upgrade.json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--strict",
            action="store_true",
            help="warnings block as well (3), and a program that is not installed here has given no answer (7)",
        )
        add_nice(parser)
        parser.add_argument(
            "--settle",
            type=seconds,
            metavar="SECONDS",
            help="seconds to wait before the second look at findings that span databases",
        )
        parser.add_argument(
            "--no-api", action="store_true", help="use the databases only, even if an API is configured"
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Ask everything, and print one report."""
        from stackmend.app.upgrading import gate as upgrading
        from stackmend.report import upgrades
        from stackmend.report.releases import releases
        from stackmend.report.replicas import replicas

        with self.watch() as progress:
            gate = upgrading.check(
                spared(self, self.config(), parsed_args),
                strict=parsed_args.strict,
                settle=parsed_args.settle,
                use_api=not parsed_args.no_api,
                progress=progress,
            )
        self.show(upgrades.upgrade(gate, self.width), parsed_args)
        notes = self.notes
        for source in sorted(gate.report.manifest.sources, key=lambda one: one.database):
            if source.trouble:
                notes.warn(source.trouble)
        known, unknown = releases(gate.report.manifest)
        for line in unknown:
            notes.warn(line)
        for line in (*gate.report.notes, *replicas(gate.report.manifest), *known, upgrades.summary(gate)):
            notes.say(line)
        return int(gate.exit)


COMMANDS = {"upgrade check": UpgradeCheck}
