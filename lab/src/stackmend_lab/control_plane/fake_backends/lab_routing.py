# SPDX-License-Identifier: Apache-2.0
"""L3 and DHCP agents that report and accept everything: ``lab_routing.py HOST... --config-file neutron.conf``.

Neutron's database records what they serve, but nothing is served. They are not part of the lab by default: if a DHCP
agent is alive, Neutron waits for it with every port of a network that it serves.
"""

import time

from lab_neutron import begin  # isort: skip - first of all it makes threads green where Neutron's are

import oslo_messaging
from neutron_lib import rpc
from neutron_lib.agent import topics
from oslo_log import log as logging

LOG = logging.getLogger(__name__)
BEAT = 5.0  #: seconds between heartbeats

KINDS = {
    "L3 agent": (
        "neutron-l3-agent",
        topics.L3_AGENT,
        {"agent_mode": "legacy", "handle_internal_only_routers": True, "interface_driver": "openvswitch", "routers": 0},
    ),
    "DHCP agent": (
        "neutron-dhcp-agent",
        topics.DHCP_AGENT,
        {"dhcp_driver": "neutron.agent.linux.dhcp.Dnsmasq", "dhcp_lease_duration": 86400, "networks": 0},
    ),
}


class Yes:
    """Accepts every call: Neutron waits for the response of an L3 agent."""

    target = oslo_messaging.Target(version="1.9")

    def __getattr__(self, name):
        if name.startswith(("_", "oslo_")):
            raise AttributeError(name)
        return lambda context, **told: LOG.info("%s %s", name, sorted(told))


def main():
    hosts, reports, context = begin()
    for host in hosts:
        for _, topic, _ in KINDS.values():
            rpc.get_server(oslo_messaging.Target(topic=topic, server=host), [Yes()]).start()
    fresh = {"start_flag": True, "uuid": None}
    while True:
        for host in hosts:
            for kind, (binary, topic, configurations) in KINDS.items():
                state = {"agent_type": kind, "binary": binary, "host": host, "topic": topic}
                try:
                    reports.report_state(context, {**state, "configurations": configurations, **fresh}, use_call=True)
                except oslo_messaging.MessagingException as problem:
                    LOG.warning("%s of %s: %r", kind, host, problem)
        fresh = {}
        time.sleep(BEAT)


if __name__ == "__main__":
    main()
