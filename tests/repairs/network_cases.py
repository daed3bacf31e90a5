# SPDX-License-Identifier: Apache-2.0
"""The table of test_network_info.py: servers whose ports are out of the ordinary and whose cache is lost or damaged."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackmend_lab.cloud import Cloud, Server
from stackmend_lab.plants._networks import attribute, new_port, port_of, vifs, write

from .network_rows import add_address, add_floating, add_segment, add_subnet, bind, dhcp_port, lost, network_of

CASES: dict[str, Callable[[Cloud], Case]] = {}


@dataclass
class Case:
    """A server to rebuild, and the ports that were there before Nova got them."""

    server: Server
    preexisting: list[str] = field(default_factory=list)
    refused: str = ""  #: a part of the reason for which neither Nova nor the repair builds it
    ordered: bool = True  #: every port has a NIC row, so that Nova knows the order


def case(make: Callable[[Cloud], Case]) -> Callable[[Cloud], Case]:
    """A row of the table, by the name of its function."""
    CASES[make.__name__.strip("_")] = make
    return make


@case
def ovs(cloud: Cloud) -> Case:
    """As most are."""
    return Case(lost(cloud))


@case
def ovs_without_a_bridge_name(cloud: Cloud) -> Case:
    """The bridge is that of the configuration, and Nova cuts it."""
    server = lost(cloud)
    bind(cloud, server, vif_details={"port_filter": True})
    return Case(server)


@case
def hybrid_plug(cloud: Cloud) -> Case:
    """The older firewall driver."""
    server = lost(cloud)
    bind(cloud, server, vif_details={"port_filter": True, "ovs_hybrid_plug": True, "datapath_type": "system"})
    return Case(server)


@case
def trunk_bridge(cloud: Cloud) -> Case:
    """The parent of a trunk has a bridge of its own, whose name is longer than Nova's limit."""
    server = lost(cloud)
    bind(cloud, server, vif_details={"port_filter": True, "bridge_name": "tbr-0123456789-longer"})
    return Case(server)


@case
def agilio(cloud: Cloud) -> Case:
    """A smart NIC that looks like OVS."""
    server = lost(cloud)
    bind(cloud, server, vif_type="agilio_ovs", vnic_type="virtio-forwarder")
    return Case(server)


@case
def vhostuser_on_ovs(cloud: Cloud) -> Case:
    """DPDK: the interface id is the port's."""
    server = lost(cloud)
    bind(cloud, server, vif_type="vhostuser", vif_details={"vhostuser_ovs_plug": True, "vhostuser_socket": "/run/x"})
    return Case(server)


@case
def vhostuser_on_a_fast_path(cloud: Cloud) -> Case:
    """A fast path plugs into a bridge that is named for the network."""
    server = lost(cloud)
    bind(cloud, server, vif_type="vhostuser", vif_details={"vhostuser_fp_plug": True})
    return Case(server)


@case
def vhostuser_of_another_kind(cloud: Cloud) -> Case:
    """Neither OVS nor a fast path: no bridge."""
    server = lost(cloud)
    bind(cloud, server, vif_type="vhostuser", vif_details={"vhostuser_mode": "client"})
    return Case(server)


@case
def dvs(cloud: Cloud) -> Case:
    """VMware: the bridge is the whole id of the network."""
    server = lost(cloud)
    bind(cloud, server, vif_type="dvs", vif_details={})
    return Case(server)


@case
def direct(cloud: Cloud) -> Case:
    """SR-IOV: the profile says which device, and that it is trusted."""
    server = lost(cloud)
    profile = {"pci_vendor_info": "8086:154d", "pci_slot": "0000:81:10.2", "physical_network": "physnet2"}
    profile |= {"card_serial_number": "Zürich", "vf_num": 3, "capabilities": ["switchdev"]}
    port = bind(cloud, server, vif_type="hw_veb", vnic_type="direct", profile=profile, vif_details={"vlan": "8"})
    cloud.insert("neutron", "porttrusted", port_id=port, trusted=1)
    return Case(server)


@case
def direct_not_trusted(cloud: Cloud) -> Case:
    """What is said not to be trusted is written down, too."""
    server = lost(cloud)
    port = bind(cloud, server, vif_type="hostdev_physical", vnic_type="direct-physical", profile={"a": {"b": [1]}})
    cloud.insert("neutron", "porttrusted", port_id=port, trusted=0)
    return Case(server)


