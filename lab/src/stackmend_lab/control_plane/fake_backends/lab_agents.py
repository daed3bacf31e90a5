# SPDX-License-Identifier: Apache-2.0
"""The Open vSwitch agents of all hosts in one process: ``lab_agents.py HOST... --config-file neutron.conf``.

It sends the heartbeats of neutron-openvswitch-agent, and for every file ``<state>/plugged/<host>/<port id>`` that
appears or disappears it makes the calls that the agent makes for a tap device. While a host's lever ``agent`` is set
(to any word), its agent is silent.
"""

import time

from lab_neutron import begin  # isort: skip - first of all it makes threads green where Neutron's are

import oslo_messaging
from lab_levers import STATE, word
from neutron.agent import rpc as agent_rpc
from neutron_lib.agent import topics
from oslo_log import log as logging

LOG = logging.getLogger(__name__)
BEAT = 5.0  #: seconds between heartbeats
POLL = 0.3  #: seconds between polls of the files
#: seconds to wait for the first answer, doubled with each try: while neutron-rpc starts, what is asked of it is lost
PATIENCE = 2


class Agent:
    """The agent of one host."""

    def __init__(self, name, number, state_rpc, plugin, context):
        self.name = name
        self.known = {}
        self.touched = set()
        self._folder = STATE / "plugged" / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._state_rpc, self._plugin, self._context = state_rpc, plugin, context
        self._fresh, self._beat = True, 0.0
        self._state = {
            "binary": "neutron-openvswitch-agent",
            "host": name,
            "topic": "N/A",
            "agent_type": "Open vSwitch agent",
            "configurations": {
                "bridge_mappings": {"physnet1": "br-ex"},
                "tunnel_types": ["vxlan"],
                "tunneling_ip": f"10.255.0.{number}",
                "l2_population": False,
                "arp_responder_enabled": False,
                "enable_distributed_routing": False,
                "log_agent_heartbeats": False,
                "extensions": [],
                "datapath_type": "system",
                "ovs_capabilities": {"datapath_types": ["system"], "iface_types": ["tap", "vxlan"]},
                "ovs_hybrid_plug": False,
                "vhostuser_socket_dir": "/var/run/openvswitch",
            },
        }

    def step(self):
        """Send a heartbeat, and report interfaces that appeared or disappeared."""
        if word(self.name, "agent"):
            self._fresh = True
            return
        if time.monotonic() - self._beat > BEAT:
            state = dict(self._state)
            if self._fresh:
                state.update(start_flag=True, uuid=None)
            self._state_rpc.report_state(self._context, state, use_call=True)
            self._fresh, self._beat = False, time.monotonic()
        self._tell(self._plugged())

    def _plugged(self):
        """Port -> time of plugging, which differs if it was unplugged and plugged again between two polls."""
        found = {}
        for path in self._folder.iterdir():
            try:
                found[path.name] = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
        return found

    def _tell(self, have):
        up = {port for port, moment in have.items() if self.known.get(port) != moment}
        up |= {port for port in list(self.touched) if port in have}
        self.touched.clear()
        down = set(self.known) - set(have)
        agent = f"ovs-agent-{self.name}"
        if up:
            # requesting details sets a port to BUILD, so that "up" causes a network-vif-plugged
            self._plugin.get_devices_details_list(self._context, sorted(up), agent, host=self.name)
        if up or down:
            self._plugin.update_device_list(self._context, sorted(up), sorted(down), agent, self.name)
            LOG.info("%s: up %s, down %s", self.name, sorted(up), sorted(down))
        self.known = have


class Listener:
    """Neutron's calls to its agents."""

    target = oslo_messaging.Target(version="1.4")

    def __init__(self, agents):
        self._agents = agents

    def port_update(self, context, **call):
        """A port changed: report it again, as the agent does after the activation of a binding."""
        port = call["port"]["id"]
        for agent in self._agents:
            if port in agent.known:
                agent.touched.add(port)


def main():
    hosts, state_rpc, context = begin()
    patience, state_rpc.timeout = state_rpc.timeout, PATIENCE
    plugin = agent_rpc.PluginApi(topics.PLUGIN)
    agents = [Agent(name, number, state_rpc, plugin, context) for number, name in enumerate(hosts, 1)]
    agent_rpc.create_consumers([Listener(agents)], topics.AGENT, [[topics.PORT, topics.UPDATE]])
    while True:
        for agent in agents:
            try:
                agent.step()
                state_rpc.timeout = patience
            except oslo_messaging.MessagingTimeout as problem:
                LOG.warning("%s: %r", agent.name, problem)
                state_rpc.timeout = min(2 * state_rpc.timeout, patience)
            except (oslo_messaging.MessagingException, OSError) as problem:
                LOG.warning("%s: %r", agent.name, problem)
                time.sleep(1)
        time.sleep(POLL)


if __name__ == "__main__":
    main()
