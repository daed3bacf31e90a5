# SPDX-License-Identifier: Apache-2.0
"""``config``: what is configured, and what was found."""

from __future__ import annotations

import argparse
from pathlib import Path

from stackmend.cli.base import TEXT, Command, Printing
from stackmend.model.errors import Exit


class ConfigShow(Printing):
    """Show the configuration: which databases were found in which files, which file is used, and where files disagree.

    Connects to no database and shows no password. Exit code 2: the configuration cannot be used; the reasons are on
    stderr.
    """

    examples = """
  $ stackmend config show
  $ stackmend --root /tmp/copied-from-controller config show     # files copied from elsewhere
  $ stackmend --layout kolla config show
  $ stackmend config show -f json"""
    default_format = TEXT

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        from stackmend.config.description import describe
        from stackmend.config.settings import survey
        from stackmend.report import config as shown

        config, problems = survey(*self.where(), **self.whose())
        self.show(shown.config(describe(config, problems)), parsed_args)
        for problem in problems:
            self.notes.error(problem)
        return int(Exit.USAGE if problems else Exit.CLEAN)


class ConfigKey(Command):
    """Create a key that signs plans, so that 'plan apply' can tell who made one.

    Writes two files: FILE, the private key, and next to it the public key, whose name ends in .pub. Next to the
    configuration both are found automatically; elsewhere, name them with [plans] key and [plans] trusted. [plans]
    require_signature refuses all plans that are not signed by a trusted key.
    """

    examples = """
  $ stackmend config key
  $ stackmend config key --out /root/reviewer.pem"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--out", metavar="FILE", help="file for the new key (default: plan-key.pem next to the configuration)"
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Make it."""
        from stackmend.drivers.journal import signing

        path = Path(parsed_args.out) if parsed_args.out else self.config().key_folder / "plan-key.pem"
        name = signing.make(path)
        self.notes.say(f"key {name}: {path} signs plans, {path.with_suffix('.pub')} verifies them")
        return int(Exit.CLEAN)


COMMANDS = {"config show": ConfigShow, "config key": ConfigKey}