@case
def qbg(cloud: Cloud) -> Case:
    """802.1Qbg: Nova has parameters for it in the document, and never fills them in."""
    server = lost(cloud)
    bind(cloud, server, vif_type="802.1qbg", vnic_type="macvtap", vif_details={"profileid": "p", "vlan": 3})
    return Case(server)


@case
def qbh(cloud: Cloud) -> Case:
    """802.1Qbh likewise."""
    server = lost(cloud)
    bind(cloud, server, vif_type="802.1qbh", vnic_type="macvtap", vif_details={"profileid": "p"}, profile="")
    return Case(server)


@case
def details_that_are_no_document(cloud: Cloud) -> Case:
    """Neutron takes what cannot be parsed for nothing."""
    server = lost(cloud)
    bind(cloud, server, vif_details="{broken", profile="")
    return Case(server)


@case
def without_a_binding(cloud: Cloud) -> Case:
    """A stopped server whose port lost its binding: type null."""
    server = lost(cloud, "stopped")
    cloud.delete("neutron", "ml2_port_binding_levels", {"port_id": server.ports[0]})
    cloud.delete("neutron", "ml2_port_bindings", {"port_id": server.ports[0]})
    return Case(server)


@case
def levels_of_two_hosts(cloud: Cloud) -> Case:
    """Levels that a migration left behind count as well: the last of them says which driver bound."""
    server = lost(cloud)
    for host, level, driver in (("zzz", 0, "sriovnicswitch"), ("zzz", 1, "l2population")):
        cloud.insert(
            "neutron", "ml2_port_binding_levels", port_id=server.ports[0], host=host, level=level, driver=driver
        )
    return Case(server)


@case
def inactive(cloud: Cloud) -> Case:
    """A port that is down is not active."""
    server = lost(cloud)
    cloud.update("neutron", "ports", {"id": server.ports[0]}, status="DOWN")
    return Case(server)


@case
def switched_off(cloud: Cloud) -> Case:
    """A port that is switched off counts as active, so that nobody waits for it."""
    server = lost(cloud)
    cloud.update("neutron", "ports", {"id": server.ports[0]}, status="DOWN", admin_state_up=0)
    return Case(server)


@case
def jumbo_frames_on_a_vlan(cloud: Cloud) -> Case:
    """MTU and physical network of a provider network."""
    server = lost(cloud)
    network = network_of(cloud, server)
    cloud.update("neutron", "networks", {"id": network}, mtu=9000, name="")
    where = {"network_id": network}
    cloud.update("neutron", "networksegments", where, network_type="vlan", physical_network="physnet1")
    return Case(server)


@case
def several_segments(cloud: Cloud) -> Case:
    """A network of several segments: the first physical one counts, dynamic ones do not."""
    server = lost(cloud)
    network = network_of(cloud, server)
    for index, kind, physical, dynamic in (
        (1, "vlan", "physnet7", 1),
        (3, "vlan", "physnet3", 0),
        (2, "vlan", "physnet9", 0),
    ):
        values = {"network_type": kind, "physical_network": physical, "is_dynamic": dynamic}
        add_segment(cloud, network, f"0{9 - index}{uuid.uuid4()}"[:36], index, **values)
    return Case(server)


@case
def only_a_dynamic_segment_more(cloud: Cloud) -> Case:
    """One static segment and one dynamic: as if there were one."""
    server = lost(cloud)
    values = {"network_type": "vlan", "physical_network": "physnet1", "is_dynamic": 1}
    add_segment(cloud, network_of(cloud, server), str(uuid.uuid4()), 1, **values)
    return Case(server)


@case
def without_a_segment(cloud: Cloud) -> Case:
    """No segment at all: neither physical nor tunneled."""
    server = lost(cloud)
    cloud.delete("neutron", "ml2_port_binding_levels", {"port_id": server.ports[0]})
    cloud.delete("neutron", "networksegments", {"network_id": network_of(cloud, server)})
    return Case(server)


@case
def segments_without_a_physical_network(cloud: Cloud) -> Case:
    """Nova raises, the repair refuses."""
    server = lost(cloud)
    values = {"network_type": "gre", "physical_network": None}
    add_segment(cloud, network_of(cloud, server), str(uuid.uuid4()), 1, **values)
    return Case(server, refused="physical network")


@case
def linux_bridge(cloud: Cloud) -> Case:
    """Nova raises since 34, the repair refuses."""
    server = lost(cloud)
    bind(cloud, server, vif_type="bridge", vif_details={"port_filter": True})
    return Case(server, refused="Linux bridge")


