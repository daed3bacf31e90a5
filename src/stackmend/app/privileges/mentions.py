# SPDX-License-Identifier: Apache-2.0
"""Which tables the code of repairs names, found in the code itself: no list to keep.

A repair names tables in many ways: in its steps, in look-ups, in helpers that several repairs share. All of them are
texts in its source, or in what it imports from :mod:`stackmend.tables`. A text counts as a table of a database if the
same module names that database, or is in the folder of its service. So a few tables more may be found than are ever
touched, never fewer: the case book runs on accounts that may touch these alone.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache

from stackmend.tables import tables

#: packages whose steps change rows
WRITING = ("stackmend.repairs",)
#: packages that look up rows beyond what checks read
READING = (*WRITING, "stackmend.cloud", "stackmend.workflows", "stackmend.app")
#: names in code that handles the database of a cell
_CELL = frozenset({"cell_database", "database"})
_NOVA = "nova"
_TABLES = "stackmend.tables"


@dataclass(frozen=True, slots=True)
class _Words:
    """The identifiers of one module."""

    texts: frozenset[str]  #: as texts
    services: frozenset[str]  #: the services whose databases it names


def named(service: str, there: Collection[str], packages: Collection[str]) -> frozenset[str]:
    """Of the tables ``there`` in a database of the service, those that modules of the packages name."""
    found = set()
    for package in packages:
        for words in _modules(package):
            if service in words.services:
                found |= {name for name in there if name in words.texts or _archived(name, words.texts)}
    return frozenset(found)


def _archived(name: str, texts: Collection[str]) -> bool:
    """Whether it is made of a prefix and a name: Nova's ``shadow_`` tables."""
    prefix, _, rest = name.partition("_")
    return f"{prefix}_" in texts and rest in texts


@cache
def _modules(package: str) -> tuple[_Words, ...]:
    return tuple(map(_words, _names(package)))


def _names(package: str) -> Iterator[str]:
    path = importlib.import_module(package).__path__
    yield from (found.name for found in pkgutil.walk_packages(path, f"{package}."))


def _words(module: str) -> _Words:
    spec = importlib.util.find_spec(module)
    source = spec.loader.get_source(module) if spec and spec.loader else None  # type: ignore[attr-defined]
    if source is None:
        raise ImportError(f"{module} has no source")
    texts, names = set[str](), set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            texts.add(node.value)
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_TABLES):
            known = vars(importlib.import_module(str(node.module)))
            texts.update(text for one in node.names for text in _texts(known[one.name]))
    every = {part.service for parts in tables().values() for part in parts}
    services = (texts - {_NOVA} | {*module.split(".")}) & every
    return _Words(frozenset(texts), frozenset(services | ({_NOVA} if names & _CELL else set())))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Collection):
        for one in value:
            yield from _texts(one)
