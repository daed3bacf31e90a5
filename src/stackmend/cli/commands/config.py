# SPDX-License-Identifier: Apache-2.0
"""``config``: what is configured, and what was found."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from stackmend.cli.base import TEXT, Command, Printing
from stackmend.model.errors import Exit, UsageError

#: what decides where files are: a service has to find the same, from another folder
_FOUND_BY: Mapping[str, Callable[[str], str]] = {
    "STACKMEND_STATE": os.path.abspath,
    "STACKMEND_ROOT": os.path.abspath,
    "STACKMEND_LAYOUT": str,
}


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
        from stackmend.report.setup import config as shown

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


class ConfigGrants(Printing):
    """Print the GRANT statements for the two accounts: the least that all audits and all repairs need.

    The reader gets SELECT on the tables and columns that checks and repairs read, without those that hold secrets; the
    writer also INSERT, UPDATE and DELETE on the tables that repairs change. REFERENCES shows which tables and columns
    there are, and none of their values: without it, a hidden table could not be told from a missing one.

    Tables and columns differ between releases, so the servers are asked, with the accounts of the configuration. If
    your reader does not exist yet, run this on a controller without --config: it uses the accounts of the services.
    Exit code 7: some database could not be looked at.
    """

    examples = """
  $ stackmend config grants
  $ stackmend config grants --reader auditor --writer mender --host '10.0.0.%' > grants.sql
  $ stackmend config grants -f json"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("--reader", metavar="USER", help="account that audits and plans (default: the configured)")
        parser.add_argument("--writer", metavar="USER", help="account that applies plans (default: the configured)")
        parser.add_argument(
            "--host", metavar="PATTERN", default="%", help="hosts that the accounts connect from (default: %%)"
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.app.privileges import grants as rights
        from stackmend.report.setup import rights as shown

        found = rights.grants(self.config(), parsed_args.reader, parsed_args.writer, parsed_args.host)
        self.show(shown.granting(found.grants), parsed_args)
        return self._unread(found.unread)

    def _unread(self, unread: Mapping[str, str]) -> int:
        for database, why in unread.items():
            self.notes.warn(f"nothing can be said of database {database}: {why}")
        return int(Exit.INCOMPLETE if unread else Exit.CLEAN)


class ConfigCheck(ConfigGrants):
    """Check that the accounts of the configuration have every privilege they need, and name those that are missing.

    The servers themselves are asked, table by table, whether each statement would be allowed; nothing is executed. The
    accounts have everything: exit code 0. Otherwise 7, and the statements that grant what is missing are printed.
    """

    examples = """
  $ stackmend config check
  $ stackmend config check -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """None."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Ask, and print what is missing."""
        from stackmend.app.privileges import grants as rights
        from stackmend.report.setup import rights as shown

        found = rights.missing(self.config())
        self.show(shown.lacking(found.grants, whole=not found.unread), parsed_args)
        return self._unread(found.unread) or int(Exit.INCOMPLETE if found.grants else Exit.CLEAN)


class ConfigSystemd(Printing):
    """Print a service and a timer for systemd that audit the cloud every night, or write them into a folder.

    The service runs 'stackmend audit --nice' with the configuration that this command was given. It writes the journal
    and nothing else; 'stackmend finding list' shows what the last audit found, and the unit fails only if an audit
    could not be completed.
    """

    examples = """
  $ stackmend config systemd
  $ stackmend config systemd --user stackmend --on-calendar 'Mon..Fri 02:15'
  $ stackmend --config /etc/stackmend/cloud.toml config systemd --out /etc/systemd/system"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--user",
            default="root",
            help="account that audits; it must be able to read the configuration (default: root)",
        )
        parser.add_argument(
            "--on-calendar", metavar="WHEN", default="*-*-* 03:30:00", help="as in systemd.time(7) (default: at 3:30)"
        )
        parser.add_argument("--out", metavar="DIR", help="write both files into this folder, which exists")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them, or write them."""
        from stackmend.report.setup import units as shown

        config, (path, root) = self.config(), self.where()
        path = path or ("" if root else os.environ.get("STACKMEND_CONFIG", ""))
        front = ["--config", str(Path(path).resolve())] if path else []
        front += ["--root", str(root.resolve())] if root else []
        front += ["--layout", layout] if (layout := self.option("layout")) else []
        script = Path(sys.executable).with_name("stackmend")
        program = [str(script)] if script.is_file() else [sys.executable, "-m", "stackmend"]
        made = shown.units(
            [*program, *front, "audit", "--nice"],
            user=parsed_args.user,
            written=config.written_folders,
            calendar=parsed_args.on_calendar,
            environment={name: given(value) for name, given in _FOUND_BY.items() if (value := os.environ.get(name))},
        )
        for folder in config.written_folders:
            if not folder.is_dir():
                self.notes.warn(f"{folder} does not exist: install -d -m 700 -o {parsed_args.user} {folder}")
        if parsed_args.out is None:
            self.show(made, parsed_args)
            return int(Exit.CLEAN)
        for unit in made.data:
            place = Path(parsed_args.out) / unit["file"]
            try:
                place.write_text(unit["text"], encoding="utf-8")
            except OSError as problem:
                raise UsageError(
                    f"{place} cannot be written: {problem.strerror}", "--out names a folder that exists."
                ) from None
            self.notes.say(f"wrote {place}")
        self.notes.say("next: systemctl daemon-reload && systemctl enable --now stackmend-audit.timer")
        return int(Exit.CLEAN)


COMMANDS = {
    "config show": ConfigShow,
    "config key": ConfigKey,
    "config grants": ConfigGrants,
    "config check": ConfigCheck,
    "config systemd": ConfigSystemd,
}
