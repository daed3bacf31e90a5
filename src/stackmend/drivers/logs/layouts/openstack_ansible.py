# SPDX-License-Identifier: Apache-2.0
"""openstack-ansible: ``/openstack/log/infra1_nova_api_container-1234abcd/nova/nova-api.log``, on metal by host."""

from __future__ import annotations

import re

from stackmend.drivers.logs.layouts._names import service_of
from stackmend.model.diagnosing.logs import Layout

_CONTAINER = re.compile(r".+[_-]container[_-][0-9a-f]{8}$")


def place(parts: tuple[str, ...]) -> tuple[str, str] | None:
    """Take the container for the host: it has an address and a name of its own."""
    for number, part in enumerate(parts[:-1]):
        if _CONTAINER.match(part) or parts[max(0, number - 2) : number] == ("openstack", "log"):
            return part, service_of(parts[-1], parts[-2] if len(parts) > 1 else "")[0]
    return None


LAYOUT = Layout(name="openstack-ansible", title=__doc__ or "", place=place, order=20)
