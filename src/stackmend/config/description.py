# SPDX-License-Identifier: Apache-2.0
"""The configuration for ``config show``: what was found where, and what is used; never a password."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from stackmend.config.layouts import containers
from stackmend.config.settings import DATABASES, Config, DatabaseAccount
from stackmend.config.sources import ConfigSource, Discovered
from stackmend.drivers.database.dialects.base import Address
from stackmend.model.errors import ConfigError
from stackmend.model.objects.storage import BackEnd

#: URL options whose values are not secret
_SHOWN = ("charset", "plugin", "ssl_ca", "ssl_cert", "ssl_check_hostname", "ssl_verify_cert", "unix_socket")
_CLOUDS = ("etc/openstack/clouds.yaml", "etc/kolla/clouds.yaml", "root/.config/openstack/clouds.yaml")


def describe(config: Config, problems: Sequence[ConfigError]) -> dict[str, object]:
    """The document of docs/schemas/config.json."""
    found = config.found
    return {
        "file": None if found else config.origin,
        "root": str(found.root) if found else None,
        "layout": found.layout if found else None,
        "databases": _found(found) if found else _configured(config.databases, config.origin),
        "cells": _configured(config.cells, config.origin),
        "hidden": [str(hidden.path) for hidden in found.hidden] if found else [],
        "nova": {
            "base": _redacted(config.base_url, "Nova's [database]connection"),
            "settings": dict(config.nova_settings),
        },
        "api": {
            "cloud": config.cloud,
            "clouds": str(config.clouds) if config.clouds else None,
            "found": [str(path) for path in _clouds(found)] if found else [],
        },
        "reader": _name(config.reader),
        "writer": _name(config.writer),
        "replica": _replica(config),
        "libvirt": config.libvirt,
        "ovn": _ovn(config),
        "storage": [_back_end(one) for one in config.storage],
        "state": {"directory": str(config.state), "journal": _redacted(config.journal_url, "[state] journal")},
        "limits": asdict(config.limits),
        "ages": {check: dict(ages) for check, ages in config.ages.items()},
        "counts": {check: dict(counts) for check, counts in config.counts.items()},
        "severities": {check: severity.value for check, severity in config.severities.items()},
        "problems": [{"message": problem.message, "hint": problem.hint} for problem in problems],
    }


def _found(found: Discovered) -> list[dict[str, object]]:
    """One entry per database and file, the one in use first; one entry if no file names the database."""
    entries: list[dict[str, object]] = []
    for database in DATABASES:
        sources = [source for source in found.sources if source.database == database]
        ordered = sorted(sources, key=lambda source: source.state.value != "used")
        entries += [_source(source) for source in ordered] or [_entry(database, "missing")]
    return entries


def _source(source: ConfigSource) -> dict[str, object]:
    return _entry(
        source.database,
        source.state.value,
        source.address,
        layout=source.place.layout,
        container=source.place.container or None,
        path=str(source.place.path),
        note=source.problem.message if source.problem else source.note or None,
    )


def _configured(addresses: Mapping[str, Address], origin: str) -> list[dict[str, object]]:
    return [_entry(name, "used", address, path=origin) for name, address in addresses.items()]


def _entry(database: str, state: str, address: Address | None = None, **more: str | None) -> dict[str, object]:
    options = address.options if address else {}
    return {
        "database": database,
        "state": state,
        "address": address.redacted if address else None,
        "options": {name: value if name in _SHOWN else "(not shown)" for name, value in sorted(options.items())},
        **{name: more.get(name) for name in ("layout", "container", "path", "note")},
    }


def _redacted(url: str | None, what: str) -> str | None:
    """The URL without password and options; templates and unknown schemes are only mentioned."""
    if not url:
        return None
    try:
        return Address.from_url(url, what).redacted
    except ConfigError:
        return "(not shown)"


def _name(account: DatabaseAccount | None) -> str | None:
    return account.username if account else None


def _replica(config: Config) -> dict[str, object] | None:
    found = config.replica
    if found is None:
        return None
    return {
        "host": found.host or None,
        "hosts": dict(found.hosts),
        "username": found.username or None,
        "max_lag": found.max_lag,
    }


def _ovn(config: Config) -> dict[str, object] | None:
    found = config.ovn
    if found is None:
        return None
    return {"northbound": found.northbound, "southbound": found.southbound, "origin": found.origin}


def _back_end(found: BackEnd) -> dict[str, object]:
    return {
        "name": found.name,
        "kind": found.kind,
        "place": found.place,
        "host": found.host or None,
        "cinder": list(found.cinder),
        "nova": found.nova,
        "shared": found.shared,
    }


def _clouds(found: Discovered) -> Iterator[Path]:
    """The files with cloud accounts below the root and in containers; their contents are not read."""
    for base in (found.root, *(root for _, root in containers(found.root, []))):
        yield from (base / path for path in _CLOUDS if os.path.isfile(base / path))
