# SPDX-License-Identifier: Apache-2.0
"""The configuration: one TOML file, or the services' own files where none is named.

``KEYS`` names every key of the TOML file; the documentation and the refusal of unknown keys are made of it.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stackmend.config.service_files import read_nova
from stackmend.config.sources import Found, look
from stackmend.drivers.api.session import TIMEOUT, configured
from stackmend.drivers.database.dialects.base import Address
from stackmend.drivers.database.patience import SILENCE
from stackmend.drivers.hosts.transport import Routes
from stackmend.model.errors import ConfigError
from stackmend.model.plan import Limits

#: a request that may take longer than a day has no limit
_LONGEST = 86_400

#: keys that are seconds, with what they are unless told otherwise
_SECONDS = {"api.timeout": TIMEOUT, "timeouts.database": SILENCE}

#: where Nova keeps the disks of servers unless told otherwise
INSTANCES = "/var/lib/nova/instances"

#: seconds that a check may be told to wait before it believes in damage
_OLDEST = 366 * 86_400

DATABASES = ("nova_api", "neutron", "cinder", "glance", "placement", "keystone")

#: section -> key -> what it is; a section with the key "*" takes any key
KEYS: Mapping[str, Mapping[str, str]] = {
    "databases": {
        "nova_api": "SQLAlchemy URL of Nova's API database",
        "neutron": "SQLAlchemy URL of Neutron's database",
        "cinder": "SQLAlchemy URL of Cinder's database",
        "glance": "SQLAlchemy URL of Glance's database",
        "placement": "SQLAlchemy URL of Placement's database",
        "keystone": "SQLAlchemy URL of Keystone's database",
    },
    "databases.cells": {"*": "URL of a cell's database, by the name of the cell; else nova_api.cell_mappings is asked"},
    "files": {
        "nova": "nova.conf: base of cell URL templates, ovs_bridge, flat_injected, heal_instance_info_cache_interval,"
        " images_type"
    },
    "reader": {
        "username": "account used instead of the one in a discovered cell URL",
        "password": "its password",
    },
    "writer": {
        "username": "account for plan apply, run resume and run undo alone",
        "password": "its password",
        "same_account": "true: there is none, the accounts of [databases] write, too; default false",
    },
    "timeouts": {
        "database": "seconds of complete silence after which a database is given up, also in the middle of a table;"
        f" default {SILENCE:.0f}. It is said after 30",
    },
    "api": {
        "cloud": "a name in clouds.yaml; default $OS_CLOUD, else the account that $OS_AUTH_URL and the like make",
        "clouds": "a clouds.yaml of its own, relative to this file; default where every client looks for it",
        "timeout": f"seconds that one request may take; default {TIMEOUT:.0f}",
    },
    "hosts": {
        "transport": "how commands get to hosts: ssh, or local (this machine is the host); default: not at all",
        "destination": 'what ssh is told, with {host}: "root@{host}.example"; default "{host}"',
        "ssh_config": "a file that ssh reads instead of yours, relative to this file",
        "prefix": 'list: before every command on a host, such as ["sudo", "-n"]',
        "container": 'list: before a command that belongs inside, such as ["docker", "exec", "-i", "nova_compute"]',
        "local": "list: names of hosts that are this machine; by transport local, default its own names",
        "libvirt": "libvirt URI of a host, with {host}",
        "instances_path": "where hosts keep the disks of servers; default /var/lib/nova/instances",
        "shared_instances": "true where that directory is one and the same on all hosts; default false",
    },
    "hooks": {
        "power_off": "list: a command, run here, that takes the power of {host} away",
        "power_on": "list: a command that gives it back",
        "power_status": "list: a command that prints on or off",
        "reboot": "list: a command that restarts {host} by its power or its controller",
        "purge_queue": "list: a command that empties the queue compute.{host} of RabbitMQ; it may be run twice",
        "fence": "list: a command that ends with 0 only if {host} surely runs nothing and reaches no storage any more",
    },
    "state": {
        "directory": "where the journal and snapshots are kept; default $STACKMEND_STATE or ~/.local/state/stackmend",
        "journal": "SQLAlchemy URL of the journal; default an SQLite file in the directory",
    },
    "plans": {
        "key": "private key that signs plans, relative to this file; default plan-key.pem beside it",
        "trusted": "list: public keys whose plans are trusted, relative to this file; default plan-key.pub beside it",
        "require_signature": "true: plan apply takes only plans that a trusted key has signed; default false",
    },
    "limits": {
        "max_rows": "rows one plan may change",
        "max_share": "share of a table's rows that one plan may update or delete, 0 to 1",
        "share_floor": "rows of a table that are always allowed",
        "max_failures": "lanes that may fail before a run stops",
    },
    "ages": {"*": "a table by the name of a check: seconds for each of the ages on its page"},
}


#: keys that are true or false
SWITCHES = frozenset({"hosts.shared_instances", "plans.require_signature", "writer.same_account"})


@dataclass(frozen=True, slots=True)
class Account:
    """A database account; its text never shows the password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What an operator configured, or what the services' own files say."""

    databases: Mapping[str, Address] = field(default_factory=dict)  #: without cells
    cells: Mapping[str, Address] = field(default_factory=dict)  #: by cell name, where given
    reader: Account | None = None
    writer: Account | None = None
    same_account: bool = False  #: the accounts that read may write, too
    exposed: Path | None = None  #: a file with passwords that every account of this machine can read
    nova_settings: Mapping[str, str] = field(default_factory=dict)  #: "neutron.ovs_bridge", "DEFAULT.flat_injected"
    base_url: str | None = field(default=None, repr=False)  #: Nova's [database]connection, the base of cell templates
    cloud: str | None = None  #: a name in clouds.yaml
    clouds: Path | None = None  #: the clouds.yaml, where it is none of those that every client reads
    api_timeout: float = TIMEOUT  #: seconds that one request may take
    database_timeout: float = SILENCE  #: seconds of silence after which a database is given up
    #: the openstacksdk Connection of the program that runs us (``openstack``), where no cloud is configured
    client: Callable[[], Any] | None = field(default=None, repr=False)
    routes: Routes = field(default_factory=Routes)  #: how hosts are reached
    libvirt: str | None = None
    instances_path: str = INSTANCES  #: where hosts keep the disks of servers
    shared_instances: bool = False  #: whether that is one and the same directory on all of them
    hooks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: name -> command on this machine, with {host}
    state: Path = field(default_factory=lambda: default_state())
    journal: str = field(default="", repr=False)
    limits: Limits = field(default_factory=Limits)
    ages: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    key: Path | None = None  #: signs plans
    trusted: tuple[Path, ...] = ()  #: public keys whose plans are trusted
    require_signature: bool = False  #: no other plan is applied
    keys: Path | None = None  #: the folder in which keys are kept; None: the state folder
    origin: str = ""  #: where it was read from
    root: Path = Path("/")  #: what the files are below that URLs of cells name (ssl_ca)
    found: Found | None = field(default=None, repr=False)  #: what the services' own files said

    @property
    def journal_url(self) -> str:
        """SQLAlchemy URL of the journal."""
        return self.journal or f"sqlite:///{self.state / 'journal.db'}"

    @property
    def key_folder(self) -> Path:
        """Where the keys of plans are, unless told otherwise."""
        return self.keys or self.state

    @property
    def signs(self) -> Path | None:
        """The key that signs plans, None where there is none."""
        own = self.key_folder / "plan-key.pem"
        return self.key or (own if own.exists() else None)

    @property
    def trusts(self) -> tuple[Path, ...]:
        """The public keys whose plans are trusted."""
        own = self.key_folder / "plan-key.pub"
        return self.trusted or ((own,) if own.exists() else ())

    @property
    def has_account(self) -> bool:
        """Whether an account is named, by the configuration, the environment or the ``openstack`` client."""
        return self.client is not None or configured(self.cloud)


