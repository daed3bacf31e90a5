# SPDX-License-Identifier: Apache-2.0
"""The configuration: one TOML file, or the services' own files if none is given."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stackmend.config.decoding import read_document, unknown
from stackmend.config.document import (
    DatabasesSection,
    HostsSection,
    NiceSection,
    OvnSection,
    ReaderSection,
    ReplicaSection,
    UpgradeSection,
    WriterSection,
    keys,
)
from stackmend.config.ovn import OvnSettings
from stackmend.config.service_files import read_nova
from stackmend.config.sources import Discovered, look
from stackmend.config.storage import back_ends
from stackmend.drivers.api.session import TIMEOUT, configured
from stackmend.drivers.database.dialects.base import Address
from stackmend.drivers.database.patience import SILENCE
from stackmend.drivers.database.replicas import ReplicaHosts
from stackmend.drivers.database.urls import of_file, parsed
from stackmend.drivers.hosts.transport import Routes
from stackmend.drivers.ovn.remote import Keys
from stackmend.drivers.snapshot.pace import Nice
from stackmend.model.check import Severity
from stackmend.model.errors import ConfigError
from stackmend.model.objects.disks import INSTANCES
from stackmend.model.objects.inspection import LIBGUESTFS
from stackmend.model.objects.storage import BackEnd
from stackmend.model.plan import Limits

DATABASES = tuple(name for name, key in keys(DatabasesSection).items() if not key.is_table)


@dataclass(frozen=True, slots=True)
class DatabaseAccount:
    """A database account; its text never shows the password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the operator configured, or the services' own files contain."""

    databases: Mapping[str, Address] = field(default_factory=dict)  #: without cells
    cells: Mapping[str, Address] = field(default_factory=dict)  #: by cell name, where given
    unread: Mapping[str, str] = field(default_factory=dict)  #: database -> why a bundle does not have it whole
    reader: DatabaseAccount | None = None
    writer: DatabaseAccount | None = None
    replica: ReplicaHosts | None = None  #: where whole tables are read
    same_account: bool = False  #: the reading accounts may also write
    exposed: Path | None = None  #: a world-readable file with passwords
    nova_settings: Mapping[str, str] = field(default_factory=dict)  #: "neutron.ovs_bridge", "DEFAULT.flat_injected"
    base_url: str | None = field(default=None, repr=False)  #: Nova's [database]connection, the base of cell templates
    cloud: str | None = None  #: a name in clouds.yaml
    clouds: Path | None = None  #: path of clouds.yaml, if it is not in one of the usual places
    api_timeout: float = TIMEOUT  #: seconds that one request may take
    database_timeout: float = SILENCE  #: seconds without an answer after which a database is given up
    nice: Nice = field(default_factory=Nice)  #: how servers are spared while whole tables are read
    rest: float = 1.0  #: what ``nice.rest`` is with --nice
    #: the openstacksdk Connection of the host program (``openstack``), if no cloud is configured
    client: Callable[[], Any] | None = field(default=None, repr=False)
    routes: Routes = field(default_factory=Routes)  #: how hosts are reached
    libvirt: str | None = None
    instances_path: str = INSTANCES  #: where hosts keep the disks of servers
    shared_instances: bool = False  #: whether all hosts share that directory
    libguestfs: int = LIBGUESTFS  #: seconds that it may take to replay the logs of a disk; 0: it is not used
    image_endpoints: tuple[str, ...] = ()  #: URL of each node of Glance
    image_stores: tuple[str, ...] = ()  #: "HOST" or "HOST:/FOLDER" of each filesystem store of Glance
    ovn: OvnSettings | None = None  #: where OVN's databases are
    storage: tuple[BackEnd, ...] = ()  #: the back ends of Cinder and Nova
    logs: tuple[str, ...] = ()  #: what is diagnosed if no logs are given
    hooks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: name -> command on this machine, with {host}
    #: service -> its status program on this machine, without arguments; (): the one in PATH
    status_programs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _status_programs(UpgradeSection()))
    status_timeout: float = UpgradeSection().timeout  #: seconds that one of them may take
    state: Path = field(default_factory=lambda: default_state())
    journal: str = field(default="", repr=False)
    limits: Limits = field(default_factory=Limits)
    ages: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    severities: Mapping[str, Severity] = field(default_factory=dict)  #: by check, where the site has its own
    key: Path | None = None  #: signs plans
    trusted: tuple[Path, ...] = ()  #: public keys whose plans are trusted
    require_signature: bool = False  #: unsigned plans are refused
    keys: Path | None = None  #: the folder of the keys; None: the state folder
    origin: str = ""  #: where it was read from
    offline: bool = False  #: a bundle: accounts of the environment are of another cloud
    root: Path = Path("/")  #: the root of the files named in cell URLs (ssl_ca)
    found: Discovered | None = field(default=None, repr=False)  #: what the services' own files said

    @property
    def thresholds(self) -> Mapping[str, Mapping[str, int]]:
        """The ages and counts of checks; no check has one of each by the same name."""
        return {name: {**self.ages.get(name, {}), **self.counts.get(name, {})} for name in {*self.ages, *self.counts}}

    @property
    def journal_url(self) -> str:
        """SQLAlchemy URL of the journal."""
        return self.journal or of_file(self.state / "journal.db")

    @property
    def written_folders(self) -> tuple[Path, ...]:
        """The folders that an audit writes to: the state, and where the journal is, if that is a file elsewhere."""
        url = parsed(self.journal_url)
        file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        return tuple(dict.fromkeys(p.resolve() for p in (self.state, file.parent if file else self.state)))

    @property
    def key_folder(self) -> Path:
        """The default folder of the plan keys."""
        return self.keys or self.state

    @property
    def signs(self) -> Path | None:
        """The key that signs plans, None if there is none."""
        own = self.key_folder / "plan-key.pem"
        return self.key or (own if own.exists() else None)

    @property
    def trusts(self) -> tuple[Path, ...]:
        """The public keys whose plans are trusted."""
        own = self.key_folder / "plan-key.pub"
        return self.trusted or ((own,) if own.exists() else ())

    @property
    def has_account(self) -> bool:
        """Whether an account is given by the configuration, the environment or the ``openstack`` client."""
        return not self.offline and (self.client is not None or configured(self.cloud))


