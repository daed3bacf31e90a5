# SPDX-License-Identifier: Apache-2.0
"""The layout of a lab: one folder, with ports and passwords chosen once and kept in its ``lab.json``."""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stackmend.model.errors import UsageError
from stackmend.tables.releases import NEWEST
from stackmend_lab.mariadb import LabError

HOSTS, CELLS = 4, 2  #: of a new lab
MAX_HOSTS = 40
MAX_GLANCES = 4

#: listening services, each on its own port of 127.0.0.1
LISTENERS = (
    "mariadb", "rabbitmq", "rabbitmq-nodes", "epmd",
    "keystone", "placement", "glance", "nova", "neutron", "cinder",
)  # fmt: skip
_PASSWORDS = ("admin", "service", "database", "database-root", "reader", "mender", "queue")
_FORMAT = 1
#: below the range of ephemeral ports, so that a chosen port is also free at the next start
_PORT_RANGE = range(20000, 32000)
_ANEW = "Name another --folder, or begin anew: stackmend lab down --remove"
#: characters accepted by all programs: RabbitMQ's scripts do not support blanks, oslo.config no dollar signs
_PATH = re.compile(r"[\w/.+@-]+", re.ASCII)


class NoLabError(UsageError):
    """There is no lab in that folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A lab on disk. Everything is in ``folder``; none of the machine's own services are used."""

    folder: Path
    hosts: Mapping[str, str]  #: compute host -> cell
    ports: Mapping[str, int]  #: one for each of LISTENERS
    passwords: Mapping[str, str] = field(repr=False)
    services: Path  #: the environment with nova, neutron, ...
    release: str = NEWEST  #: of the services, which a lab keeps
    glances: int = 1  #: number of Glance nodes, each with its own store; two or more are behind a load balancer

    @property
    def glance_nodes(self) -> tuple[str, ...]:
        """Names of the Glance nodes, also in ``ports``, if there are several; () if there is only one."""
        return tuple(f"glance-{number}" for number in range(1, self.glances + 1)) if self.glances > 1 else ()

    def glance_folder(self, node: str) -> Path:
        """The folder in which a Glance node runs; the first node uses that of an only node ("")."""
        return self.state / "glance" / ("" if node in ("", "glance-1") else node)

    def image_store(self, node: str) -> Path:
        """Where a Glance node keeps the content of images.

        All nodes know it by the same path, as on separate machines, because the path is relative to the folder in which
        they run.
        """
        return self.glance_folder(node) / "images"

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells with hosts: cell1, cell2, ..."""
        return tuple(dict.fromkeys(self.hosts.values()))

    def database(self, name: str) -> str:
        """The name on the server of a database that stackmend calls ``nova_api``, ``cell:cell1``, ..."""
        if not name.startswith("cell:"):
            return name
        cell = name.removeprefix("cell:")
        return "nova" if cell == "cell1" else f"nova_{cell}"

    @property
    def databases(self) -> tuple[str, ...]:
        """Every database, by stackmend's name."""
        cells = (f"cell:{cell}" for cell in ("cell0", *self.cells))
        return ("nova_api", *cells, "neutron", "cinder", "glance", "keystone", "placement")

    def database_url(self, name: str, account: str = "lab") -> str:
        """SQLAlchemy URL of a database; accounts: lab (the services'), reader, mender."""
        password = self.passwords["database" if account == "lab" else account]
        return f"mysql+pymysql://{account}:{password}@127.0.0.1:{self.ports['mariadb']}/{self.database(name)}"

    def queue_url(self, cell: str = "cell1") -> str:
        """Transport URL: each cell has its own virtual host, the first one shares that of the API services."""
        path = "" if cell == "cell1" else cell
        return f"rabbit://lab:{self.passwords['queue']}@127.0.0.1:{self.ports['rabbitmq']}/{path}"

    def endpoint(self, service: str) -> str:
        """Base URL of an API."""
        return f"http://127.0.0.1:{self.ports[service]}"

    @property
    def configuration(self) -> Path:
        """The folder of the services' configuration."""
        return self.folder / "etc"

    @property
    def state(self) -> Path:
        """Data of the services: images, volumes, guests, keys."""
        return self.folder / "state"

    @property
    def logs(self) -> Path:
        """One file per service."""
        return self.folder / "log"

    @property
    def pids(self) -> Path:
        """One file per service: process id and start time."""
        return self.folder / "run"

    @property
    def built(self) -> Path:
        """One empty file for each completed step of the first set-up."""
        return self.folder / "built"

    @property
    def clouds_yaml(self) -> Path:
        """For clients: the cloud ``lab``."""
        return self.folder / "clouds.yaml"

    @property
    def client(self) -> Path:
        """For MariaDB's programs: account, password and address of the server."""
        return self.configuration / "client.cnf"

    @property
    def toml(self) -> Path:
        """The configuration file for stackmend."""
        return self.folder / "stackmend.toml"

    def save(self) -> None:
        """Write ``lab.json``, readable only by the owner, because it holds passwords."""
        document = {"format": _FORMAT, **asdict(self)}
        document["services"] = str(self.services)
        del document["folder"]
        temporary = self.folder / "lab.json.new"
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(document, indent=1) + "\n")
        temporary.replace(self.folder / "lab.json")


