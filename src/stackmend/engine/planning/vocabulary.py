# SPDX-License-Identifier: Apache-2.0
"""What a repair or a workflow of this version can ask for at all, derived from its source code instead of a list.

It cannot yield a table, a column or an operation that occurs neither in its module nor in the helpers it imports.
Commands on hosts are recognised by their scripts: those contained in the modules of workflows and hosts, and those that
a module composes and can recognise (``own_command``). This is a coarse filter that needs no database: when a plan is
applied, the repair also plans again (:mod:`stackmend.engine.planning.replan`).
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import pkgutil
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType

import stackmend.hosts
import stackmend.workflows
from stackmend.engine.auditing import catalogue
from stackmend.model.snapshot import CELL
from stackmend.model.step import ApiCall, BumpRow, DeleteRow, HostCommand, InsertRow, Step, UpdateRow
from stackmend.model.values import texts

#: packages from which repairs and workflows are built
_OURS = (
    "stackmend.repairs", "stackmend.workflows", "stackmend.hosts", "stackmend.cloud", "stackmend.tables",
    "stackmend.model.operations",
)  # fmt: skip
#: a host name as passed to hooks
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.:%-]*"
_SHELL = ("sh", "-c")
#: minimum length of a text to count as a script rather than a word
_SCRIPT = 8

Settings = Mapping[str, object]


def foreign(name: str, step: Step) -> str:
    """What in a step the repair or workflow of this name cannot have asked for, or "" (commands: :func:`command`)."""
    known = words(name)
    if isinstance(step, UpdateRow | InsertRow | DeleteRow | BumpRow):
        if not {step.table, step.table.removeprefix("shadow_")} & known:
            return f"{name} does not touch {step.table}"
        if not step.database.startswith(CELL) and step.database not in known:
            return f"{name} does not touch {step.table} of {step.database}"
        columns = step.after if isinstance(step, UpdateRow) else [step.column] if isinstance(step, BumpRow) else ()
        unknown = sorted(set(columns) - known)
        return f"{name} does not change {step.table}.{unknown[0]}" if unknown else ""
    if isinstance(step, ApiCall):
        if step.name not in known:
            return f"{name} does not call {step.name} of {step.service}"
        return foreign(name, step.inverse) if step.inverse is not None else ""
    return ""


def command(name: str, step: HostCommand, settings: Settings | None, *, vouched: bool) -> str:
    """Why the workflow of this name would not run this command on a host, or "".

    ``settings`` are those of :class:`stackmend.model.workflow.Sight`, None if unknown: then hooks and access to hosts
    are not judged. ``vouched``: accept commands supplied by the maker of the plan.
    """
    if name not in catalogue.workflows():
        return f"{name} runs no commands on hosts"
    if settings is not None and step.host and not settings.get("hosts.transport") and not settings.get("hosts.local"):
        return f"it runs a command on {step.host}, and no way to hosts is configured ([hosts])"
    for argv in (step.argv, step.probe, step.inverse or ()):
        if argv and (why := _Commands(name, settings, vouched).refused(tuple(argv))):
            return why
    return ""


@cache
def words(name: str) -> frozenset[str]:
    """Every text in the source of a repair or a workflow, and in what it uses of our other modules."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    todo = [(_module_of(name), every) for every in _source(_module_of(name)).parts]
    while todo:
        place = todo.pop()
        source = _source(place[0])
        if place in seen or place[1] not in source.parts:
            continue
        seen.add(place)
        for part in source.parts[place[1]]:
            for node in ast.walk(part):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
                    if node.value in catalogue.repairs():
                        # a workflow may contain the steps of a repair
                        todo += [(_module_of(node.value), every) for every in _source(_module_of(node.value)).parts]
                elif isinstance(node, ast.keyword) and node.arg:
                    found.add(node.arg)
                else:
                    todo += source.used(node)
    return frozenset(found)


