# SPDX-License-Identifier: Apache-2.0
"""Reads the services' own configuration files with their own library, in the order in which the services read them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackmend.config import ovn
from stackmend.config.layouts import ServiceSettings
from stackmend.config.ovn import OvnSettings
from stackmend.model.errors import ConfigError

_NOVA_SETTINGS = (
    ("neutron", "ovs_bridge"),
    ("DEFAULT", "flat_injected"),
    ("DEFAULT", "heal_instance_info_cache_interval"),
    ("libvirt", "images_type"),
    ("glance", "api_servers"),
)
_BASE = ("database", "connection")
#: names that oslo.config accepts for options and sections
_NAME = re.compile(r"[A-Za-z_]\w*\Z")
Option = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ServiceFiles:
    """The settings in a service's files: URLs by database, and for Nova the settings that affect cells and caches."""

    urls: Mapping[str, str] = field(repr=False)
    base: str | None = field(default=None, repr=False)  #: Nova's [database]connection, the base of cell URL templates
    settings: Mapping[str, str] = field(default_factory=dict)


def read(place: ServiceSettings) -> ServiceFiles:
    """Read the files of one place; ConfigError names a file that the service itself would refuse."""
    wanted = list(place.service.options.values())
    nova = place.service.name == "nova"
    found = _options(place.path, place.readings, [*wanted, *((_BASE, *_NOVA_SETTINGS) if nova else ())])
    urls = {database: found[option] for database, option in place.service.options.items() if found.get(option)}
    return ServiceFiles(urls, found.get(_BASE) if nova else None, _settings(found))


def read_nova(path: Path) -> tuple[str | None, dict[str, str]]:
    """(base of cell URL templates, settings that shape a network cache) of a nova.conf."""
    if not os.path.isfile(path):
        raise ConfigError(f"Nova's file {path} does not exist", "Check [files] nova in the configuration.")
    beside = path.with_name(path.name + ".d")
    readings = [path, *([beside] if os.path.isdir(beside) else [])]
    found = _options(path, readings, [_BASE, *_NOVA_SETTINGS])
    return found.get(_BASE), _settings(found)


def read_ovn(place: ServiceSettings) -> OvnSettings | None:
    """Where the OVN of this Neutron is; None if it has none. ConfigError names a file that cannot be used."""
    beside = ovn.ml2_file(place)
    readings = [*place.readings, *([beside] if beside and beside not in place.readings else [])]
    return ovn.of_neutron(_options(beside or place.path, readings, ovn.OPTIONS), place)


def _settings(found: Mapping[Option, str]) -> dict[str, str]:
    return {f"{group}.{name}": found[group, name] for group, name in _NOVA_SETTINGS if (group, name) in found}


def _options(path: Path, readings: Iterable[Path], wanted: Iterable[Option]) -> dict[Option, str]:
    """The values of some options, with ``$option`` expanded; ``path`` names the files in errors."""
    from oslo_config import cfg

    conf = cfg.ConfigOpts()
    args: list[str] = []
    try:
        for reading in readings:
            folder = os.path.isdir(reading)
            args += ["--config-dir" if folder else "--config-file", str(reading)]
            for file in sorted(reading.glob("*.conf")) if folder else [reading]:
                _declare(conf, file)
        for group, name in wanted:
            conf.register_opt(cfg.StrOpt(name), group=None if group == "DEFAULT" else group)
        conf(args=args, project="stackmend", default_config_files=[], default_config_dirs=[])
        values = {(g, name): conf[name] if g == "DEFAULT" else conf[g][name] for g, name in wanted}
    except (PermissionError, cfg.ConfigFilesPermissionDeniedError):
        raise ConfigError(f"{path} cannot be read: permission denied", "Run as a user that may read it.") from None
    except cfg.ParseError as problem:
        raise ConfigError(f"{path} is malformed near line {problem.lineno}: {_plain(problem)}", _REFUSED) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is malformed: it is not UTF-8 text", _REFUSED) from None
    except (cfg.TemplateSubstitutionError, cfg.NoSuchOptError, cfg.NoSuchGroupError):
        raise ConfigError(
            f"{path} cannot be used: a value references an option that is not set in the files",
            "Set the option after the $, write $$ for a dollar sign, or write a TOML file.",
        ) from None
    except (cfg.Error, OSError) as problem:
        raise ConfigError(f"{path} cannot be used: {type(problem).__name__}", _REFUSED) from None
    return {option: str(value).strip() for option, value in values.items() if value is not None and str(value).strip()}


_REFUSED = "The service itself would refuse it."


def _declare(conf: Any, file: Path) -> None:
    """Register every option of a file: a value may reference any as ``$option`` or ``${section.option}``."""
    from oslo_config import cfg

    sections: dict[str, dict[str, list[str]]] = {}
    cfg.ConfigParser(str(file), sections).parse()
    for section, options in sections.items():
        for name in options:
            if _NAME.match(name) and (section == "DEFAULT" or _NAME.match(section)):
                group = None if section == "DEFAULT" else section
                try:
                    conf.register_opt(cfg.StrOpt(name), group=group)
                except (cfg.DuplicateOptError, ValueError):
                    continue


def _plain(problem: Any) -> str:
    """The parser's complaint without the line, which may contain a password."""
    return "it begins with a byte order mark" if (problem.line or "").startswith("\ufeff") else str(problem.msg)