def default_folder() -> Path:
    """``$STACKMEND_LAB``, else ``~/.local/share/stackmend/lab``."""
    if given := os.environ.get("STACKMEND_LAB"):
        return Path(given).absolute()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "stackmend" / "lab"


def load(folder: Path) -> Layout:
    """The lab in ``folder``; NoLabError if there is none, LabError if its file is damaged."""
    path = folder / "lab.json"
    try:
        document = json.loads(path.read_text())
        if document.pop("format") != _FORMAT:
            raise LabError(f"{path} was written by another version of stackmend", f"Remove {folder} and begin anew.")
        return Layout(folder=folder, **document | {"services": Path(document["services"])})
    except FileNotFoundError:
        raise NoLabError(f"there is no lab in {folder}", "'stackmend lab up' makes one.") from None
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}", "Is it another user's lab?") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LabError(f"{path} is damaged", f"Remove {folder} and begin anew.") from None


def create(
    folder: Path,
    hosts: int | None,
    cells: int | None,
    services: Path,
    glances: int | None = None,
    release: str | None = None,
) -> Layout:
    """A new lab: ports that are free now, random passwords; nothing but ``lab.json`` is written."""
    _usable(folder)
    layout = Layout(
        folder=folder,
        hosts=spread(HOSTS if hosts is None else hosts, CELLS if cells is None else cells),
        ports=free_ports(LISTENERS),
        passwords={name: secrets.token_hex(12) for name in _PASSWORDS},
        services=services,
        release=release or NEWEST,
    )
    layout = _with_glances(layout, glances)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    layout.save()
    return layout


def adapted(
    layout: Layout,
    hosts: int | None,
    cells: int | None,
    services: Path,
    glances: int | None = None,
    release: str | None = None,
) -> Layout:
    """The lab changed as requested: it can get more hosts (in the first cell), but not fewer, and no other cells.

    The number of Glance nodes may change freely.
    """
    if release not in (None, layout.release):
        raise UsageError(f"the lab in {layout.folder} has the services of {layout.release} and keeps them", _ANEW)
    if cells is not None and cells != len(layout.cells):
        raise UsageError(f"the lab in {layout.folder} has {len(layout.cells)} cells and keeps them", _ANEW)
    more = 0 if hosts is None else hosts - len(layout.hosts)
    if more < 0:
        raise UsageError(f"the lab in {layout.folder} has {len(layout.hosts)} hosts and keeps them", _ANEW)
    _countable(len(layout.hosts) + more, len(layout.cells))
    names = [_host(number) for number in range(len(layout.hosts) + 1, len(layout.hosts) + more + 1)]
    more_hosts = {**layout.hosts, **dict.fromkeys(names, "cell1")}
    return _with_glances(replace(layout, hosts=more_hosts, services=services), glances)


def _with_glances(layout: Layout, glances: int | None) -> Layout:
    """The lab with this number of Glance nodes, and a port for each."""
    if glances is None:
        return layout
    if not 1 <= glances <= MAX_GLANCES:
        raise UsageError(f"--glances {glances} makes no lab", f"There may be 1 to {MAX_GLANCES} nodes of Glance.")
    layout = replace(layout, glances=glances)
    lacking = [name for name in layout.glance_nodes if name not in layout.ports]
    return replace(layout, ports={**layout.ports, **free_ports(lacking)})


def spread(hosts: int, cells: int) -> dict[str, str]:
    """Host -> cell: the first cell is large, each further one gets a small share, at least one host."""
    _countable(hosts, cells)
    small = max(1, hosts // (2 * cells))
    first = hosts - small * (cells - 1)
    places = ["cell1"] * first + [f"cell{n}" for n in range(2, cells + 1) for _ in range(small)]
    return {_host(number): cell for number, cell in enumerate(places, 1)}


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """A free port of 127.0.0.1 for each name."""
    found: dict[str, int] = {}
    candidates = iter(random.sample(_PORT_RANGE, len(_PORT_RANGE)))
    for name in names:
        port = next((candidate for candidate in candidates if is_free(candidate)), None)
        if port is None:
            raise LabError(f"no free port between {_PORT_RANGE.start} and {_PORT_RANGE.stop}", "Stop something.")
        found[name] = port
    return found


def is_free(port: int) -> bool:
    """Whether a service could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _host(number: int) -> str:
    return f"c{number:02}"


def _countable(hosts: int, cells: int) -> None:
    if cells < 1 or hosts < cells or hosts > MAX_HOSTS:
        raise UsageError(
            f"--hosts {hosts} --cells {cells} makes no lab",
            f"A cell needs a host at least; there may be {MAX_HOSTS} hosts.",
        )


def _usable(folder: Path) -> None:
    if not _PATH.fullmatch(str(folder)):
        raise UsageError(
            f"the folder {str(folder)!r} will not do for a lab",
            "Not all services take such a path: use ASCII letters, digits, and /._+@- only.",
        )
    try:
        entries: list[Any] = list(folder.iterdir()) if folder.exists() else []
    except OSError as problem:
        raise UsageError(f"{folder} cannot be used: {problem.strerror}", "Name another --folder.") from None
    if any(entry.name not in ("lock", "services") for entry in entries):
        raise UsageError(f"{folder} is not empty, and holds no lab", "Name a new --folder.")
