# SPDX-License-Identifier: Apache-2.0
"""Decodes the TOML file into its types; errors name the file, the table and the key, never a value."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from stackmend.config.document import ConfigDocument, Hooks, Key, Section, keys, named_tables, of_checks, tables
from stackmend.model.errors import ConfigError

_T = TypeVar("_T", bound=Section)


def read_document(path: Path) -> ConfigDocument:
    """Read and decode the file; ConfigError if anything in it does not match the types."""
    known, checks, named = tables(), of_checks(), named_tables()
    found: dict[str, Any] = {}
    for name, values in _parse(path).items():
        if name not in {*known, *checks, *named}:
            raise unknown(f"section [{name}]", name, {*known, *checks, *named}, path)
        if not isinstance(values, dict):
            raise ConfigError(f"{name} in {path} must be a section", f"Write [{name}] on a line of its own.")
        if name in named:
            found[name] = {own: _named(named[name], some, f"{name}.{own}", path) for own, some in values.items()}
        elif name in known:
            found[name] = _table(known[name], values, name, path)
        else:
            found[name] = _each(checks[name], values, name, path)
    return ConfigDocument(**found)


def unknown(what: str, name: str, known: Collection[str], path: Path) -> ConfigError:
    """The error for an unknown name, with the nearest known one."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(sorted(known))}."
    return ConfigError(f"unknown {what} in {path}", hint)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"configuration file {path} does not exist", "Check --config or STACKMEND_CONFIG.") from None
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"configuration file {path} cannot be read: {why}", "Check its owner and mode.") from None
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"configuration file {path} is not valid TOML: {problem}", "Put text in quotes.") from None
    except RecursionError:
        raise ConfigError(f"configuration file {path} is nested too deeply", "Use at most two levels.") from None


def _table(kind: type[_T], values: dict[str, Any], section: str, path: Path) -> _T:
    known = keys(kind)
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise unknown(f"key {name} in [{section}]", name, known, path)
        where = f"[{section}.{name}] in {path}" if known[name].is_table else f"{name} in [{section}] of {path}"
        found[name] = _value(known[name], value, where)
        if kind is Hooks and not any("{host}" in word for word in found[name]):
            raise ConfigError(f"{where} does not say which host it is for", "Write {host} in place of its name.")
    return kind(**found)


def _named(kind: type[_T], values: object, section: str, path: Path) -> _T:
    if not isinstance(values, dict):
        raise ConfigError(f"{section} in {path} must be a section", f"Write [{section}] on a line of its own.")
    return _table(kind, values, section, path)


def _each(key: Key, values: dict[str, Any], section: str, path: Path) -> dict[str, Any]:
    """The values of a table whose keys are names of checks."""
    where = f"[{section}] {{}} in {path}"
    return {name: _value(replace(key, name=name), value, where.format(name)) for name, value in values.items()}


def _value(key: Key, value: object, where: str) -> Any:
    """The value in its type; msgspec's errors name types, ours say what to write."""
    if any(character < " " for text in _texts(value) for character in text):
        # no name, path or URL contains any, and a NUL byte would truncate it elsewhere
        raise ConfigError(f"{where} has a control character", "Remove it.")
    try:
        return msgspec.convert(value, key.type)
    except msgspec.ValidationError:
        must, write = key.wrong()
        raise ConfigError(f"{where} {must}", write) from None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for text in (*value, *value.values()) if isinstance(text, str))
