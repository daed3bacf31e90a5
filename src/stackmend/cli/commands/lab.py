# SPDX-License-Identifier: Apache-2.0
"""``lab``: a real control plane on this machine, to rehearse on."""

from __future__ import annotations

import argparse
import os
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackmend import __version__
from stackmend.cli.base import Command, Printing
from stackmend.model.errors import Exit, UsageError
from stackmend.tables.releases import RELEASES, named

if TYPE_CHECKING:
    from stackmend_lab.control_plane import Plane


def require_lab() -> None:
    """UsageError unless the lab, a distribution of its own, is installed in this version."""
    try:
        import stackmend_lab
    except ModuleNotFoundError as missing:
        if missing.name != "stackmend_lab":
            raise
        raise UsageError("the lab is not installed", "Install it: pip install 'stackmend[lab]'") from None
    if stackmend_lab.__version__ != __version__:
        raise UsageError(
            f"the installed lab has version {stackmend_lab.__version__}, stackmend has {__version__}",
            f"Install the same version: pip install 'stackmend[lab]=={__version__}'",
        )


class _Lab(Command):
    """A command on one lab."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add ``--folder``."""
        parser.add_argument(
            "--folder",
            metavar="DIR",
            help="folder of the lab (default: $STACKMEND_LAB, else ~/.local/share/stackmend/lab)",
        )
        super().add_arguments(parser)

    def plane(self, parsed_args: argparse.Namespace, **more: Any) -> Plane:
        """The lab that is meant."""
        require_lab()
        from stackmend_lab.control_plane import Plane, default_folder

        return Plane(Path(parsed_args.folder) if parsed_args.folder else default_folder(), **more)

    def typed_lab(self, parsed_args: argparse.Namespace, *words: str) -> str:
        """A command line about the same lab."""
        return self.typed("lab", *words, *(("--folder", parsed_args.folder) if parsed_args.folder else ()))


class LabUp(_Lab):
    """Bring up a real control plane with fake hypervisors, or complete an existing one.

    Keystone, Glance, Placement, Nova, Neutron and Cinder of the newest release, or of the one named, run as plain
    processes with MariaDB and RabbitMQ of their own, everything in one folder. Whatever is missing is installed, built,
    started and seeded; the rest is left alone. Needs 3 GiB of memory, root (or sudo) only for Debian packages, and the
    lab itself: pip install 'stackmend[lab]'.
    """

    examples = """
  $ stackmend lab up
  $ stackmend lab up --folder /srv/lab --hosts 6 --cells 3
  $ stackmend lab up --release caracal --folder /srv/caracal
  $ stackmend lab up --glances 2        # an image is on the node that took it, and on no other"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--hosts", type=int, metavar="N", help="compute hosts (default: 4, or as many as there are)"
        )
        parser.add_argument("--cells", type=int, metavar="N", help="cells with hosts (default: 2); a lab keeps its own")
        parser.add_argument(
            "--glances",
            type=int,
            metavar="N",
            help="nodes of Glance with stores of their own, behind a balancer (default: 1, or as many as there are)",
        )
        parser.add_argument(
            "--release",
            type=named,
            choices=RELEASES,
            metavar="REL",
            help="release of the services: 2026.2 or 2024.1 (default: the newest); a lab keeps its own",
        )
        parser.add_argument(
            "--services",
            metavar="DIR",
            help="environment with the services (default: $STACKMEND_SERVICES, which are the newest, a checkout's"
            " .services, or a new one)",
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Bring it up and say how to use it."""
        asked = {name: getattr(parsed_args, name) for name in ("hosts", "cells", "services", "glances", "release")}
        plane = self.plane(parsed_args, **asked)
        begun = time.monotonic()
        plane.up(lambda text: self.notes.say(f"{time.monotonic() - begun:5.0f} s  {text}"))
        self.notes.say(f"the lab in {plane.folder} is up, after {time.monotonic() - begun:.0f} s")
        self.notes.next(self.typed_lab(parsed_args, "shell"), f"stackmend --config {plane.toml} audit")
        return int(Exit.CLEAN)


class LabDown(_Lab):
    """Stop all processes of the lab; its databases are kept."""

    examples = """
  $ stackmend lab down
  $ stackmend lab down --remove"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("--remove", action="store_true", help="also remove its folder with all contents")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Stop it."""
        plane = self.plane(parsed_args)
        plane.down(self.notes.say, remove=parsed_args.remove)
        self.notes.say(f"the lab in {plane.folder} is {'removed' if parsed_args.remove else 'down'}")
        return int(Exit.CLEAN)