class _Source:
    """A module by its top-level names: what each is made of, and which of them come from another module of ours."""

    def __init__(self, module: str) -> None:
        self._module = module
        self.parts: dict[str, list[ast.AST]] = {}
        self._imported: dict[str, tuple[str, str]] = {}  #: name -> (module, name there, "" for the module itself)
        for node in ast.iter_child_nodes(_tree(module)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(_OURS):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    self._imported[alias.asname or alias.name] = (
                        (inner, "") if _is_module(inner) else (node.module, alias.name)
                    )
            for top in _tops(node):
                self.parts.setdefault(top, []).append(node)

    def used(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        """(module, name) that a node refers to."""
        if isinstance(node, ast.Name):
            yield self._imported.get(node.id, (self._module, node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module, name = self._imported.get(node.value.id, ("", "-"))
            if not name:
                yield module, node.attr


def _tops(node: ast.AST) -> Iterator[str]:
    """Names that a top-level statement defines; "" if it defines none."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))
    else:
        yield ""


@cache
def scripts() -> frozenset[str]:
    """Every script that is a constant in a module of workflows or hosts."""
    return frozenset(
        text
        for module in _commanding_modules()
        for value in vars(module).values()
        for text in (value.values() if isinstance(value, dict) else (value,))
        if isinstance(text, str) and len(text) >= _SCRIPT and any(mark in text for mark in " \n")
    )


class _Commands:
    """Recognises the commands of one workflow."""

    def __init__(self, name: str, settings: Settings | None, vouched: bool) -> None:
        self._name, self._settings, self._vouched = name, settings, vouched

    def refused(self, argv: tuple[str, ...]) -> str:
        """Why this argument vector is not a command of the workflow, or ""."""
        if self._hook(argv) or (self._settings is None and not _is_script(argv)):
            return ""
        inner = self._unwrapped(argv, "hosts.container")
        if any(own(argv) or own(inner) for own in _own_commands()):
            return ""
        if _is_script(inner) and inner[2] in scripts():
            return self._arguments(inner[2], inner[4:])
        if inner in _literal_commands():
            return ""
        # a line of this machine, by way of which a probe gets to a host
        if _is_script(argv) and len(argv) == len(_SHELL) + 1 and (self._settings is not None or _holds_ours(argv[-1])):
            return self._line(argv[-1])
        if self._vouched and _is_script(inner):
            return f"it runs a script that {self._name} does not have"
        return f"it runs {shlex.join(argv)[:80]!r}, which {self._name} does not"

    def _arguments(self, script: str, given: tuple[str, ...]) -> str:
        """A script may run its own arguments: these are commands in turn."""
        if "eval " in script:
            return next(filter(None, map(self._line, given)), "")
        if '"$@"' not in script:
            return ""
        run = given[1:] if script.startswith("w=$1; shift") else given
        if self._vouched or self._settings is None or self._hook(run):
            return ""
        return (
            f"it runs {shlex.join(run)[:80]!r}, which came from the plan's author and is not in this configuration:"
            " that is allowed only in a signed plan"
        )

    def _line(self, line: str) -> str:
        """A line for a shell on this machine, which may lead to a host."""
        if self._settings is None:
            return ""
        try:
            found = tuple(shlex.split(line))
            carry = texts(self._settings.get("hosts.carry"))
            if carry and _alike(carry, found[: len(carry)]) and len(found) == len(carry) + 1:
                found = tuple(shlex.split(found[-1]))
        except ValueError:
            return "it runs a line that is not valid shell"
        found = self._unwrapped(self._unwrapped(found, "hosts.prefix"), "hosts.container")
        # the line must not contain anything else that a shell would act upon
        ours = _is_script(found) and found[2] in scripts() and "eval " not in found[2] and '"$@"' not in found[2]
        return "" if ours and _quoted(line) else f"it runs the line {line[:80]!r}, which {self._name} does not"

    def _unwrapped(self, argv: tuple[str, ...], setting: str) -> tuple[str, ...]:
        front = texts((self._settings or {}).get(setting))
        return argv[len(front) :] if front and argv[: len(front)] == front else argv

    def _hook(self, argv: Sequence[str]) -> bool:
        """Whether it is one of [hooks], for some host."""
        hooks = (self._settings or {}).items()
        return any(name.startswith("hooks.") and words and _alike(texts(words), argv) for name, words in hooks)


def _alike(template: Sequence[str], argv: Sequence[str]) -> bool:
    """Whether the words match a template with one and the same host filled in."""
    if len(template) != len(argv):
        return False
    hosts: set[str] = set()
    for pattern, word in zip(template, argv, strict=True):
        parts = map(re.escape, pattern.split("{host}"))
        found = re.fullmatch(f"({_HOST})".join(parts), word)
        if found is None:
            return False
        hosts |= set(found.groups())
    return len(hosts) <= 1


def _is_script(argv: Sequence[str]) -> bool:
    return len(argv) > len(_SHELL) and tuple(argv[: len(_SHELL)]) == _SHELL


def _holds_ours(line: str) -> bool:
    """Whether a script of ours is a word of a line, or of the line that it takes to a host."""
    try:
        found = shlex.split(line)
        found += shlex.split(found[-1]) if found else []
    except ValueError:
        return False
    return any(word in scripts() for word in found)


def _quoted(line: str) -> bool:
    """Whether a shell splits a line into the same words as we do, with nothing else in it."""
    try:
        return shlex.join(shlex.split(line)) == line
    except ValueError:
        return False


@cache
def _own_commands() -> tuple[Callable[[tuple[str, ...]], bool], ...]:
    """The functions by which modules recognise the scripts that they compose."""
    return tuple(module.own_command for module in _commanding_modules() if hasattr(module, "own_command"))


@cache
def _literal_commands() -> frozenset[tuple[str, ...]]:
    """Commands that occur literally in the source of a workflow."""
    found = set()
    for module in _commanding_modules():
        for node in ast.walk(_tree(module.__name__)):
            if isinstance(node, ast.Tuple):
                texts = [one.value for one in node.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                if texts and len(texts) == len(node.elts):
                    found.add(tuple(texts))
    return frozenset(found)


def _commanding_modules() -> Iterator[ModuleType]:
    for package in (stackmend.workflows, stackmend.hosts):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not info.ispkg:
                yield importlib.import_module(info.name)


def _module_of(name: str) -> str:
    """The module that defines a repair or workflow."""
    return catalogue.modules()[name]


@cache
def _source(module: str) -> _Source:
    return _Source(module)


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False  # a name in a module that is not a package


@cache
def _tree(module: str) -> ast.AST:
    return ast.parse(inspect.getsource(importlib.import_module(module)))
