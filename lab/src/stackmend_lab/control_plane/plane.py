# SPDX-License-Identifier: Apache-2.0
"""The lab as one object: up, down, status, and the levers for tests and breaks."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackmend.model.errors import UsageError
from stackmend.tables.releases import NEWEST
from stackmend_lab.control_plane import bootstrap, configuration, databases, install, layout, ready, seed
from stackmend_lab.control_plane.layout import Layout
from stackmend_lab.control_plane.process import Keeper, Process
from stackmend_lab.control_plane.progress import Tell, silently
from stackmend_lab.control_plane.ready import Waiting
from stackmend_lab.control_plane.releases import RUNNABLE
from stackmend_lab.control_plane.services import Service, Stage, environment, table
from stackmend_lab.mariadb import LabError

if TYPE_CHECKING:
    from openstack.config.cloud_region import CloudRegion
    from openstack.connection import Connection

#: seconds that services have to end by themselves
_GRACE = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """The state of one service."""

    name: str
    state: str  #: running, stopped, or died (was started, was not stopped, and no longer exists)
    pid: int | None
    port: int | None
    log: Path


class Plane:
    """A control plane in ``folder``; by default with its existing hosts and cells, or four in two for a new one.

    ``release``: whose services it runs, one of releases.RUNNABLE; by default its own, or the newest for a new one.
    """

    def __init__(
        self,
        folder: Path,
        hosts: int | None = None,
        cells: int | None = None,
        services: str | None = None,
        glances: int | None = None,
        release: str | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self._asked = (hosts, cells, services, glances, release)
        self._account: CloudRegion | None = None
        self._asking = threading.Lock()

    # ---- up and down ----

    def up(self, progress: Tell = silently) -> None:
        """Install, build, start and seed whatever is missing; returns when every service is ready."""
        with self._locked():
            lab = self._prepared(progress)
            services = table(lab)
            keeper = self._keeper(lab)
            # Glance nodes that no longer exist, or have another name now
            keeper.end([name for name in keeper.names() if name not in services], _GRACE)
            self._refuse_taken_ports(lab, services, keeper)
            waiting = Waiting(lab, services, keeper, progress)
            databases.make_data_folder(lab, progress)
            self._start_stage(lab, services, keeper, Stage.GROUND, progress)
            waiting.for_ground()
            databases.make_keys(lab)
            databases.build(lab, lambda: self._identity(lab, services, keeper, waiting, progress), progress)
            for stage in (Stage.CONTROL, Stage.HOSTS):
                self._start_stage(lab, services, keeper, stage, progress)
            waiting.for_all(self.connect)
            seed.seed(lab, self.connect(), progress)

    def down(self, progress: Tell = silently, *, remove: bool = False) -> None:
        """End every process; with ``remove`` also delete the folder (services installed elsewhere stay)."""
        lab = self.layout
        with self._locked():
            keeper = self._keeper(lab)
            ground = [name for name, service in table(lab).items() if service.stage is Stage.GROUND]
            above = [name for name in keeper.names() if name not in ground]
            if above:
                progress(f"stopping {len(above)} services")
                keeper.end(above, _GRACE)
            progress("stopping RabbitMQ and MariaDB")
            for name in reversed(ground):
                keeper.end([name], 30)
            keeper.end_strays(5)
        self._account = None
        if remove:
            shutil.rmtree(self.folder)

    def status(self) -> list[ServiceState]:
        """Every service, in starting order; NoLabError if there is no lab."""
        lab = self.layout
        keeper = self._keeper(lab)
        return [_state(lab, service, keeper) for service in table(lab).values()]

    # ---- one service ----

    def start(self, name: str) -> None:
        """Start one service that is not running, without waiting for it (see :meth:`wait`)."""
        lab = self.layout
        self._start(lab, self._service(name), self._keeper(lab))

    def stop(self, name: str) -> None:
        """Stop one service as its init system would."""
        self._keeper(self.layout).end([self._service(name).name], _GRACE)

    def restart(self, name: str, progress: Tell = silently) -> None:
        """Stop one service, start it, and wait until every service is ready again."""
        self.stop(name)
        self.start(name)
        self.wait(progress)

    def kill(self, name: str) -> Process:
        """``kill -9`` one service, like a crash; LabError if it is not running."""
        process = self._keeper(self.layout).kill(self._service(name).name)
        if process is None:
            raise LabError(f"{name} does not run", "Start it: stackmend lab up")
        return process

    def wait(self, progress: Tell = silently) -> None:
        """Wait until every service is ready; LabError with the log of one that is not."""
        lab = self.layout
        Waiting(lab, table(lab), self._keeper(lab), progress).for_all(self.connect)

    def wait_host(self, host: str) -> None:
        """Wait until nova-compute of a host has completed its start."""
        lab = self.layout
        keeper = self._keeper(lab)
        seed.wait(lambda: ready.beats(lab, keeper, host), f"nova-compute-{host} to report itself")

    def configure(self, name: str, options: Mapping[str, Mapping[str, object]]) -> None:
        """Set options of one of configuration.overridable (``compute-c01``): section -> option -> value; {} unsets.

        The service reads them at its next start.
        """
        if name not in configuration.overridable(self.layout):
            raise LabError(f"{name} has no options of its own", "See configuration.overridable.")
        configuration.set_options(self.layout.configuration / f"{name}.local.conf", options)

    # ---- access ----

    @property
    def layout(self) -> Layout:
        """Ports, passwords, paths; NoLabError if there is no lab."""
        return layout.load(self.folder)

    @property
    def hosts(self) -> list[str]:
        """Names of the compute hosts: c01, c02, ..."""
        return list(self.layout.hosts)

    @property
    def clouds_yaml(self) -> Path:
        """For OS_CLIENT_CONFIG_FILE; the cloud is named ``lab``."""
        return self.layout.clouds_yaml

    @property
    def toml(self) -> Path:
        """The configuration of stackmend for this lab."""
        return self.layout.toml

    def env(self) -> dict[str, str]:
        """The environment variables for clients."""
        return {"OS_CLIENT_CONFIG_FILE": str(self.clouds_yaml), "OS_CLOUD": "lab"}

    def shell_environment(self) -> dict[str, str]:
        """What ``lab shell`` sets: :meth:`env`, stackmend's configuration, and the services' programs on PATH."""
        path = f"{os.environ.get('PATH', os.defpath)}:{self.layout.services}/bin"
        return {**self.env(), "STACKMEND_CONFIG": str(self.toml), "STACKMEND_LAB": str(self.folder), "PATH": path}

    def database_url(self, name: str) -> str:
        """SQLAlchemy URL of a database, with the account of the services."""
        return self.layout.database_url(name)

    def sql(self, database: str, statement: str, parameters: Any = ()) -> list[dict[str, Any]]:
        """Run one statement with ``%s`` or ``%(name)s`` on nova_api, cell:cell1, neutron, ...; returns the rows."""
        return databases.query(self.layout, database, statement, parameters)

    def connect(self) -> Connection:
        """A connection as administrator; those of one Plane share a token and the discovered service versions."""
        from openstack.config import OpenStackConfig
        from openstack.connection import Connection

        with self._asking:
            if self._account is None:
                config = OpenStackConfig(config_files=[str(self.clouds_yaml)], load_envvars=False, vendor_files=[])
                self._account = config.get_one("lab")
                self._account.get_session()
            return Connection(config=self._account)

    # ---- levers of the fakes ----

    def guests(self, host: str) -> dict[str, Any]:
        """The guests of a host's hypervisor, whatever the databases say: UUID -> name, state, vifs."""
        path = self._guests_file(host)
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def boots(self, host: str, server: str, text: str) -> None:
        """Set what a guest on this host prints on its console when it boots; "": nothing."""
        (self._consoles(host) / f"{server}.boots").write_text(text)

    def console(self, host: str, server: str, text: str | None) -> None:
        """Set the current text on the console of a guest of this host; None: no console."""
        folder = self._consoles(host)
        none = folder / f"{server}.none"
        if text is None:
            none.touch()
            return
        none.unlink(missing_ok=True)
        (folder / server).write_text(text)

    def _consoles(self, host: str) -> Path:
        folder = self._guests_file(host).parent / "consoles"
        folder.mkdir(exist_ok=True)
        return folder

    def plugged(self, host: str) -> set[str]:
        """Ids of the ports plugged on a host."""
        return {path.name for path in (self.folder / "state" / "plugged" / host).iterdir()}

    def lever(self, place: str, action: str, what: str) -> None:
        """Make an action of a fake ``hold`` (wait until released) or ``fail``.

        Places are hosts (actions: spawn, destroy, attach_volume, detach_volume, attach_interface, detach_interface,
        migrate, finish_migration, pre_live_migration, live_migration, post_live_migration_at_source, agent) and
        ``cinder`` (create, delete, connect, disconnect).
        """
        folder = self._levers(place)
        folder.mkdir(exist_ok=True)
        # left by a process that was killed while it was held
        (folder / f"{action}.held").unlink(missing_ok=True)
        # replaced atomically: a service that is already held there must not find the file empty
        whole = folder / f"{action}.new"
        whole.write_text(what)
        whole.replace(folder / action)

    def release(self, place: str, action: str) -> None:
        """Let the action continue."""
        (self._levers(place) / action).unlink(missing_ok=True)

    def release_all(self) -> list[str]:
        """Release every lever; returns their names."""
        found = sorted(self._levers("").glob("*/*"))
        for path in found:
            path.unlink(missing_ok=True)
        return [f"{path.parent.name}/{path.name}" for path in found if path.suffix != ".held"]

    def wait_held(self, place: str, action: str, seconds: float = 60) -> None:
        """Wait until a service is held there."""
        held = self._levers(place) / f"{action}.held"
        seed.wait(held.exists, f"{action} of {place} to be held", seconds)

    def forget_guest(self, host: str, server: str) -> None:
        """The machine lost that guest (it was reinstalled); only while its nova-compute is down."""
        if self._keeper(self.layout).alive(f"nova-compute-{host}"):
            raise LabError(f"nova-compute-{host} runs and remembers its guests", "Stop it first.")
        guests = self.guests(host)
        lost = guests.pop(server, None) or {"vifs": []}
        self._guests_file(host).write_text(json.dumps(guests, indent=1))
        for port in lost["vifs"]:
            (self.folder / "state" / "plugged" / host / port).unlink(missing_ok=True)

    @contextmanager
    def forced_down(self, host: str) -> Iterator[None]:
        """Nova considers the host down at once, as if forced by an operator, until the end of the block."""
        self.force_down(host, True)
        yield
        self.force_down(host, False)

    def force_down(self, host: str, down: bool) -> None:
        """Set or clear forced_down."""
        cloud: Any = self.connect()
        service = next(iter(cloud.compute.services(binary="nova-compute", host=host)))
        cloud.compute.update_service_forced_down(service, forced=down)

    def raise_hosts(self) -> list[str]:
        """Clear forced_down for every host; returns those that were forced down."""
        cloud: Any = self.connect()
        found = [s.host for s in cloud.compute.services(binary="nova-compute") if s.is_forced_down]
        for host in found:
            self.force_down(host, False)
        return found

    def reset_options(self) -> list[str]:
        """Empty every file of :meth:`configure`, and restart the services that had read it; returns their names."""
        changed = []
        for name in configuration.overridable(self.layout):
            path = self.layout.configuration / f"{name}.local.conf"
            if path.read_text():
                configuration.set_options(path, {})
                changed.append(name)
                for service, entry in table(self.layout).items():
                    if str(path) in entry.argv:
                        self.stop(service)
        return changed

    def manage(self, program: str, *words: str, file: str = "nova-cell1") -> None:
        """Run a program of the services (nova-manage, ...); LabError with its output if it fails."""
        lab = self.layout
        argv = [f"{lab.services}/bin/{program}", "--config-file", f"{lab.configuration}/{file}.conf", *words]
        databases.command(lab, argv, lab.logs / f"{program}.log")

    # ---- internal ----

    def _guests_file(self, host: str) -> Path:
        return self.folder / "state" / "nova" / host / "guests.json"

    def _levers(self, place: str) -> Path:
        return self.folder / "state" / "levers" / place

    def _keeper(self, lab: Layout) -> Keeper:
        return Keeper(lab.folder, lab.pids)

    def _service(self, name: str) -> Service:
        services = table(self.layout)
        if name not in services:
            raise UsageError(f"the lab has no service {name}", f"It has: {', '.join(services)}.")
        return services[name]

    def _prepared(self, progress: Tell) -> Layout:
        hosts, cells, given, glances, release = self._asked
        if release and release not in RUNNABLE:
            raise UsageError(f"no lab runs the services of {release}", f"Of these: {', '.join(RUNNABLE)}.")
        try:
            lab = layout.load(self.folder)
            before = lab.glance_nodes
            services = install.find_services(given, lab.services, self.folder, lab.release)
            lab = layout.adapted(lab, hosts, cells, services, glances, release)
            if lab.glance_nodes != before:
                seed.spread_images(lab, {*before, *lab.glance_nodes})
        except layout.NoLabError:
            progress(f"making a lab in {self.folder}")
            services = install.find_services(given, None, self.folder, release or NEWEST)
            lab = layout.create(self.folder, hosts, cells, services, glances, release)
        lab.save()
        lab.logs.mkdir(exist_ok=True)
        install.ensure_packages(progress, lab.logs / "packages.log")
        install.ensure_services(lab.services, progress, lab.logs / "services.log", lab.release)
        configuration.write(lab)
        return lab

    def _identity(
        self, lab: Layout, services: Mapping[str, Service], keeper: Keeper, waiting: Waiting, progress: Tell
    ) -> None:
        bootstrap.make_admin(lab)
        self._start_stage(lab, services, keeper, Stage.IDENTITY, progress)
        waiting.for_web("keystone")
        bootstrap.make_catalog(lab, self.connect())
        self._account = None  # its token has no service catalogue yet

    def _start_stage(
        self, lab: Layout, services: Mapping[str, Service], keeper: Keeper, stage: Stage, progress: Tell
    ) -> None:
        down = [s for s in services.values() if s.stage is stage and not keeper.alive(s.name)]
        if down:
            names = [service.name for service in down]
            progress("starting " + (", ".join(names) if len(names) < 5 else f"{len(names)} services"))
        for service in down:
            self._start(lab, service, keeper)

    def _start(self, lab: Layout, service: Service, keeper: Keeper) -> None:
        variables = {**environment(lab), **service.environment}
        keeper.start(service.name, service.argv, variables, lab.logs / f"{service.name}.log")

    def _refuse_taken_ports(self, lab: Layout, services: Mapping[str, Service], keeper: Keeper) -> None:
        for service in services.values():
            if not service.listener or keeper.alive(service.name):
                continue
            keeper.end([service.name], 2)  # a worker may have outlived its master
            port = lab.ports[service.listener]
            if not layout.is_free(port):
                raise LabError(
                    f"port {port} of {service.name} is taken by another program",
                    "End that program, or begin anew with other ports: stackmend lab down --remove",
                )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One ``up`` or ``down`` at a time."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = (self.folder / "lock").open("w")
        except OSError as problem:
            raise UsageError(f"{self.folder} cannot be used: {problem.strerror}", "Name another --folder.") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError(f"another 'stackmend lab' is at work in {self.folder}", "Wait for it.") from None
            yield


def _state(lab: Layout, service: Service, keeper: Keeper) -> ServiceState:
    process = keeper.alive(service.name)
    state = "running" if process else "died" if keeper.known(service.name) else "stopped"
    return ServiceState(
        name=service.name,
        state=state,
        pid=process.pid if process else None,
        port=lab.ports[service.listener] if service.listener else None,
        log=lab.logs / f"{service.name}.log",
    )