@case
def several_addresses(cloud: Cloud) -> Case:
    """Addresses come in the order of their text, as Neutron keeps them."""
    server = lost(cloud)
    network = network_of(cloud, server)
    (subnet,) = cloud.rows("neutron", "SELECT id FROM subnets WHERE network_id = :n", {"n": network})
    for address in ("10.1.0.100", "10.1.0.20", "10.1.0.3"):
        add_address(cloud, server.ports[0], subnet["id"], address)
    return Case(server)


def _dual(cloud: Cloud, six: str) -> Case:
    server = lost(cloud)
    network = network_of(cloud, server)
    cloud.delete("neutron", "ipallocations", {"port_id": server.ports[0]})
    for subnet, cidr, address, mode in (
        ("77777777-0000-4000-8000-" + server.uuid[-12:], "10.2.0.0/16", "10.2.0.7", None),
        (six + "-0000-4000-8000-" + server.uuid[-12:], "2001:db8:9::/64", "2001:db8:9::7", "dhcpv6-stateful"),
    ):
        add_subnet(cloud, network, cidr, id=subnet, ipv6_address_mode=mode, ipv6_ra_mode=mode, enable_dhcp=1)
        add_address(cloud, server.ports[0], subnet, address)
    return Case(server)


@case
def dual_stack(cloud: Cloud) -> Case:
    """IPv4 and IPv6."""
    return _dual(cloud, "88888888")


@case
def dual_stack_with_ipv6_first(cloud: Cloud) -> Case:
    """Neutron lists subnets by their ids, which have nothing to do with the order of the addresses."""
    return _dual(cloud, "66666666")


@case
def ipv6_alone(cloud: Cloud) -> Case:
    """No IPv4, SLAAC, a gateway."""
    server = lost(cloud)
    cloud.delete("neutron", "ipallocations", {"port_id": server.ports[0]})
    values = {"ipv6_address_mode": "slaac", "gateway_ip": "2001:db8:a::1"}
    subnet = add_subnet(cloud, network_of(cloud, server), "2001:db8:a::/64", **values)
    add_address(cloud, server.ports[0], subnet, "2001:db8:a:0:f816:3eff:fe00:1")
    cloud.insert("neutron", "dnsnameservers", address="2001:4860:4860::8888", subnet_id=subnet, order=0)
    return Case(server)


@case
def without_an_address(cloud: Cloud) -> Case:
    """A port without addresses has no subnets."""
    server = lost(cloud)
    cloud.delete("neutron", "ipallocations", {"port_id": server.ports[0]})
    return Case(server)


@case
def name_servers_and_routes(cloud: Cloud) -> Case:
    """DNS servers in their order, static routes, no gateway."""
    server = lost(cloud)
    network = network_of(cloud, server)
    (subnet,) = cloud.rows("neutron", "SELECT id FROM subnets WHERE network_id = :n", {"n": network})
    cloud.update("neutron", "subnets", {"id": subnet["id"]}, gateway_ip=None)
    for order, address in enumerate(("9.9.9.9", "1.1.1.1", "2620:fe::fe")):
        cloud.insert("neutron", "dnsnameservers", address=address, subnet_id=subnet["id"], order=order)
    for destination, nexthop in (("192.168.9.0/24", "10.1.0.5"), ("172.16.0.0/12", "10.1.0.4")):
        values = {"destination": destination, "nexthop": nexthop}
        cloud.insert("neutron", "subnetroutes", subnet_id=subnet["id"], **values)
    return Case(server)


def _dhcp(cloud: Cloud, ports: Mapping[str, str]) -> Case:
    server = lost(cloud)
    network = network_of(cloud, server)
    (subnet,) = cloud.rows("neutron", "SELECT id FROM subnets WHERE network_id = :n", {"n": network})
    cloud.update("neutron", "subnets", {"id": subnet["id"]}, enable_dhcp=1)
    for start, address in ports.items():
        dhcp_port(cloud, network, subnet["id"], address, start + str(uuid.uuid4())[2:])
    return Case(server)


@case
def dhcp_by_an_agent(cloud: Cloud) -> Case:
    """The address of the agent's port is the DHCP server's."""
    return _dhcp(cloud, {"55": "10.1.0.2"})


@case
def dhcp_by_two_agents(cloud: Cloud) -> Case:
    """Of two agents the last port by id is named."""
    return _dhcp(cloud, {"99": "10.1.0.4", "11": "10.1.0.5"})


@case
def dhcp_without_an_agent(cloud: Cloud) -> Case:
    """OVN answers itself: DHCP is on, there is no server."""
    return _dhcp(cloud, {})


