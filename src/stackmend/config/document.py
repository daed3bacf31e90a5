# SPDX-License-Identifier: Apache-2.0
"""The TOML file as types: every table and key with its type, meaning and default.

This is the single definition of each key. Decoding, the refusal of unknown keys and the documentation are derived from
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from msgspec import Meta

from stackmend.config.values import (
    Ages,
    Amount,
    Cells,
    Count,
    Counts,
    Destination,
    Filled,
    FolderPath,
    Pause,
    Places,
    Seconds,
    SeverityName,
    Share,
    Switch,
    Text,
    TransportName,
    Words,
    documented,
)
from stackmend.drivers.api.session import TIMEOUT
from stackmend.drivers.database.patience import SILENCE
from stackmend.drivers.database.replicas import MAX_LAG
from stackmend.drivers.snapshot.pace import Nice
from stackmend.model.objects.disks import INSTANCES
from stackmend.model.objects.images import DATADIR
from stackmend.model.objects.inspection import LIBGUESTFS
from stackmend.model.plan import Limits as PlanLimits

_LIMITS = PlanLimits()
_NICE = Nice()


class Section:
    """One table of the file. It may contain passwords, so its repr shows no values."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DatabasesSection(Section):
    """[databases]"""

    nova_api: Annotated[Filled, documented("SQLAlchemy URL of Nova's API database")] = ""
    neutron: Annotated[Filled, documented("SQLAlchemy URL of Neutron's database")] = ""
    cinder: Annotated[Filled, documented("SQLAlchemy URL of Cinder's database")] = ""
    glance: Annotated[Filled, documented("SQLAlchemy URL of Glance's database")] = ""
    placement: Annotated[Filled, documented("SQLAlchemy URL of Placement's database")] = ""
    keystone: Annotated[Filled, documented("SQLAlchemy URL of Keystone's database")] = ""
    cells: Annotated[
        Cells,
        documented("URL of a cell's database, by the name of the cell; default: from nova_api.cell_mappings"),
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Files(Section):
    """[files]"""

    nova: Annotated[
        Text,
        documented(
            "nova.conf: base of cell URL templates, ovs_bridge, flat_injected,"
            " heal_instance_info_cache_interval, images_type, api_servers of Glance"
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReaderSection(Section):
    """[reader]"""

    username: Annotated[Filled, documented("account used instead of the one in a discovered cell URL")] = ""
    password: Annotated[Text, documented("its password")] = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WriterSection(Section):
    """[writer]"""

    username: Annotated[
        Filled, documented("account used only for plan apply, run resume, run undo and requests with --yes")
    ] = ""
    password: Annotated[Text, documented("its password")] = ""
    same_account: Annotated[Switch, documented("true: the accounts of [databases] also write; default false")] = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReplicaSection(Section):
    """[replica]"""

    host: Annotated[
        Filled, documented("HOST or HOST:PORT of a replica of every database server: audits and snapshots read there")
    ] = ""
    username: Annotated[Filled, documented("account used there; default: the one that reads the primary")] = ""
    password: Annotated[Text, documented("its password")] = ""
    max_lag: Annotated[
        Amount, documented("seconds that it may be behind; what is further behind is not read, and incomplete; 0: any")
    ] = MAX_LAG
    hosts: Annotated[
        Places,
        documented("HOST or HOST:PORT of the replica, by that of its primary as it is in the URL of the database"),
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Timeouts(Section):
    """[timeouts]"""

    database: Annotated[
        Seconds,
        documented(
            "seconds without any answer after which stackmend gives up on a database, also in the middle"
            f" of a table; default {SILENCE:.0f}. A warning is printed after 30"
        ),
    ] = SILENCE


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NiceSection(Section):
    """[nice]"""

    always: Annotated[Switch, documented("true: as if --nice were given; default false")] = False
    rest: Annotated[
        Amount, documented("with --nice, seconds of rest for each second of reading; default 1: half of the time")
    ] = 1.0
    threads_running: Annotated[
        Count, documented("reading pauses while more threads than this execute statements; 0: never")
    ] = _NICE.threads_running
    lag: Annotated[
        Amount, documented("reading pauses while the server, if it is a replica, is more seconds behind; 0: never")
    ] = _NICE.lag
    flow_control: Annotated[
        Share,
        documented(
            "reading pauses while flow control pauses a Galera cluster for more than this share of the time, or the"
            " node is desynced; 0: never"
        ),
    ] = _NICE.flow_control
    connections: Annotated[
        Count, documented("number of free connections that are left to others; reading waits for more")
    ] = _NICE.connections
    history: Annotated[
        Count, documented("number of old row versions kept since a view was opened, after which it is renewed; 0: any")
    ] = _NICE.history
    view: Annotated[
        Amount, documented("seconds after which a view is renewed, between two tables (--max-view-seconds); 0: never")
    ] = _NICE.view
    patience: Annotated[
        Pause, documented("seconds in all for which a busy server is waited for, before it is incomplete; up to 500")
    ] = _NICE.patience


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ApiSection(Section):
    """[api]"""

    cloud: Annotated[
        Text,
        documented("a name in clouds.yaml; default $OS_CLOUD, else the account in $OS_AUTH_URL and related variables"),
    ] = ""
    clouds: Annotated[
        Filled,
        documented(
            "path of a separate clouds.yaml, relative to this file; default: its usual places",
        ),
    ] = ""
    timeout: Annotated[Seconds, documented(f"timeout of one request, in seconds; default {TIMEOUT:.0f}")] = TIMEOUT


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HostsSection(Section):
    """[hosts]"""

    transport: Annotated[
        TransportName,
        documented("how commands reach hosts: ssh, or local (this machine is the host); default: no access"),
    ] = ""
    destination: Annotated[
        Destination, documented('the ssh destination, with {host}: "root@{host}.example"; default "{host}"')
    ] = "{host}"
    ssh_config: Annotated[
        Text, documented("an ssh configuration file to use instead of yours, relative to this file")
    ] = ""
    prefix: Annotated[Words, documented('prefix of every command on a host, such as ["sudo", "-n"]')] = ()
    container: Annotated[
        Words,
        documented('prefix of commands that run in a container, such as ["docker", "exec", "-i", "nova_compute"]'),
    ] = ()
    local: Annotated[
        Words, documented("host names that refer to this machine; default with transport local: its own names")
    ] = ()
    libvirt: Annotated[Text, documented("libvirt URI of a host, with {host}")] = ""
    instances_path: Annotated[FolderPath, documented(f"instances directory of the hosts; default {INSTANCES}")] = (
        INSTANCES
    )
    shared_instances: Annotated[Switch, documented("true if all hosts share that directory; default false")] = False
    libguestfs: Annotated[
        Count,
        documented(
            "seconds that libguestfs may take to replay the dirty XFS logs of a disk under inspection, in a copy; 0: do"
            f" not use it; default {LIBGUESTFS}"
        ),
    ] = LIBGUESTFS


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Images(Section):
    """[images]"""

    endpoints: Annotated[
        Words,
        documented(
            "URL of each Glance node, not of the balancer: http://10.0.0.11:9292; default: Nova's, or the catalog"
        ),
    ] = ()
    stores: Annotated[
        Words,
        documented(f"filesystem store of each node, HOST or HOST:/FOLDER, read over ssh; default folder {DATADIR}"),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OvnSection(Section):
    """[ovn]"""

    northbound: Annotated[
        Filled,
        documented(
            "where OVN's northbound database listens, as in Neutron's ovn_nb_connection: ssl:IP:PORT, tcp:IP:PORT or"
            " unix:FILE, each member of a cluster, separated by commas"
        ),
    ] = ""
    southbound: Annotated[Filled, documented("likewise the southbound database")] = ""
    private_key: Annotated[Filled, documented("for ssl: a file with the private key of this machine")] = ""
    certificate: Annotated[Filled, documented("the file with its certificate")] = ""
    ca_cert: Annotated[Filled, documented("the file with the certificate of the authority that OVN's are from")] = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StorageSection(Section):
    """[storage.NAME]"""

    kind: Annotated[Filled, documented("rbd, lvm or file (NFS and other shares)")] = ""
    place: Annotated[
        Filled,
        documented("the pool, the volume group, or the folder: nfs_mount_point_base, or one share that is mounted"),
    ] = ""
    host: Annotated[Filled, documented("the host where it is asked, as under [hosts]; default: this machine")] = ""
    cinder: Annotated[
        Words,
        documented("whose volumes they are: HOST@BACKEND, HOST@BACKEND#POOL or CLUSTER@BACKEND, as Cinder records it"),
    ] = ()
    nova: Annotated[Switch, documented("true if Nova keeps disks of servers there (rbd); default false")] = False
    glance: Annotated[Switch, documented("true if Glance keeps images there (rbd); default false")] = False
    shared: Annotated[
        Switch, documented("true if another cloud uses it as well: then nothing is said to belong to nobody")
    ] = False
    program: Annotated[
        Words,
        documented('in place of rbd or lvs: ["rbd", "--id", "cinder"], ["docker", "exec", "cinder_volume", "lvs"]'),
    ] = ()
    timeout: Annotated[Seconds, documented("seconds that listing it may take; default 600")] = 600.0
    asked: Annotated[
        Count,
        documented("of how many images at most it is asked who has them open (rbd, two calls each); default 2000"),
    ] = 2000


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LogsSection(Section):
    """[logs]"""

    paths: Annotated[
        Words,
        documented("logs, or folders with logs, that diagnose and canary read if none are given; default: none"),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Hooks(Section):
    """[hooks]"""

    power_off: Annotated[Words, documented("local command that powers {host} off")] = ()
    power_on: Annotated[Words, documented("local command that powers {host} on")] = ()
    power_status: Annotated[Words, documented("local command that prints on or off")] = ()
    reboot: Annotated[
        Words, documented("local command that restarts {host} through its power supply or management controller")
    ] = ()
    purge_queue: Annotated[
        Words,
        documented("local command that purges the RabbitMQ queue compute.{host}; it may run twice"),
    ] = ()
    balancer_out: Annotated[Words, documented("local command that removes API node {host} from its load balancer")] = ()
    balancer_in: Annotated[Words, documented("local command that puts it back")] = ()
    balancer_status: Annotated[Words, documented("local command that prints in or out for {host}")] = ()
    fence: Annotated[
        Words,
        documented(
            "local command that exits with 0 only if {host} certainly runs nothing and cannot reach any storage"
        ),
    ] = ()


def _status_program(service: str) -> Meta:
    return documented(f"how {service}-status is run here, without 'upgrade check'; default: {service}-status in PATH")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UpgradeSection(Section):
    """[upgrade]"""

    nova: Annotated[Words, _status_program("nova")] = ()
    placement: Annotated[Words, _status_program("placement")] = ()
    cinder: Annotated[Words, _status_program("cinder")] = ()
    neutron: Annotated[Words, _status_program("neutron")] = ()
    glance: Annotated[Words, _status_program("glance")] = ()
    keystone: Annotated[Words, _status_program("keystone")] = ()
    timeout: Annotated[Seconds, documented("seconds that one of them may take; default 120")] = 120.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StateSection(Section):
    """[state]"""

    directory: Annotated[
        Filled,
        documented("folder of the journal and snapshots; default $STACKMEND_STATE or ~/.local/state/stackmend"),
    ] = ""
    journal: Annotated[Text, documented("SQLAlchemy URL of the journal; default an SQLite file in the directory")] = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plans(Section):
    """[plans]"""

    key: Annotated[
        Filled,
        documented("private key that signs plans, relative to this file; default plan-key.pem next to it"),
    ] = ""
    trusted: Annotated[
        Words,
        documented("public keys whose plans are trusted, relative to this file; default plan-key.pub next to it"),
    ] = ()
    require_signature: Annotated[
        Switch, documented("true: plan apply accepts only plans signed by a trusted key; default false")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LimitsSection(Section):
    """[limits]"""

    max_rows: Annotated[Count, documented("number of rows that one plan may change")] = _LIMITS.max_rows
    max_share: Annotated[Share, documented("share of a table's rows that one plan may update or delete, 0 to 1")] = (
        _LIMITS.max_share
    )
    share_floor: Annotated[Count, documented("number of rows of a table that are always allowed")] = _LIMITS.share_floor
    max_failures: Annotated[Count, documented("number of lanes that may fail before a run stops")] = (
        _LIMITS.max_failures
    )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ConfigDocument(Section):
    """The whole file."""

    databases: DatabasesSection = field(default_factory=DatabasesSection)
    files: Files = field(default_factory=Files)
    reader: ReaderSection | None = None
    writer: WriterSection | None = None
    replica: ReplicaSection | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    nice: NiceSection = field(default_factory=NiceSection)
    api: ApiSection = field(default_factory=ApiSection)
    hosts: HostsSection = field(default_factory=HostsSection)
    images: Images = field(default_factory=Images)
    ovn: OvnSection = field(default_factory=OvnSection)
    storage: dict[str, StorageSection] = field(default_factory=dict)
    logs: LogsSection = field(default_factory=LogsSection)
    hooks: Hooks = field(default_factory=Hooks)
    upgrade: UpgradeSection = field(default_factory=UpgradeSection)
    state: StateSection = field(default_factory=StateSection)
    plans: Plans = field(default_factory=Plans)
    limits: LimitsSection = field(default_factory=LimitsSection)
    ages: dict[str, Ages] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    severities: dict[str, SeverityName] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """The description of one key."""

    name: str
    type: Any  #: what its value is decoded to
    default: Any

    @property
    def kind(self) -> str:
        """The kind of its value: "text", "list of texts", "seconds"."""
        return str(next(meta.title for meta in self._metas if meta.title))

    @property
    def meaning(self) -> str:
        """What it is for."""
        return str(next(meta.description for meta in self._metas if meta.description))

    @property
    def is_table(self) -> bool:
        """Whether it is a table of its own, with any names in it."""
        return get_origin(get_args(self.type)[0]) is dict

    def wrong(self) -> tuple[str, str]:
        """The error for an invalid value, and how to write a valid one: ("must be a text", "Write ...")."""
        said = next(meta.extra for meta in self._metas if meta.extra)
        must, write = (said[part].format(key=self.name, default=self.default) for part in ("must", "write"))
        return f"must {must}", f"Write {write}."

    @property
    def _metas(self) -> tuple[Meta, ...]:
        return get_args(self.type)[1:]


def keys(table: type[Section]) -> dict[str, Key]:
    """The keys of a table by name, in their order."""
    types, usual = get_type_hints(table, include_extras=True), table()
    return {name: Key(name, types[name], getattr(usual, name)) for name in types}


def tables() -> dict[str, type[Section]]:
    """The tables of the file by name, without those of :func:`of_checks`."""
    types = get_type_hints(ConfigDocument)
    return {
        name: kind
        for name in types
        for kind in (types[name], *get_args(types[name]))
        if get_origin(types[name]) is not dict and isinstance(kind, type) and issubclass(kind, Section)
    }


def named_tables() -> dict[str, type[Section]]:
    """The tables that hold tables with any names -> what each of these is."""
    types = get_type_hints(ConfigDocument)
    return {
        name: kind
        for name in types
        for kind in get_args(types[name])
        if get_origin(types[name]) is dict and isinstance(kind, type) and issubclass(kind, Section)
    }


def of_checks() -> dict[str, Key]:
    """The tables whose keys are names of checks -> the description of each key."""
    return {
        "ages": Key("NAME", Annotated[Ages, documented("seconds, for each age on the page of the check NAME")], {}),
        "counts": Key(
            "NAME", Annotated[Counts, documented("a number, for each count on the page of the check NAME")], {}
        ),
        "severities": Key(
            "NAME",
            Annotated[SeverityName, documented("how bad findings of the check NAME are at this site")],
            "warning",
        ),
    }


def reference() -> dict[str, dict[str, Key]]:
    """Every table as written in the file -> its keys; "*" is any name."""
    found: dict[str, dict[str, Key]] = {}
    for name, table in tables().items():
        known = keys(table)
        found[name] = {key: about for key, about in known.items() if not about.is_table}
        found |= {f"{name}.{key}": {"*": about} for key, about in known.items() if about.is_table}
    found |= {f"{name}.NAME": keys(table) for name, table in named_tables().items()}
    return found | {name: {"*": about} for name, about in of_checks().items()}