def default_state() -> Path:
    """The folder for the journal and snapshots if none is configured."""
    if given := os.environ.get("STACKMEND_STATE"):
        return Path(given).absolute()
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:  # neither HOME nor a passwd entry, as for a user id in a container
        raise ConfigError(
            "there is no home folder for the journal and snapshots", "Set STACKMEND_STATE, or HOME."
        ) from None
    return Path(base) / "stackmend"


def _at_home(text: str, what: str) -> Path:
    """A path with ``~`` expanded as in a shell; ConfigError for the home of an unknown account."""
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError):
        raise ConfigError(f"{what}: {text} is in a home folder that does not exist", "Write the full path.") from None


def load(
    path: str | None = None,
    root: Path | None = None,
    *,
    layout: str | None = None,
    cloud: str | None = None,
    client: Callable[[], Any] | None = None,
) -> Config:
    """Read the TOML file, else the services' own files; ConfigError says what is wrong.

    ``root`` (default: STACKMEND_ROOT, else ``/``) is the folder in which these are searched for, ``layout`` (default:
    STACKMEND_LAYOUT) one of :data:`stackmend.config.layouts.LAYOUTS` if there are several. If the configuration names
    no cloud, ``cloud`` is used (default: OS_CLOUD), with the connection that ``client`` makes. If no service has a
    file, an account is enough; but a root or layout given explicitly must exist.
    """
    config, problems = survey(path, root, layout=layout, cloud=cloud, client=client)
    if problems:
        more = f" (and {len(problems) - 1} more: 'stackmend config show')" if len(problems) > 1 else ""
        raise type(problems[0])(problems[0].message + more, problems[0].hint)
    return config


