# SPDX-License-Identifier: Apache-2.0
"""Baseline (c): the checks as cross-schema SQL inside the database server, as operators write them today.

It has only the checks that plain SQL can express, without their guards, so the server has less to do than stackmend.
Each statement is run for each cell; ``{cell}`` is the schema of the cell.
"""

from __future__ import annotations

from collections.abc import Iterator

#: in the tables' own character set: with that of the connection, the server could not use their indexes
_VIFS = (
    "JSON_TABLE(IF(JSON_VALID(c.network_info), c.network_info, '[]'), '$[*]' COLUMNS ("
    "port_id VARCHAR(36) CHARACTER SET utf8mb3 PATH '$.id', keep_port VARCHAR(5) PATH '$.preserve_on_delete')) v"
)

PER_CELL = {
    "info-cache-empty": """
        SELECT i.uuid FROM {cell}.instances i
          JOIN {cell}.instance_info_caches c ON c.instance_uuid = i.uuid AND c.deleted = 0
         WHERE i.deleted = 0 AND i.task_state IS NULL AND i.vm_state <> 'building'
           AND (c.network_info IS NULL OR c.network_info IN ('', '[]'))
           AND EXISTS (SELECT 1 FROM neutron.ports p WHERE p.device_id = i.uuid)""",
    "info-cache-row-missing-or-deleted": """
        SELECT i.uuid FROM {cell}.instances i
          LEFT JOIN {cell}.instance_info_caches c ON c.instance_uuid = i.uuid
         WHERE i.deleted = 0 AND (c.id IS NULL OR c.deleted <> 0)""",
    "info-cache-stale-port": f"""
        SELECT i.uuid, v.port_id FROM {{cell}}.instances i
          JOIN {{cell}}.instance_info_caches c ON c.instance_uuid = i.uuid AND c.deleted = 0
          JOIN {_VIFS}
          LEFT JOIN neutron.ports p ON p.id = v.port_id AND p.device_id = i.uuid
         WHERE i.deleted = 0 AND i.task_state IS NULL AND p.id IS NULL""",
    "preserve-on-delete-wrong": f"""
        SELECT i.uuid, v.port_id FROM {{cell}}.instances i
          JOIN {{cell}}.instance_info_caches c ON c.instance_uuid = i.uuid AND c.deleted = 0
          JOIN {_VIFS}
          JOIN neutron.ports p ON p.id = v.port_id
          JOIN neutron.standardattributes s ON s.id = p.standard_attr_id
         WHERE i.deleted = 0 AND v.keep_port IN ('false', '0')
           AND (p.name <> '' OR s.created_at < i.created_at - INTERVAL 60 SECOND)""",
    "vif-rows-mismatch": """
        SELECT i.uuid, p.id FROM {cell}.instances i
          JOIN neutron.ports p ON p.device_id = i.uuid
          LEFT JOIN {cell}.virtual_interfaces r ON r.uuid = p.id AND r.instance_uuid = i.uuid AND r.deleted = 0
         WHERE i.deleted = 0 AND i.task_state IS NULL AND r.id IS NULL""",
    "port-binding-wrong-host": """
        SELECT i.uuid, p.id FROM {cell}.instances i
          JOIN neutron.ports p ON p.device_id = i.uuid
          JOIN neutron.ml2_port_bindings b ON b.port_id = p.id AND b.status = 'ACTIVE'
         WHERE i.deleted = 0 AND i.task_state IS NULL AND i.host IS NOT NULL AND b.host <> i.host""",
    "server-half-purged": """
        SELECT i.uuid FROM {cell}.instances i
          LEFT JOIN {cell}.instance_extra e ON e.instance_uuid = i.uuid AND e.deleted = 0
         WHERE i.deleted = 0 GROUP BY i.uuid HAVING COUNT(e.id) <> 1""",
    "server-on-nonexistent-host": """
        SELECT i.uuid FROM {cell}.instances i
          LEFT JOIN {cell}.compute_nodes n ON n.host = i.host AND n.hypervisor_hostname = i.node AND n.deleted = 0
          LEFT JOIN {cell}.services s ON s.host = i.host AND s.`binary` = 'nova-compute' AND s.deleted = 0
         WHERE i.deleted = 0 AND i.host IS NOT NULL AND (n.id IS NULL OR s.id IS NULL)""",
    "allocation-wrong-provider": """
        SELECT i.uuid FROM {cell}.instances i
          JOIN {cell}.compute_nodes n ON n.host = i.host AND n.hypervisor_hostname = i.node AND n.deleted = 0
          JOIN placement.allocations a ON a.consumer_id = i.uuid
          JOIN placement.resource_providers r ON r.id = a.resource_provider_id
          JOIN placement.resource_providers o ON o.id = r.root_provider_id
         WHERE i.deleted = 0 AND i.task_state IS NULL AND o.uuid <> n.uuid""",
    "nova-bdm-cinder-detached": """
        SELECT b.id FROM {cell}.block_device_mapping b
          JOIN {cell}.instances i ON i.uuid = b.instance_uuid AND i.deleted = 0
          LEFT JOIN cinder.volume_attachment a ON a.id = b.attachment_id AND a.deleted = 0
         WHERE b.deleted = 0 AND b.destination_type = 'volume' AND a.id IS NULL""",
    "cinder-attached-nova-not": """
        SELECT a.id FROM cinder.volume_attachment a
          JOIN {cell}.instances i ON i.uuid = a.instance_uuid AND i.deleted = 0
          LEFT JOIN {cell}.block_device_mapping b
                 ON b.instance_uuid = a.instance_uuid AND b.volume_id = a.volume_id AND b.deleted = 0
         WHERE a.deleted = 0 AND b.id IS NULL""",
}

