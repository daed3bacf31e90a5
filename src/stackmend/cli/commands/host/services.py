# SPDX-License-Identifier: Apache-2.0
"""``host stop`` and ``host start``: stop and mask services of a host, and start them again."""

from __future__ import annotations

import argparse

from stackmend.cli.options import add_object
from stackmend.cli.request import Working


class _Services(Working):
    """A request about the services of a host."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "host", help="name of the host, as in 'openstack compute service list'")
        parser.add_argument(
            "--service",
            action="append",
            default=[],
            dest="services",
            metavar="NAME",
            help="a service, such as neutron-openvswitch-agent; may be repeated (default: nova-compute)",
        )
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The host, and the services if named."""
        return {"host": parsed_args.host} | ({"services": parsed_args.services} if parsed_args.services else {})

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The host and the services."""
        return [parsed_args.host, *(word for name in parsed_args.services for word in ("--service", name))]


class HostStop(_Services):
    """Stop nova-compute, or other services, so that neither configuration management nor a reboot starts them.

    Works with systemd, docker, podman and init scripts; needs access to the host ([hosts] in the configuration).
    Guests keep running.
    """

    workflow = "stop-host"
    examples = """
  $ stackmend host stop compute-07
  $ stackmend host stop compute-07 --service nova-compute --service neutron-openvswitch-agent --yes"""


class HostStart(_Services):
    """Restore stopped services to exactly their previous state: running, enabled, with their restart policy."""

    workflow = "start-host"
    examples = """
  $ stackmend host start compute-07 --yes
  $ stackmend host start compute-07 --service nova-compute --service neutron-openvswitch-agent --yes"""


COMMANDS = {"host stop": HostStop, "host start": HostStart}