def default_state() -> Path:
    """The folder for the journal and snapshots where none is configured."""
    if given := os.environ.get("STACKMEND_STATE"):
        return Path(given).absolute()
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:  # neither HOME nor a passwd entry, as for a user id of a container
        raise ConfigError(
            "there is no home folder for the journal and snapshots", "Set STACKMEND_STATE, or HOME."
        ) from None
    return Path(base) / "stackmend"


def _at_home(text: str, what: str) -> Path:
    """A path with ``~`` as a shell has it; ConfigError for the home of an account that there is not."""
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError):
        raise ConfigError(f"{what}: {text} is in no home that there is", "Write the whole path.") from None


def load(
    path: str | None = None,
    root: Path | None = None,
    *,
    layout: str | None = None,
    cloud: str | None = None,
    client: Callable[[], Any] | None = None,
) -> Config:
    """Read the TOML file, else the services' own files; ConfigError says what is wrong.

    ``root`` (default: STACKMEND_ROOT, else ``/``) is the folder below which these are looked for, ``layout`` (default:
    STACKMEND_LAYOUT) one of :data:`stackmend.config.layouts.LAYOUTS` where several are there. Where the configuration
    names no cloud, ``cloud`` is used (default: OS_CLOUD), by the connection that ``client`` makes. Where no service
    has a file, an account is enough; a root or a layout that was asked for has to be there all the same.
    """
    config, problems = survey(path, root, layout=layout, cloud=cloud, client=client)
    if problems:
        more = f" (and {len(problems) - 1} more: 'stackmend config show')" if len(problems) > 1 else ""
        raise ConfigError(problems[0].message + more, problems[0].hint)
    return config