EVERYWHERE = {
    "port-without-server": """
        SELECT p.id FROM neutron.ports p {no_server} WHERE p.device_owner LIKE 'compute:%' {none}""",
    "allocation-orphan": """
        SELECT DISTINCT a.consumer_id FROM placement.allocations a
          JOIN placement.consumers k ON k.uuid = a.consumer_id {no_server}
         WHERE 1 = 1 {none}""",
    "volume-in-use-server-gone": """
        SELECT a.id FROM cinder.volume_attachment a {no_server}
         WHERE a.deleted = 0 AND a.instance_uuid IS NOT NULL {none}""",
    "volume-stuck-detaching": "SELECT id FROM cinder.volumes WHERE deleted = 0 AND status = 'detaching'",
    "volume-stuck-error-deleting": "SELECT id FROM cinder.volumes WHERE deleted = 0 AND status = 'error_deleting'",
    "volume-deleted-incompletely": """
        SELECT v.id FROM cinder.volumes v JOIN cinder.volume_attachment a ON a.volume_id = v.id AND a.deleted = 0
         WHERE v.deleted = 1
         UNION ALL
        SELECT v.id FROM cinder.volumes v JOIN cinder.volume_admin_metadata a ON a.volume_id = v.id AND a.deleted = 0
         WHERE v.deleted = 1""",
}

_SERVER_OF = {
    "port-without-server": "p.device_id",
    "allocation-orphan": "a.consumer_id",
    "volume-in-use-server-gone": "a.instance_uuid",
}


def statements(cells: list[str]) -> Iterator[tuple[str, str]]:
    """(check, statement) for a cloud with these cell schemas."""
    for check, sql in PER_CELL.items():
        for cell in cells:
            yield check, sql.format(cell=cell)
    for check, sql in EVERYWHERE.items():
        column = _SERVER_OF.get(check, "")
        joins = " ".join(
            f"LEFT JOIN {cell}.instances s{n} ON s{n}.uuid = {column} AND s{n}.deleted = 0"
            for n, cell in enumerate(cells)
        )
        none = " ".join(f"AND s{n}.id IS NULL" for n, _ in enumerate(cells))
        yield check, sql.format(no_server=joins, none=none)
