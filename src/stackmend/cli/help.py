# SPDX-License-Identifier: Apache-2.0
"""Help for commands and groups of commands, and suggestions for unknown ones."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from cliff import help as cliff_help

from stackmend.cli.notes import Notes
from stackmend.model.errors import Exit
from stackmend.report.words import wrapped

if TYPE_CHECKING:
    from stackmend.cli.shell import Shell

#: commands that are suggested
_SOME = 6


class Help(cliff_help.HelpCommand):
    """print help for a command or a group of commands."""

    def _load_hooks(self) -> None:
        self._hooks: list[Any] = []

    def get_epilog(self) -> str:
        """None."""
        return ""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it; for an unknown command, suggest the nearest ones."""
        if not parsed_args.cmd:
            self.app.parser.parse_args(["--help"])
        return explain(self.app, parsed_args.cmd)


def explain(shell: Shell, words: Sequence[str]) -> int:
    """Print the help of a command or of a group; the exit code."""
    try:
        factory, name, rest = shell.command_manager.find_command(list(words))
    except ValueError:
        listed = group(shell, words)
        return unknown(shell, words) if listed is None else listed
    if rest:
        return unknown(shell, words)
    factory(shell, shell.options, cmd_name=name).get_parser(f"{shell.NAME} {name}").print_help(shell.stdout)
    return int(Exit.CLEAN)


def group(shell: Shell, words: Sequence[str]) -> int | None:
    """Print the commands that begin with these words; None if there are none."""
    front = " ".join(words)
    if not (lines := listing(shell, f"{front} ")):
        return None
    print(f"Commands of '{shell.NAME} {front}':\n" + "\n".join(lines), file=shell.stdout)
    print(f"\n'{shell.NAME} help {front} ...' explains a command.", file=shell.stdout)
    return int(Exit.CLEAN)


def listing(shell: Shell, front: str = "") -> list[str]:
    """The commands whose names begin with ``front``, each with its summary, as wide as the terminal."""
    found = {name: entry for name, entry in shell.command_manager if name.startswith(front)}
    width = max(map(len, found), default=0)
    columns = shutil.get_terminal_size().columns
    lines = []
    for name, entry in found.items():
        summary = (entry.load().__doc__ or "").strip().splitlines()[0]
        text = f"{summary[0].lower()}{summary[1:].rstrip('.')}"
        lines += wrapped(text, columns, f"  {name:<{width}}  ", " " * (width + 4))
    return lines


def unknown(shell: Shell, argv: Sequence[str]) -> int:
    """Report an unknown command, and suggest similar ones."""
    words = [] if argv[0].startswith("-") else [word for word in argv if not word.startswith("-")]
    asked = " ".join(words[:2])
    near = _near(shell, words) if words else []
    message = f"there is no command '{asked}'" if words else f"'{argv[0]}' is not an option of stackmend itself"
    hint = f"Did you mean: {', '.join(near)}?" if near else "'stackmend --help' lists the commands."
    Notes(shell.stderr).fail(message, hint)
    return int(Exit.USAGE)


def _near(shell: Shell, words: Sequence[str]) -> list[str]:
    """The commands of that name, else those with a similar name, else those whose help mentions it."""
    names = shell.command_manager.get_command_names()
    below = [name for name in names if name.split()[0] == words[0]]
    if len(words) == 1 and below:
        return below
    nouns = [] if below else get_close_matches(words[0], {name.split()[0] for name in names})
    if meant := [name for name in (" ".join((noun, *words[1:2])) for noun in nouns) if name in names]:
        return meant
    if nouns:
        return nouns
    if close := get_close_matches(" ".join(words), names, 3) or get_close_matches(" ".join(words[:2]), names, 3):
        return close
    if below:
        return below
    spoken = re.compile(rf"\b{re.escape(words[0])}s?\b", re.IGNORECASE)
    return [name for name, entry in shell.command_manager if spoken.search(entry.load().__doc__ or "")][:_SOME]


def option_like(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """A suggestion for a misspelt option on the command line, or ""."""
    known = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    for word in words:
        if word.startswith("--") and (close := get_close_matches(word.partition("=")[0], known, 1)):
            return f"Did you mean: {close[0]}?"
    return ""
