# SPDX-License-Identifier: Apache-2.0
"""Checks of OVN against Neutron: its northbound and southbound databases, and what Neutron records of them."""

#: the way out where Neutron's own tool repairs. It knows the switches of networks alone, not those of VLAN segments
SYNCHRONISE = (
    "neutron-ovn-db-sync-util --config-file /etc/neutron/neutron.conf --config-file"
    " /etc/neutron/plugins/ml2/ml2_conf.ini --ovn-neutron_sync_mode log; read what it would change, and if that is what"
    " you expect, the same with: --ovn-neutron_sync_mode repair (never with logical_switch_per_vlan_segment in"
    " Neutron's configuration: it deletes the switches of all VLAN segments)"
)