def survey(
    path: str | None = None,
    root: Path | None = None,
    *,
    layout: str | None = None,
    cloud: str | None = None,
    client: Callable[[], Any] | None = None,
) -> tuple[Config, list[ConfigError]]:
    """As :func:`load`, but what is wrong with the services' own files comes beside what could be read of them."""
    given = path or ("" if root else os.environ.get("STACKMEND_CONFIG"))
    if given:
        config, problems = _from_toml(Path(given)), []
        if _exposed(config, Path(given)):
            config = replace(config, exposed=Path(given))
    else:
        below = root or Path(os.environ.get("STACKMEND_ROOT") or "/")
        found = look(below, layout or os.environ.get("STACKMEND_LAYOUT") or None)
        config, problems = _from_services(found), found.problems()
    if not config.cloud:
        config = replace(config, cloud=cloud or os.environ.get("OS_CLOUD"), client=client)
    alone = config.found is not None and config.found.silent and not root and not layout
    return config, [] if alone and config.has_account else problems


def _exposed(config: Config, path: Path) -> bool:
    """Whether a configuration has passwords, and every account of this machine can read it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    secrets = [address.password for address in (*config.databases.values(), *config.cells.values())]
    secrets += [account.password for account in (config.reader, config.writer) if account]
    secrets += [urlsplit(config.journal).password or ""] if config.journal else []
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH) and any(secrets)


def _from_services(found: Found) -> Config:
    used = found.used
    nova = used.get("nova_api")
    return Config(
        databases={name: source.address for name, source in used.items() if source.address},
        base_url=found.base_url,
        nova_settings=found.nova_settings,
        origin=", ".join(dict.fromkeys(str(source.place.path) for source in used.values())),
        root=nova.place.root if nova else found.root,
        found=found,
    )


def _from_toml(path: Path) -> Config:
    document = _parse(path)
    _known(document, path)
    databases = dict(document.get("databases", {}))
    cells = databases.pop("cells", {})
    nova = document.get("files", {}).get("nova")
    base, settings = read_nova(path.parent / nova) if nova else (None, {})
    state, api = document.get("state", {}), document.get("api", {})
    folder = (
        _at_home(state["directory"], f"directory in [state] of {path}") if "directory" in state else default_state()
    )
    return Config(
        databases={name: Address.from_url(url, f"[databases] {name} in {path}") for name, url in databases.items()},
        cells={name: Address.from_url(url, f"[databases.cells] {name} in {path}") for name, url in cells.items()},
        reader=_account(document, "reader", path),
        writer=None if document.get("writer", {}).get("same_account") else _account(document, "writer", path),
        same_account=document.get("writer", {}).get("same_account", False),
        nova_settings=settings,
        base_url=base,
        cloud=api.get("cloud"),
        clouds=path.parent.absolute() / _at_home(api["clouds"], f"clouds in [api] of {path}")
        if "clouds" in api
        else None,
        api_timeout=float(api.get("timeout", TIMEOUT)),
        database_timeout=float(document.get("timeouts", {}).get("database", SILENCE)),
        routes=_routes(document.get("hosts", {}), path),
        libvirt=document.get("hosts", {}).get("libvirt"),
        instances_path=_instances(document.get("hosts", {}), path),
        shared_instances=document.get("hosts", {}).get("shared_instances", False),
        hooks={name: tuple(words) for name, words in document.get("hooks", {}).items()},
        state=folder if folder.is_absolute() else path.parent.absolute() / folder,
        journal=state.get("journal", ""),
        limits=Limits(**document.get("limits", {})),
        ages=_ages(document.get("ages", {}), path),
        origin=str(path),
        **_signing(document.get("plans", {}), path.parent.absolute()),
    )


def _signing(plans: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Keys as configured; a relative name is one beside the configuration."""
    return {
        "keys": folder,
        "key": folder / _at_home(plans["key"], "key in [plans]") if "key" in plans else None,
        "trusted": tuple(folder / _at_home(one, "trusted in [plans]") for one in plans.get("trusted", ())),
        "require_signature": plans.get("require_signature", False),
    }


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"configuration file {path} does not exist", "Look at --config or STACKMEND_CONFIG."
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is no UTF-8 text"
        raise ConfigError(f"configuration file {path} cannot be read: {why}", "Check its owner and mode.") from None
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"configuration file {path} is no valid TOML: {problem}", "Text goes into quotes.") from None
    except RecursionError:
        raise ConfigError(f"configuration file {path} is nested too deeply", "Two levels are all it has.") from None