class LabStatus(_Lab, Printing):
    """Show every service of the lab, its process and its log, and how to access its databases.

    The file named for SQL has the socket, the account and its password; the databases have the services' usual names
    (``show databases``).

    Exit code 0 if all services run, otherwise 1.
    """

    examples = """
  $ stackmend lab status
  $ stackmend lab status -f json"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Show it."""
        from stackmend.report.document import Document

        plane = self.plane(parsed_args)
        states = plane.status()
        data = [asdict(state) | {"log": str(state.log)} for state in states]
        columns = tuple((name.capitalize(), name) for name in ("name", "state", "pid", "port", "log"))
        self.show(Document(data=data, columns=columns), parsed_args)
        down = [state.name for state in states if state.state != "running"]
        self.notes.say(f"{len(states) - len(down)} of {len(states)} services are running")
        self.notes.say(f"SQL: mariadb --defaults-file={shlex.quote(str(plane.layout.client))} nova_cell1")
        if down:
            self.notes.next(self.typed_lab(parsed_args, "up"))
        return int(Exit.ERROR if down else Exit.CLEAN)


class LabRestart(_Lab):
    """Restart one service of the lab, and wait until everything is up again."""

    examples = """
  $ stackmend lab restart nova-compute-c01
  $ stackmend lab restart neutron-rpc"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the service."""
        parser.add_argument("service", metavar="SERVICE", help="its name, as 'stackmend lab status' shows it")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Restart it."""
        plane = self.plane(parsed_args)
        plane.restart(parsed_args.service, self.notes.say)
        self.notes.say(f"{parsed_args.service} of the lab in {plane.folder} was restarted, and everything is up")
        return int(Exit.CLEAN)


class LabShell(_Lab):
    """Open a shell in which openstack and stackmend talk to the lab; its prompt begins with "(lab)".

    Sets OS_CLIENT_CONFIG_FILE, OS_CLOUD and STACKMEND_CONFIG, and adds the services' programs to PATH. The exit code
    is the shell's.
    """

    examples = """
  $ stackmend lab shell
  $ stackmend lab shell -c 'openstack server list'
  $ stackmend lab shell -c 'stackmend audit'"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("-c", dest="line", metavar="CMD", help="run this command line instead")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Run it and wait for its end."""
        import subprocess

        plane = self.plane(parsed_args)
        from stackmend_lab.control_plane.prompt import prompting

        shell = os.environ.get("SHELL") or "/bin/sh"
        words, more = (("-c", parsed_args.line), {}) if parsed_args.line else prompting(shell, plane.layout.state)
        outcome = subprocess.run(  # noqa: S603 - the shell of whoever called, with the line they typed
            [shell, *words],
            env={**os.environ, **plane.shell_environment(), **more},
            check=False,
        )
        # as a shell says it of a program that a signal ended
        return outcome.returncode if outcome.returncode >= 0 else 128 - outcome.returncode


class LabBreak(_Lab, Printing):
    """Break something on the lab as it breaks in production; without a name, list what can be broken.

    "service": services do it, or are killed in the middle of it. "sql": an SQL statement does it, if no other way is
    known. The damage then looks three hours old, because checks ignore operations that may still be in progress.
    """

    examples = """
  $ stackmend lab break
  $ stackmend lab break volume-stuck-detaching
  $ stackmend lab break volume-stuck-detaching:mapping_gone  # a plant of the embedded cloud, by its variant"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("name", nargs="?", metavar="NAME", help="the break")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """List or break."""
        require_lab()
        from stackmend.report.document import Document
        from stackmend_lab import breaks

        if parsed_args.name is None:
            data: Any = [asdict(entry) | {"also": list(entry.also)} for entry in breaks.breaks()]
            columns = (("Name", "name"), ("How", "how"), ("Found by", "check"), ("What happens", "summary"))
            self.show(Document(data=data, columns=columns), parsed_args)
            return int(Exit.CLEAN)
        plane = self.plane(parsed_args)
        plane.layout  # noqa: B018 - says that there is no lab, before anything else
        key = breaks.make(plane, parsed_args.name)
        entry = breaks.find(parsed_args.name).BREAK
        data = {"name": entry.name, "how": entry.how, "check": entry.check, "also": list(entry.also), "key": key}
        columns = (("Name", "name"), ("How", "how"), ("Found by", "check"), ("Key", "key"))
        self.show(Document(data=data, columns=columns), parsed_args)
        self.notes.next(f"stackmend --config {plane.toml} audit --check {entry.check}")
        return int(Exit.CLEAN)


class LabHeal(_Lab):
    """Undo what breaks did to the services of the lab, but not in the databases.

    Levers are released, options reset, forced_down is unset, stopped services are started. The rows are left for
    stackmend to repair.
    """

    examples = """
  $ stackmend lab heal"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Heal."""
        plane = self.plane(parsed_args)
        plane.layout  # noqa: B018 - says that there is no lab, before anything else
        from stackmend_lab import breaks

        breaks.heal(plane, self.notes.say)
        self.notes.say(f"the services of the lab in {plane.folder} are healthy")
        return int(Exit.CLEAN)


COMMANDS = {
    "lab up": LabUp,
    "lab down": LabDown,
    "lab status": LabStatus,
    "lab break": LabBreak,
    "lab heal": LabHeal,
    "lab restart": LabRestart,
    "lab shell": LabShell,
}
