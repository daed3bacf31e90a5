# SPDX-License-Identifier: Apache-2.0
"""Finds commands by walking :mod:`stackmend.cli.commands`, and imports only the noun that is used.

cliff's own way, entry points, reads the metadata of every installed distribution, which takes longer than the whole
help text may take (docs/adr/0001). Only the ``openstack`` plugin uses entry points.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from cliff.command import Command
from cliff.commandmanager import CommandManager, EntryPointWrapper

from stackmend.cli import commands


class Commands(CommandManager):
    """The commands of this program; a new noun is a new file and edits nothing."""

    def nouns(self) -> list[str]:
        """Names of the modules and packages of commands: ``audit``, ``host``."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__) if module.name[0] != "_")

    def load_noun(self, noun: str) -> None:
        """Import the module of a noun, or every module of its package, and add their commands."""
        module = importlib.import_module(f"{commands.__name__}.{noun}")
        if not hasattr(module, "COMMANDS"):
            for info in pkgutil.iter_modules(module.__path__):
                self.load_noun(f"{noun}.{info.name}")
            return
        for name, command in module.COMMANDS.items():
            self.add_command(name, command)

    def load_all(self) -> None:
        """Import every module: for help and completion."""
        for noun in self.nouns():
            self.load_noun(noun)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        self.load_all()
        return iter(sorted(self.commands.items()))

    def get_command_names(self, group: str | None = None) -> list[str]:
        """Full names of all commands."""
        return [name for name, _ in self]

    def find_command(self, argv: list[str]) -> tuple[type[Command], str, list[str]]:
        """The class, its name and the rest of ``argv``; ValueError when there is no such command."""
        noun = argv[0].replace("-", "_") if argv else ""
        if noun in self.nouns():
            self.load_noun(noun)
        elif argv and argv[0] not in self.commands:
            self.load_all()
        found: tuple[type[Command], str, list[str]] = super().find_command(argv)
        return found

    def add_command(self, name: str, command_class: type[Command]) -> None:
        """Add a command, again if need be."""
        self.commands[name] = EntryPointWrapper(name, command_class)