def _known(document: Mapping[str, Any], path: Path) -> None:
    """Refuse unknown sections and keys, and values of another type than is meant."""
    sections = {name.split(".")[0] for name in KEYS}
    for section, values in document.items():
        if section not in sections:
            raise _unknown(f"section [{section}]", section, sections, path)
        if not isinstance(values, dict):
            raise ConfigError(f"{section} in {path} must be a section", f"Write [{section}] on a line of its own.")
        for key, value in values.items():
            nested = f"{section}.{key}"
            if nested in KEYS:
                if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
                    raise ConfigError(f"[{nested}] in {path} must hold texts", 'Write name = "URL", a line each.')
                for text in (*value, *value.values()):
                    _plain(text, nested, path)
                continue
            if isinstance(value, str):
                _plain(value, nested, path)
            known = KEYS[section]
            if key not in known and "*" not in known:
                more = {k.split(".")[1] for k in KEYS if k.startswith(section + ".")}
                raise _unknown(f"key {key} in [{section}]", key, set(known) | more, path)
            if nested in _SECONDS:
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LONGEST:
                    raise ConfigError(
                        f"{key} in [{section}] of {path} must be a number of seconds",
                        f"Write {key} = {_SECONDS[nested]:.0f}.",
                    )
            elif nested in SWITCHES:
                if not isinstance(value, bool):
                    raise ConfigError(f"{key} in [{section}] of {path} must be true or false", f"Write {key} = true.")
            elif known[key].startswith("list:") if key in known else False:
                _list(key, section, value, path)
            elif section not in ("limits", "ages") and not isinstance(value, str):
                raise ConfigError(f"{key} in [{section}] of {path} must be a text", f'Write {key} = "...".')
            if section == "limits" and not _limit(key, value):
                raise ConfigError(
                    f"{key} in [limits] of {path} must be a number{' from 0 to 1' if key == 'max_share' else ''}",
                    "max_share is a share; the others count rows or lanes and are whole.",
                )