def survey(
    path: str | None = None,
    root: Path | None = None,
    *,
    layout: str | None = None,
    cloud: str | None = None,
    client: Callable[[], Any] | None = None,
) -> tuple[Config, list[ConfigError]]:
    """As :func:`load`, but returns the errors in the services' own files together with what could be read."""
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
    """Whether a configuration has passwords and is world-readable."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    secrets = [address.password for address in (*config.databases.values(), *config.cells.values())]
    secrets += [account.password for account in (config.reader, config.writer) if account]
    secrets += [_password_of(config.journal)] if config.journal else []
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH) and any(secrets)


def _password_of(url: str) -> str:
    """Non-empty if the URL has, or may have, a password; errors in such a URL are reported where it is used."""
    try:
        return str(parsed(url).password or "")
    except ValueError:
        return url


def _from_services(found: Discovered) -> Config:
    used = found.used
    nova = used.get("nova_api")
    return Config(
        databases={name: source.address for name, source in used.items() if source.address},
        base_url=found.base_url,
        nova_settings=found.nova_settings,
        origin=", ".join(dict.fromkeys(str(source.place.path) for source in used.values())),
        root=nova.place.root if nova else found.root,
        ovn=found.ovn,
        found=found,
    )


def _from_toml(path: Path) -> Config:
    document = read_document(path)
    databases = {name: url for name in DATABASES if (url := getattr(document.databases, name))}
    base, settings = read_nova(path.parent / document.files.nova) if document.files.nova else (None, {})
    api, hosts, state = document.api, document.hosts, document.state
    here = path.parent.absolute()
    same_account = document.writer is not None and document.writer.same_account
    return Config(
        databases={name: Address.from_url(url, f"[databases] {name} in {path}") for name, url in databases.items()},
        cells={
            name: Address.from_url(url, f"[databases.cells] {name} in {path}")
            for name, url in document.databases.cells.items()
        },
        reader=_account(document.reader, "reader", path),
        writer=None if same_account else _account(document.writer, "writer", path),
        same_account=same_account,
        replica=_replica(document.replica, path),
        nova_settings=settings,
        base_url=base,
        cloud=api.cloud or None,
        clouds=here / _at_home(api.clouds, f"clouds in [api] of {path}") if api.clouds else None,
        api_timeout=api.timeout,
        database_timeout=document.timeouts.database,
        nice=_nice(document.nice),
        rest=document.nice.rest,
        routes=_routes(hosts, path),
        libvirt=hosts.libvirt or None,
        instances_path=hosts.instances_path.rstrip("/"),
        shared_instances=hosts.shared_instances,
        libguestfs=hosts.libguestfs,
        image_endpoints=document.images.endpoints,
        image_stores=document.images.stores,
        ovn=_ovn(document.ovn, path),
        storage=back_ends(document.storage, path),
        logs=tuple(str(here / _at_home(one, "paths in [logs]")) for one in document.logs.paths),
        hooks={name: words for name, words in asdict(document.hooks).items() if words},
        status_programs=_status_programs(document.upgrade),
        status_timeout=document.upgrade.timeout,
        state=here / _at_home(state.directory, f"directory in [state] of {path}")
        if state.directory
        else default_state(),
        journal=state.journal,
        limits=Limits(**asdict(document.limits)),
        ages=_thresholds(document.ages, "age", path),
        counts=_thresholds(document.counts, "count", path),
        severities=_severities(document.severities, path),
        origin=str(path),
        keys=here,
        key=here / _at_home(document.plans.key, "key in [plans]") if document.plans.key else None,
        trusted=tuple(here / _at_home(one, "trusted in [plans]") for one in document.plans.trusted),
        require_signature=document.plans.require_signature,
    )


def _replica(section: ReplicaSection | None, path: Path) -> ReplicaHosts | None:
    if section is None:
        return None
    if not (section.host or section.hosts):
        raise ConfigError(f"[replica] in {path} names no host", 'Write host = "HOST" there, or [replica.hosts].')
    return ReplicaHosts(**asdict(section))


def _status_programs(section: UpgradeSection) -> dict[str, tuple[str, ...]]:
    return {name: words for name, words in asdict(section).items() if name != "timeout"}


def _nice(section: NiceSection) -> Nice:
    values = asdict(section)
    rest = values["rest"] if values.pop("always") else 0.0
    return Nice(**{**values, "rest": rest})


def _ovn(section: OvnSection, path: Path) -> OvnSettings | None:
    if bool(section.northbound) is not bool(section.southbound):
        lacking = "southbound" if section.northbound else "northbound"
        raise ConfigError(f"[ovn] in {path} has no {lacking}", "Both databases are compared; name both.")
    if not section.northbound:
        return None
    files = (section.private_key, section.certificate, section.ca_cert)
    here = path.parent.absolute()
    keys = Keys(*(str(here / _at_home(file, f"a file in [ovn] of {path}")) if file else "" for file in files))
    return OvnSettings(
        northbound=section.northbound, southbound=section.southbound, northbound_keys=keys, southbound_keys=keys,
        origin=f"[ovn] of {path}",
    )  # fmt: skip


def _routes(hosts: HostsSection, path: Path) -> Routes:
    config = hosts.ssh_config
    return Routes(
        transport=hosts.transport,
        destination=hosts.destination,
        ssh_config=str(path.parent.absolute() / _at_home(config, f"ssh_config in [hosts] of {path}")) if config else "",
        prefix=hosts.prefix,
        container=hosts.container,
        local=frozenset(hosts.local),
    )


def _account(table: ReaderSection | WriterSection | None, section: str, path: Path) -> DatabaseAccount | None:
    if table is None:
        return None
    if not table.username:
        raise ConfigError(f"[{section}] in {path} has no username", "An account needs a username and a password.")
    return DatabaseAccount(table.username, table.password)


def _severities(values: Mapping[str, str], path: Path) -> Mapping[str, Severity]:
    _refuse_unknown_checks(values, "severities", path)
    return {check: Severity(severity) for check, severity in values.items()}


def _refuse_unknown_checks(names: Collection[str], section: str, path: Path) -> None:
    if names:
        from stackmend.engine.auditing import catalogue

        known = set(catalogue.every_check())
        for check in set(names) - known:
            raise unknown(f"check {check} under [{section}]", check, known, path)


def _thresholds(values: Mapping[str, Mapping[str, int]], kind: str, path: Path) -> Mapping[str, Mapping[str, int]]:
    """The ages or counts, each one that the check has."""
    if not values:
        return {}
    from stackmend.engine.auditing import catalogue

    _refuse_unknown_checks(values, f"{kind}s", path)
    known = catalogue.every_check()
    for check, own in values.items():
        there = set(known[check].ages if kind == "age" else known[check].counts)
        for name in own:
            if name not in there:
                raise unknown(f"{kind} {name} of check {check}", name, there, path)
    return values