@case
def floating_ips(cloud: Cloud) -> Case:
    """Two floating IPs of one address, from two public networks, and one of another address."""
    server = lost(cloud)
    network, port = network_of(cloud, server), server.ports[0]
    (subnet,) = cloud.rows("neutron", "SELECT id FROM subnets WHERE network_id = :n", {"n": network})
    add_address(cloud, port, subnet["id"], "10.1.0.44")
    for fixed, address in (("10.1.0.9", "203.0.113.7"), ("10.1.0.9", "198.51.100.3"), ("10.1.0.44", "203.0.113.8")):
        add_floating(cloud, port, fixed, address)
    return Case(server)


@case
def several_nics(cloud: Cloud) -> Case:
    """NICs come in the order of their rows in Nova, which is not that of their ids."""
    kept = {
        vif["id"] for server in cloud.servers("multi_nic") for vif in vifs(cloud, server) if vif["preserve_on_delete"]
    }
    server = lost(cloud, "multi_nic")
    rows = cloud.rows(
        server.database, "SELECT id, uuid FROM virtual_interfaces WHERE instance_uuid = :u ORDER BY id",
        {"u": server.uuid},
    )  # fmt: skip
    # laid anew, so that the port with the highest id comes first
    for row in rows:
        cloud.delete(server.database, "virtual_interfaces", {"id": row["id"]})
    for port in sorted((row["uuid"] for row in rows), reverse=True):
        mac = port_of(cloud, port)["mac_address"]
        values = {"uuid": port, "instance_uuid": server.uuid, "deleted": 0, "created_at": cloud.ago(7200)}
        cloud.insert(server.database, "virtual_interfaces", address=f"{mac}/{port}", **values)
    return Case(server, preexisting=[port for port in server.ports if port in kept])


@case
def nics_without_rows(cloud: Cloud) -> Case:
    """Without rows Nova takes the ports by id. The repair knows better, and makes rows that tell Nova."""
    server = lost(cloud, "multi_nic")
    cloud.delete(server.database, "virtual_interfaces", {"instance_uuid": server.uuid})
    for age, port in enumerate(sorted(server.ports)):
        attribute(cloud, port, created_at=cloud.ago(90_000 - 1000 * -age))
    return Case(server, preexisting=sorted(server.ports), ordered=False)


@case
def kept_as_the_old_document_says(cloud: Cloud) -> Case:
    """A document of which another member is wrong keeps its flags, whatever the ports look like."""
    server = cloud.pick("multi_nic")
    found = vifs(cloud, server)
    for vif in found:
        vif["preserve_on_delete"] = vif["id"] == server.ports[0]
        vif["network"]["label"] = "an old name"
    write(cloud, server, json.dumps(found))
    for port in server.ports:
        cloud.update("neutron", "ports", {"id": port}, name="looks kept")
    return Case(server)


@case
def kept_by_age(cloud: Cloud) -> Case:
    """The cache is gone: a port that is older than its server was its owner's."""
    server = lost(cloud, "premade_port")
    cloud.update("neutron", "ports", {"id": server.ports[0]}, name="")
    return Case(server, preexisting=[server.ports[0]])


@case
def kept_by_its_marks(cloud: Cloud) -> Case:
    """The cache is gone: Nova gives its own ports no tags."""
    server = lost(cloud)
    number = port_of(cloud, server.ports[0])["standard_attr_id"]
    cloud.insert("neutron", "tags", standard_attr_id=number, tag="mine")
    return Case(server, preexisting=[server.ports[0]])


@case
def cache_without_a_document(cloud: Cloud) -> Case:
    """NULL, on which Nova's own heal fails."""
    server = lost(cloud)
    write(cloud, server, None)
    return Case(server)


@case
def cache_that_cannot_be_read(cloud: Cloud) -> Case:
    """What is no document is as good as none; Nova cannot even load the server."""
    server = lost(cloud)
    write(cloud, server, '[{"id": "cut off')
    return Case(server)


@case
def cache_that_is_marked_deleted(cloud: Cloud) -> Case:
    """A row that is marked deleted is revived."""
    server = lost(cloud)
    write(cloud, server, "[]")
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, deleted=1)
    return Case(server)


@case
def cache_without_a_row(cloud: Cloud) -> Case:
    """A row is made."""
    server = lost(cloud)
    cloud.delete(server.database, "instance_info_caches", {"instance_uuid": server.uuid})
    return Case(server)


@case
def port_of_another_project(cloud: Cloud) -> Case:
    """Nova asks for the ports of the server's project alone."""
    server = lost(cloud)
    new_port(cloud, server, server.uuid, cloud.ago(9999), host=str(server.host), project_id="another")
    return Case(server)
