# SPDX-License-Identifier: Apache-2.0
"""Completion for bash, zsh and fish: their scripts ask this program for candidates (docs/adr/0036).

Names in a cloud (of hosts) become part of a command line: only plain words are offered.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliff import command

from stackmend.model.errors import Exit, StackmendError

if TYPE_CHECKING:
    from stackmend.config.settings import Config

#: (word, what it is)
Suggestion = tuple[str, str]
#: the line that stands for: names of files
FILES = ":files"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@%+:/-]*")
#: timeout of a database, in seconds, when the user presses TAB
_PATIENCE = 2.0

_BASH = """\
_stackmend() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then compopt -o default; return; fi
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(command stackmend complete --line "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _stackmend stackmend
"""
_ZSH = """\
#compdef stackmend
_stackmend() {
    local line
    local -a found shown
    for line in ${(f)"$(command stackmend complete --line "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
        if [[ $line == ":files" ]]; then _files; return; fi
        found+=("${line%%$'\\t'*}")
        shown+=("${line/$'\\t'/  -- }")
    done
    compadd -Q -U -l -d shown -a found
}
compdef _stackmend stackmend
"""
_FISH = """\
function __stackmend_complete
    set -l words (commandline -opc) "$(commandline -ct)"
    for line in (command stackmend complete --line $words[2..] 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
        else
            printf '%s\\n' $line
        end
    end
end
complete -c stackmend -f -a '(__stackmend_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


class Complete(command.Command):
    """print completion for a shell: source <(stackmend complete bash)."""

    def _load_hooks(self) -> None:
        self._hooks: list[Any] = []

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The shell, or the words to complete."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "shell", nargs="?", choices=tuple(SCRIPTS), default="bash", help="bash (default), zsh or fish"
        )
        parser.add_argument(
            "--line",
            nargs=argparse.REMAINDER,
            help="used by the completion scripts: the words so far, the last one incomplete",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the script, or the candidates."""
        if parsed_args.line is None:
            print(SCRIPTS[parsed_args.shell], end="", file=self.app.stdout)
            return int(Exit.CLEAN)
        for word, what in Line(self.app, parsed_args.line or [""]).words():
            print(f"{word}\t{what}" if what else word, file=self.app.stdout)
        return int(Exit.CLEAN)


class Line:
    """A command line that is being typed."""

    def __init__(self, shell: Any, words: Sequence[str]) -> None:
        from stackmend.cli.shell import front

        self._shell = shell
        self._last = words[-1]
        self._front = front(words[:-1])
        self._rest = list(words[len(self._front) : -1])

    def words(self) -> Iterator[Suggestion]:
        """The candidates that match what was typed; a single (FILES, "") if a file name is expected."""
        for word, what in self._next():
            if word == FILES or (word.startswith(self._last) and word.isprintable()):
                yield (word if _PLAIN.fullmatch(word) or word == FILES or word[:1] == "-" else shlex.quote(word)), what

    def _next(self) -> Iterable[Suggestion]:
        parser = self._shell.parser
        option = _option(parser, self._front[-1]) if self._front and not self._rest else None
        if option is not None and option.nargs != 0:
            return self._values(option)
        name = self._command()
        if name is None:
            return _options(parser) if self._last.startswith("-") and not self._rest else self._commands()
        if name == "help":
            self._rest = self._rest[1:]
            return self._commands()
        factory, _, given = self._shell.command_manager.find_command(self._rest)
        return self._arguments(factory(self._shell, None, cmd_name=name).get_parser(name), given)

    def _command(self) -> str | None:
        """The command, if typed in full."""
        names = set(self._shell.command_manager.get_command_names())
        typed = (" ".join(self._rest[:end]) for end in range(len(self._rest), 0, -1))
        return next((name for name in typed if name in names), None)

    def _commands(self) -> Iterator[Suggestion]:
        """The next word of every command that begins as typed."""
        known: dict[str, str] = {}
        for name, entry in self._shell.command_manager:
            words = name.split()
            at = len(self._rest)
            if words[:at] == self._rest and len(words) > at:
                last = len(words) == at + 1
                known.setdefault(words[at], (entry.load().__doc__ or "").strip().split("\n")[0] if last else "")
        yield from known.items()

    def _arguments(self, parser: argparse.ArgumentParser, given: Sequence[str]) -> Iterable[Suggestion]:
        """Options, the value of one, or the next argument."""
        positionals = [action for action in parser._actions if not action.option_strings]
        waiting: argparse.Action | None = None
        for word in given:
            if waiting is not None:
                waiting = None
            elif (option := _option(parser, word)) is not None:
                waiting = option if option.nargs != 0 else None
            elif positionals and not word.startswith("-"):
                positionals.pop(0)
        if waiting is not None:
            return self._values(waiting)
        if self._last.startswith("-") or not positionals:
            return _options(parser)
        return self._values(positionals[0])

    def _values(self, action: argparse.Action) -> Iterable[Suggestion]:
        """Values of an option or argument, chosen by the name that its help gives them."""
        if action.choices is not None:
            return ((str(choice), "") for choice in action.choices)
        if action.metavar in ("FILE", "DIR"):
            return ((FILES, ""),)
        kind = next((kind for kind, names in _KINDS.items() if action.dest in names or action.metavar == kind), "")
        source = _SOURCES.get(kind)
        return source(self) if source else ()

    def config(self) -> Config:
        """The configuration given on the line, with a short timeout."""
        from dataclasses import replace

        from stackmend.config.settings import load

        options, _ = self._shell.parser.parse_known_args(self._front)
        found = load(options.config, Path(options.root) if options.root else None, layout=options.layout)
        return replace(found, database_timeout=_PATIENCE)


def _option(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    return next((action for action in parser._actions if word in action.option_strings), None)


def _options(parser: argparse.ArgumentParser) -> Iterator[Suggestion]:
    for action in parser._actions:
        if action.option_strings and action.help != argparse.SUPPRESS:
            yield action.option_strings[-1], action.help or ""


def _pages(names: Iterable[str]) -> Iterator[Suggestion]:
    from stackmend.engine.auditing import catalogue

    pages = catalogue.pages()
    yield from ((name, pages[name].split("\n", 1)[0]) for name in sorted(names))


def _checks(_line: Line) -> Iterator[Suggestion]:
    from stackmend.engine.auditing import catalogue

    return _pages(catalogue.every_check())


def _areas(_line: Line) -> Iterator[Suggestion]:
    from stackmend.engine.auditing import catalogue

    return ((area, "") for area in sorted(set(catalogue.areas().values())))


def _repairs(_line: Line) -> Iterator[Suggestion]:
    from stackmend.engine.auditing import catalogue

    return _pages(catalogue.repairs())


def _hosts(line: Line) -> Iterator[Suggestion]:
    from stackmend.app.names import hosts

    with suppress(StackmendError):
        yield from ((name, "") for name in hosts(line.config()) if _PLAIN.fullmatch(name))


def _runs(line: Line) -> Iterator[Suggestion]:
    from stackmend.app.runs import list_runs

    with suppress(StackmendError):
        yield from ((run.id, f"{run.kind}, {run.state.value}") for run in list_runs(line.config(), limit=50))


#: what a value is -> names of the options and arguments that take one
_KINDS = {
    "AREA": ("area",),
    "CHECK": ("check",),
    "REPAIR": ("repair", "accept"),
    "HOST": ("host", "to", "overrule"),
    "RUN": ("run",),
}
_SOURCES: dict[str, Callable[[Line], Iterator[Suggestion]]] = {
    "AREA": _areas,
    "CHECK": _checks,
    "REPAIR": _repairs,
    "HOST": _hosts,
    "RUN": _runs,
}
