# SPDX-License-Identifier: Apache-2.0
"""Agents of Neutron, alive or dead."""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.cloud import CloudRows

DAY = 86400


def new_agent(cloud: CloudRows, kind: str, age: float, **values: Any) -> str:
    """An agent on a host of its own whose last heartbeat is so old; its id."""
    agent, binary = str(uuid.uuid4()), {"DHCP agent": "neutron-dhcp-agent", "L3 agent": "neutron-l3-agent"}[kind]
    row: dict[str, Any] = {"id": agent, "agent_type": kind, "binary": binary, "topic": "agents", "load": 0}
    row |= {"host": f"net-{agent[:8]}", "admin_state_up": 1, "configurations": "{}"}
    row |= {"created_at": cloud.ago(400 * DAY), "started_at": cloud.ago(90 * DAY)}
    row |= {"heartbeat_timestamp": cloud.ago(age), **values}
    cloud.insert("neutron", "agents", **row)
    return agent
