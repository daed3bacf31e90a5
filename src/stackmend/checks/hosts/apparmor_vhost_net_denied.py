# SPDX-License-Identifier: Apache-2.0
"""The AppArmor profile of a guest keeps it from /dev/vhost-net, so that it cannot get a NIC.

## What is wrong
The guest of an active or paused server runs under a profile that does not let it open `/dev/vhost-net`. Code
`denied`: the kernel has refused it already; `lacking`: it runs without any NIC although Neutron has one for it, and
no rule allows the device; `written`: likewise, and a rule that allows it is in a file that is not known to be loaded.

## Why it matters
Attaching a port answers 500, "Failed to attach network adapter device", and does so until the guest is started anew.

## How it comes about
libvirt makes the profile when a guest starts, with a rule for the device only if the guest has a virtio NIC then. It
was started without one: its network cache was empty (`info-cache-empty`), or it had no port yet. `written`: somebody
added the rule and did not load it.

## How to see it by hand
`stackmend server apparmor <server>` compares the profile with that of another guest; `journalctl -k -g apparmor` on
the host.

## Repair and its risk
If its owner allows an outage: repair the network cache first, then `openstack server reboot --hard`, for which
libvirt makes the profile anew. Without one: `stackmend server mend-apparmor`, which adds the rule to this guest's
profile, loads it and can be undone. Never switch AppArmor off. A guest that has no port and has not been refused
anything is not reported, although its first NIC would need the same; nor are hosts without AppArmor.
"""

from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import idle

OUTSIDE_CHECK = OutsideCheck(
    name="apparmor-vhost-net-denied",
    catalogue="F4",
    severity=Severity.WARNING,
    message="AppArmor on {host} keeps the guest of server {server} from /dev/vhost-net: {code}",
    codes={
        "denied": "the kernel has refused it",
        "lacking": "it has no NIC, port {port} is to be one, and no rule allows it",
        "written": "it has no NIC, port {port} is to be one, and the rule is not known to be loaded",
    },
    resource=("server", "server"),
    key=("server",),
    needs=frozenset({"cells", "neutron"}),
    reads={
        **idle(),
        "host_profiles": {"uuid": "server"},
        "host_interfaces": {"uuid": "server"},
        "neutron_ports": {"device_id": "server"},
        "neutron_ml2_port_bindings": {"port_id": "neutron_ports.id"},
    },
    ages={"idle": 900},
    by_hand="{advice}",
    sql="""
        WITH kept AS (
            SELECT DISTINCT s.uuid, s.cell, s.host, p.verdict, p.device
              FROM host_profiles p
              JOIN idle_servers s ON s.uuid = p.uuid AND s.host = p.host
             WHERE p.verdict IN ('denied', 'lacking', 'written') AND s.vm_state IN ('active', 'paused')
               AND s.changed_at < $idle),
        ports AS (
            SELECT k.uuid, k.host, MIN(p.id) AS port
              FROM kept k
              JOIN neutron_ports p ON p.device_id = k.uuid
              JOIN neutron_ml2_port_bindings b ON b.port_id = p.id AND b.host = k.host
             WHERE b.vnic_type = 'normal' AND b.vif_type NOT IN ('unbound', 'binding_failed')
             GROUP BY k.uuid, k.host),
        nics AS (
            SELECT DISTINCT host, uuid FROM host_interfaces)
        SELECT k.uuid AS server, k.cell, k.host, k.verdict AS code, p.port,
               CASE WHEN NOT k.device THEN 'load the module vhost_net on ' || k.host || '; then: ' ELSE '' END
               || 'see that no other finding is about the network cache of ' || k.uuid || '; then, without an outage:'
               || ' stackmend server mend-apparmor ' || k.uuid
               || CASE WHEN p.port IS NOT NULL AND n.uuid IS NULL
                       THEN '; or, as an outage for its owner: openstack server reboot --hard ' || k.uuid ELSE '' END
               AS advice
          FROM kept k
          LEFT JOIN ports p ON p.uuid = k.uuid AND p.host = k.host
          LEFT JOIN nics n ON n.uuid = k.uuid AND n.host = k.host
         WHERE k.verdict = 'denied' OR (p.port IS NOT NULL AND n.uuid IS NULL)""",
)
