# SPDX-License-Identifier: Apache-2.0
"""The table of services: how each is started, on which port, and in which order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from stackmend_lab.control_plane.install import RABBITMQ, SYSTEM_PATH, bytecode_cache, program
from stackmend_lab.control_plane.layout import Layout
from stackmend_lab.control_plane.releases import RUNNABLE

FAKE_BACKENDS = Path(__file__).parent / "fake_backends"
NODE = "lab@localhost"  #: name of the RabbitMQ node

#: where a release does not have that module yet, its WSGI application is a script
_SCRIPTS = {
    "keystone.wsgi.api": "keystone-wsgi-public",
    "placement.wsgi.api": "placement-api",
    "glance.wsgi.api": "glance-wsgi-api",
    "cinder.wsgi.api": "cinder-wsgi",
}
#: not inherited by services, as these would change how their Python works
_NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "PYTHONUNBUFFERED")


class Stage(IntEnum):
    """The order of starts; within a stage all start at once."""

    GROUND = 0  #: database and queue
    IDENTITY = 1  #: required by the others: some end for good if it refuses them
    CONTROL = 2
    HOSTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process with its children."""

    name: str
    argv: tuple[str, ...]
    stage: Stage
    environment: Mapping[str, str] = field(default_factory=dict)  #: in addition to the common environment
    listener: str = ""  #: name of its port
    host: str = ""  #: the compute host it represents


def table(layout: Layout) -> dict[str, Service]:
    """Every service of the lab by name, in starting order."""
    found = [*_ground(layout), *_web(layout), *_control(layout), *_hosts(layout)]
    return {service.name: service for service in sorted(found, key=lambda s: s.stage)}


