# SPDX-License-Identifier: Apache-2.0
"""``server console``: what a guest writes to its serial console, and waiting until it writes something."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import add_object, seconds, whole
from stackmend.model.errors import Exit, UsageError

if TYPE_CHECKING:
    from stackmend.app.objects.consoles import Console

#: what can be waited for -> how that is called
_WAITS = {"login": "a login prompt", "panic": "a kernel panic", "fsck": "a failed fsck"}
_CODES = {"found": Exit.CLEAN, "worse": Exit.FINDINGS, "timeout": Exit.STOPPED, "over": Exit.STOPPED}
_TIMEOUT = 300.0


class ServerConsole(Printing):
    """Show the last lines of a guest's console, or wait until it shows a login prompt, a panic, or an fsck.

    Reads the console log through Nova, and types nothing into it. Nova returns the last 100 KiB at most, with those of
    rotated files; escape sequences and control characters are removed. What earlier boots have written is in it, too:
    after a reboot wait with --new.

    Exit codes with --wait:
      0  it shows what was waited for
      3  it shows something worse: a panic, fsck, emergency shell, or no bootable disk
      5  it did not within --timeout, or the guest was stopped or deleted meanwhile
      7  there is no console log, or Nova does not answer
    A login prompt ends no wait for panic or fsck: these may come later. Without --wait: 3 if the last thing that the
    console shows is one of these troubles, else 0.
    """

    default_format = TEXT
    examples = """
  $ stackmend server console web-1
  $ stackmend server console web-1 --tail 200 -f json
  $ stackmend server console web-1 --wait login --new --timeout 120
  $ stackmend server console web-1 --wait panic --timeout 600 -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "server", "server", help="the server, by name or id")
        parser.add_argument("--wait", choices=tuple(_WAITS), help="wait until the console shows this")
        parser.add_argument(
            "--timeout", type=seconds, metavar="SECONDS", help=f"longest wait (default: {_TIMEOUT:g}); 0: look once"
        )
        parser.add_argument("--new", action="store_true", help="do not count what the console shows already")
        parser.add_argument("--tail", type=whole, default=20, metavar="N", help="print the last N lines (default: 20)")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the lines; the exit code says what they show."""
        from stackmend.app.objects import consoles
        from stackmend.report.objects import consoles as shown

        if parsed_args.wait is None:
            if parsed_args.new or parsed_args.timeout is not None:
                raise UsageError("--new and --timeout go with --wait", "Name what to wait for: --wait login.")
            found = consoles.show(self.config(), parsed_args.server, parsed_args.tail)
            self.show(shown.console(found), parsed_args)
            self._say(found)
            return int(Exit.FINDINGS if found.shows not in ("", "login") else Exit.CLEAN)
        found = consoles.wait(
            self.config(),
            parsed_args.server,
            parsed_args.wait,
            tail=parsed_args.tail,
            limit=_TIMEOUT if parsed_args.timeout is None else parsed_args.timeout,
            new=parsed_args.new,
        )
        self.show(shown.console(found), parsed_args)
        self._say(found)
        return int(_CODES[found.outcome])

    def _say(self, found: Console) -> None:
        """Report the result in a sentence."""
        shows = f"it shows {found.words}" if found.words else "it shows neither login prompt nor trouble"
        if found.outcome in ("timeout", "over"):
            waited = f"no {_WAITS[found.wait].partition(' ')[2]} within {found.seconds:g} s"
            self.notes.warn(f"{waited}: {found.reason or shows}")
        else:
            self.notes.say(f"after {found.seconds:g} s {shows}" if found.wait else found.reason or shows)


COMMANDS = {"server console": ServerConsole}
