# SPDX-License-Identifier: Apache-2.0
"""A port of a server belongs to another project than the server.

## What is wrong
A port's `device_id` is a living server and its owner is Nova, but its `project_id` is not that of the server.

## Why it matters
Nova looks for a server's ports in the server's project: at the next heal, or hard reboot, it drops this one from the
network cache, and the guest starts without the NIC. It still deletes the port with the server, whoever made it.

## How it comes about
Nova refuses such a port when it is attached. So somebody set its device by hand (`openstack port set --device`), or the
project of the port or of the server was edited by SQL.

## How to see it by hand
`openstack port show <port> -c project_id -c device_id`, `openstack server show <server> -c project_id`.

## Repair and its risk
`mend-port-project` gives the port to the server's project, if that may use the network and the port's security groups,
and has quota for it. No API can change the project of a port. If the port is not one of the server's NICs, free it
instead: `openstack port unset --device <port>`. Never move the server: its volumes, allocations and quota would stay
behind.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="port-foreign-project",
    catalogue="A6",
    severity=Severity.ERROR,
    message="port {port} of server {server} belongs to project {port_project}, the server to {project}",
    resource=("port", "port"),
    key=("server", "port"),
    needs=frozenset({"neutron"}),
    reads={
        "nova_instances": {"uuid": "server"},
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
    },
    hinders=frozenset({"move", "start", "rebuild"}),
    ages={"grace": 3600},
    otherwise="If 'virsh domiflist' on {host} does not list it, free it: openstack port unset --device {port}",
    sql="""
        WITH foreign_ports AS (
            SELECT p.id, p.project_id AS port_project, p.standard_attr_id, s.uuid, s.cell, s.host, s.project_id
              FROM neutron_ports p
              JOIN servers s ON s.uuid = p.device_id
             WHERE p.device_owner LIKE 'compute:%' AND p.device_owner NOT IN ('compute:kuryr', 'compute:zun')
               AND NULLIF(p.project_id, s.project_id) IS NOT NULL AND s.vm_state <> 'deleted')
        SELECT DISTINCT f.uuid AS server, f.cell, f.host, f.id AS port, f.port_project, f.project_id AS project
          FROM foreign_ports f
          JOIN neutron_standardattributes a ON a.id = f.standard_attr_id
         WHERE COALESCE(a.updated_at, a.created_at) < $grace""",
)