def environment(layout: Layout) -> dict[str, str]:
    """The environment of every service, and of the services' own programs."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_INHERITED and not name.startswith(("OS_", "RABBITMQ_", "STACKMEND_"))
    }
    path = f"{layout.services}/bin:{inherited.get('PATH', '')}:{SYSTEM_PATH}"
    own = {
        "PATH": path,
        "PYTHONPATH": str(FAKE_BACKENDS),
        "PYTHONWARNINGS": "ignore",
        "STACKMEND_LAB_STATE": str(layout.state),
        "OS_LOG_COLOR": "false",
    }
    if cache := bytecode_cache(layout.services):
        own["PYTHONPYCACHEPREFIX"] = str(cache)
    return {**inherited, **own}


def _ground(layout: Layout) -> list[Service]:
    etc, folder = layout.configuration, layout.folder
    epmd = {"ERL_EPMD_PORT": str(layout.ports["epmd"]), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    rabbitmq = {
        **epmd,
        "HOME": f"{folder}/rabbitmq",  # the Erlang cookie is created there
        "RUNNING_UNDER_SYSTEMD": "true",  # the script execs the broker, instead of staying as a shell that watches it
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_CONF_ENV_FILE": f"{etc}/none",
        "RABBITMQ_CONFIG_FILE": f"{etc}/rabbitmq",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{etc}/none",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(layout.ports["rabbitmq"]),
        "RABBITMQ_DIST_PORT": str(layout.ports["rabbitmq-nodes"]),
        "RABBITMQ_MNESIA_BASE": f"{folder}/rabbitmq/mnesia",
        "RABBITMQ_LOG_BASE": str(layout.logs),
        "RABBITMQ_PID_FILE": f"{folder}/rabbitmq/pid",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/rabbitmq/enabled_plugins",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
    }
    return [
        Service(
            name="mariadb",
            argv=(program("mariadbd"), f"--defaults-file={etc}/my.cnf"),
            stage=Stage.GROUND,
            listener="mariadb",
        ),
        # started by us, in the foreground: started by RabbitMQ it would be a daemon that nobody ends
        Service(
            name="epmd",
            argv=(program("epmd"), "-address", "127.0.0.1", "-port", epmd["ERL_EPMD_PORT"]),
            stage=Stage.GROUND,
            environment=epmd,
            listener="epmd",
        ),
        Service(name="rabbitmq", argv=(str(RABBITMQ),), stage=Stage.GROUND, environment=rabbitmq, listener="rabbitmq"),
    ]


def _web(layout: Layout) -> list[Service]:
    etc = str(layout.configuration)
    return [
        _uwsgi(layout, "keystone", "keystone", "keystone.wsgi.api", 4, Stage.IDENTITY,
               {"OS_KEYSTONE_CONFIG_FILES": f"{etc}/keystone.conf"}),
        _uwsgi(layout, "placement", "placement", "placement.wsgi.api", 4, Stage.CONTROL,
               {"OS_PLACEMENT_CONFIG_DIR": etc}),
        *_glances(layout),
        *(_eventlet if RUNNABLE[layout.release].eventlet else _threaded)(layout),
        # Cinder's module parses the arguments of the program
        _uwsgi(layout, "cinder-api", "cinder", "cinder.wsgi.api", 4, Stage.CONTROL, {},
               "--pyargv", f"--config-file={etc}/cinder.conf --config-file={etc}/cinder.local.conf"),
    ]  # fmt: skip


def _threaded(layout: Layout) -> list[Service]:
    """Nova's and Neutron's APIs as WSGI applications."""
    etc = str(layout.configuration)
    paste = layout.services / "etc" / "nova" / "api-paste.ini"
    return [
        # the first file is the one with the pipelines, whatever else is named
        _uwsgi(layout, "nova-api", "nova", "nova.wsgi.osapi_compute", 6, Stage.CONTROL,
               {"OS_NOVA_CONFIG_DIR": etc, "OS_NOVA_CONFIG_FILES": f"{paste};nova.conf;nova.local.conf"}),
        _uwsgi(layout, "neutron-api", "neutron", "neutron.wsgi.api", 6, Stage.CONTROL,
               {"OS_NEUTRON_CONFIG_DIR": etc, "OS_NEUTRON_CONFIG_FILES": "neutron.conf;neutron.local.conf"}),
    ]  # fmt: skip


def _eventlet(layout: Layout) -> list[Service]:
    """Both as servers of their own: within uwsgi, green threads only go on with the next request."""
    names = (
        ("nova-api", "nova-api-os-compute", "nova", ("nova", "nova.local")),
        ("neutron-api", "neutron-server", "neutron", ("neutron", "neutron.local", "neutron-server")),
    )
    return [
        Service(name=name, argv=_command(layout, program, *files), stage=Stage.CONTROL, listener=listener)
        for name, program, listener, files in names
    ]


def _glances(layout: Layout) -> list[Service]:
    """Glance. Several nodes are behind a load balancer, which the catalog and Nova name; each also has its own port."""
    etc, app = layout.configuration, "glance.wsgi.api"
    if not layout.glance_nodes:
        return [_uwsgi(layout, "glance-api", "glance", app, 4, Stage.CONTROL, {"OS_GLANCE_CONFIG_DIR": str(etc)},
                       "--chdir", str(layout.glance_folder("")))]  # fmt: skip
    nodes = [
        _uwsgi(layout, f"{node}-api", node, app, 2, Stage.CONTROL, {"OS_GLANCE_CONFIG_DIR": str(etc / node)},
               "--chdir", str(layout.glance_folder(node)))
        for node in layout.glance_nodes
    ]  # fmt: skip
    ways = (f"{node}={layout.ports[node]}" for node in layout.glance_nodes)
    argv = (f"{layout.services}/bin/python", f"{FAKE_BACKENDS}/lab_balancer.py", str(layout.ports["glance"]), *ways)
    return [*nodes, Service(name="glance-balancer", argv=argv, stage=Stage.CONTROL, listener="glance")]


def _uwsgi(
    layout: Layout,
    name: str,
    listener: str,
    module: str,
    threads: int,
    stage: Stage,
    own: Mapping[str, str],
    *more: str,
) -> Service:
    script = _SCRIPTS[module] if RUNNABLE[layout.release].eventlet else ""
    application = (
        ("--wsgi-file", f"{layout.services}/bin/{script}") if script else ("--module", f"{module}:application")
    )
    argv = (
        f"{layout.services}/bin/uwsgi", "--http-socket", f"127.0.0.1:{layout.ports[listener]}", *application,
        "--master", "--die-on-term", "--processes", "1",
        "--threads", str(threads), "--enable-threads", "--lazy-apps", "--need-app", "--thunder-lock",
        "--buffer-size", "65535", "--add-header", "Connection: close", "--disable-logging",
        "--worker-reload-mercy", "5", *more,
    )  # fmt: skip
    return Service(name=name, argv=argv, stage=stage, environment=own, listener=listener)


def _control(layout: Layout) -> list[Service]:
    def service(name: str, program: str, files: str) -> Service:
        return Service(name=name, argv=_command(layout, program, files, f"{files}.local"), stage=Stage.CONTROL)

    found = [
        service("nova-scheduler", "nova-scheduler", "nova"),
        service("nova-conductor", "nova-conductor", "nova"),
        service("cinder-scheduler", "cinder-scheduler", "cinder"),
        service("cinder-volume", "cinder-volume", "cinder"),
    ]
    if not RUNNABLE[layout.release].eventlet:  # neutron-server does that as well: without RPC it would tell no agent
        found.append(service("neutron-rpc", "neutron-rpc-server", "neutron"))
        found.append(service("neutron-periodic", "neutron-periodic-workers", "neutron"))
    # the first cell is served by the conductor above
    further = (cell for cell in layout.cells if cell != "cell1")
    return found + [service(f"nova-conductor-{cell}", "nova-conductor", f"nova-{cell}") for cell in further]


def _hosts(layout: Layout) -> list[Service]:
    python = f"{layout.services}/bin/python"
    found = [
        Service(
            name=f"nova-compute-{host}",
            argv=(
                python,
                f"{FAKE_BACKENDS}/lab_compute.py",
                *_files(layout, f"nova-{cell}", f"nova-{cell}.local", f"compute-{host}", f"compute-{host}.local"),
            ),
            stage=Stage.HOSTS,
            host=host,
        )
        for host, cell in layout.hosts.items()
    ]
    agents = (python, f"{FAKE_BACKENDS}/lab_agents.py", *layout.hosts, *_files(layout, "neutron"))
    return [*found, Service(name="agents", argv=agents, stage=Stage.HOSTS)]


def _command(layout: Layout, program: str, *files: str) -> tuple[str, ...]:
    return (f"{layout.services}/bin/{program}", *_files(layout, *files))


def _files(layout: Layout, *names: str) -> tuple[str, ...]:
    return tuple(word for name in names for word in ("--config-file", f"{layout.configuration}/{name}.conf"))
