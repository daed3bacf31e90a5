# SPDX-License-Identifier: Apache-2.0
"""The services' own configuration files, read with their own library, from where packages and kolla put them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackmend.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class _File:
    """Where a service's file may be, and which option of it holds the URL of which database."""

    service: str
    name: str
    kolla: tuple[str, ...]
    options: Mapping[str, tuple[str, str]]


_FILES = (
    _File("nova", "nova.conf", ("nova-api", "nova-conductor"), {"nova_api": ("api_database", "connection")}),
    _File("neutron", "neutron.conf", ("neutron-server",), {"neutron": ("database", "connection")}),
    _File("cinder", "cinder.conf", ("cinder-api", "cinder-scheduler"), {"cinder": ("database", "connection")}),
    _File("placement", "placement.conf", ("placement-api",), {"placement": ("placement_database", "connection")}),
    _File("glance", "glance-api.conf", ("glance-api",), {"glance": ("database", "connection")}),
    _File("keystone", "keystone.conf", ("keystone",), {"keystone": ("database", "connection")}),
)

_NOVA_SETTINGS = (("neutron", "ovs_bridge"), ("DEFAULT", "flat_injected"))


def read_services(root: Path) -> tuple[dict[str, str], str | None, dict[str, str], dict[str, str]]:
    """(database -> URL, Nova's [database]connection, Nova's settings, database -> file it was found in)."""
    urls: dict[str, str] = {}
    origin: dict[str, str] = {}
    base: str | None = None
    settings: dict[str, str] = {}
    for file in _FILES:
        path = _find(root, file)
        if path is None:
            continue
        found = _options(path, list(file.options.values()))
        for database, option in file.options.items():
            if url := found.get(option):
                urls[database], origin[database] = url, str(path)
        if file.service == "nova":
            base, settings = read_nova(path)
    return urls, base, settings, origin


def read_nova(path: Path) -> tuple[str | None, dict[str, str]]:
    """(base of cell URL templates, settings that shape a network cache) of a nova.conf."""
    if not path.is_file():
        raise ConfigError(f"Nova's file {path} does not exist", "Look at [files] nova in the configuration.")
    found = _options(path, [("database", "connection"), *_NOVA_SETTINGS])
    settings = {f"{group}.{name}": found[group, name] for group, name in _NOVA_SETTINGS if (group, name) in found}
    return found.get(("database", "connection")), settings


def _find(root: Path, file: _File) -> Path | None:
    places = [root / "etc" / file.service, *(root / "etc" / "kolla" / container for container in file.kolla)]
    return next((place / file.name for place in places if (place / file.name).is_file()), None)


def _options(path: Path, wanted: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The values of some options, with the files of ``<name>.d`` beside it and ``$option`` expanded, as services do."""
    from oslo_config import cfg

    conf = cfg.ConfigOpts()
    for group, name in wanted:
        conf.register_opt(cfg.StrOpt(name, secret=name == "connection"), group=None if group == "DEFAULT" else group)
    beside = path.with_name(path.name + ".d")
    try:
        conf(
            args=[],
            project="stackmend",
            default_config_files=[str(path)],
            default_config_dirs=[str(beside)] if beside.is_dir() else [],
        )
        values = {(group, name): _value(conf, group, name) for group, name in wanted}
    except cfg.ConfigFilesPermissionDeniedError:
        raise ConfigError(f"{path} cannot be read: permission denied", "Run as a user who may read it.") from None
    except cfg.ParseError as problem:
        raise ConfigError(
            f"{path} is malformed near line {problem.lineno}: {problem.msg}", "The service itself would refuse it."
        ) from None
    except cfg.Error as problem:
        raise ConfigError(
            f"{path} cannot be used: {type(problem).__name__}", "The service itself would refuse it."
        ) from None
    return {option: str(value) for option, value in values.items() if value is not None}


def _value(conf: Any, group: str, name: str) -> Any:
    """An option's value; options of [DEFAULT] that it refers to as ``$option`` are made known on the way."""
    from oslo_config import cfg

    while True:
        try:
            return conf[name] if group == "DEFAULT" else conf[group][name]
        except cfg.NoSuchOptError as problem:
            other = problem.opt_name
            if other in conf:
                raise
            conf.register_opt(cfg.StrOpt(other))
            if _value(conf, "DEFAULT", other) is None:
                raise