def _plain(text: str, where: str, path: Path) -> None:
    """Refuse control characters: no name, path or URL has any, and a NUL byte ends it for everybody else."""
    if any(ord(character) < ord(" ") for character in text):
        raise ConfigError(f"{text!r} in [{where}] of {path} has a control character", "Write it without.")


def _list(key: str, section: str, value: object, path: Path) -> None:
    """Refuse what is no list of texts, and a hook that does not say which host it is for."""
    if not isinstance(value, list) or not value or not all(isinstance(word, str) and word for word in value):
        raise ConfigError(
            f"{key} in [{section}] of {path} must be a list of texts", f'Write {key} = ["program", "option"].'
        )
    if section == "hooks" and not any("{host}" in word for word in value):
        raise ConfigError(
            f"{key} in [hooks] of {path} does not say which host it is for", "Put {host} where its name belongs."
        )


def _routes(values: Mapping[str, Any], path: Path) -> Routes:
    transport = values.get("transport", "")
    if transport not in ("", "ssh", "local"):
        raise ConfigError(f"transport in [hosts] of {path} must be ssh or local", "It is how commands get to hosts.")
    destination = values.get("destination", "{host}")
    if "{host}" not in destination or destination.startswith("-"):
        raise ConfigError(
            f"destination in [hosts] of {path} must have {{host}} in it, and not begin with a dash",
            'Write destination = "root@{host}".',
        )
    config = values.get("ssh_config", "")
    return Routes(
        transport=transport,
        destination=destination,
        ssh_config=str(path.parent.absolute() / _at_home(config, f"ssh_config in [hosts] of {path}")) if config else "",
        prefix=tuple(values.get("prefix", ())),
        container=tuple(values.get("container", ())),
        local=frozenset(values.get("local", ())),
    )


def _instances(values: Mapping[str, Any], path: Path) -> str:
    found = str(values.get("instances_path", INSTANCES)).rstrip("/")
    if not found.startswith("/") or "\0" in found:
        raise ConfigError(
            f"instances_path in [hosts] of {path} must begin with a slash", 'Write "/var/lib/nova/instances".'
        )
    return found


def _limit(key: str, value: object) -> bool:
    """Whether it limits anything: NaN would not."""
    if isinstance(value, bool) or not isinstance(value, int | float if key == "max_share" else int):
        return False
    return 0 <= value <= 1 if key == "max_share" else value >= 0


def _unknown(what: str, name: str, known: set[str], path: Path) -> ConfigError:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(sorted(known - {'*'}))}."
    return ConfigError(f"unknown {what} in {path}", hint)


def _account(document: Mapping[str, Any], section: str, path: Path) -> Account | None:
    values = document.get(section)
    if values is None:
        return None
    if "username" not in values:
        raise ConfigError(f"[{section}] in {path} has no username", "An account is a username and a password.")
    return Account(values["username"], values.get("password", ""))


def _ages(values: Mapping[str, Any], path: Path) -> dict[str, dict[str, int]]:
    for check, ages in values.items():
        good = isinstance(ages, dict) and all(
            isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= _OLDEST for v in ages.values()
        )
        if not good:
            raise ConfigError(
                f"[ages] {check} in {path} must be a table of seconds, from 0 to {_OLDEST} (a year)",
                f"Write [ages.{check}] and idle = 600.",
            )
        from stackmend.engine.auditing import catalogue

        known = catalogue.checks()
        if check not in known:
            raise _unknown(f"check {check} under [ages]", check, set(known), path)
        for age in ages:
            if age not in known[check].ages:
                raise _unknown(f"age {age} of check {check}", age, set(known[check].ages), path)
    return {check: dict(ages) for check, ages in values.items()}
