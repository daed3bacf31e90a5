# SPDX-License-Identifier: Apache-2.0
"""Operations of Neutron."""

from __future__ import annotations

from typing import Generic, TypedDict

from msgspec import UNSET, UnsetType

from stackmend.model.operations import Operation, OptionalSeconds, Seen
from stackmend.model.operations.servers import Presence, ServerSeen
from stackmend.model.operations.waiting import AgentsSeen, LeftSeen

#: the attributes of a port that may be set
PortValues = TypedDict(
    "PortValues",
    {
        "device_id": "str | None",
        "device_owner": "str | None",
        "binding:host_id": "str | None",
        "binding:profile": "dict[str, object] | None",
        "dns_name": "str | None",
    },
    total=False,
)
_Binding = TypedDict("_Binding", {"binding:vif_type": "str | None", "binding:vnic_type": "str | None"}, total=False)


class NeutronOperation(Operation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """Base of Neutron's operations."""

    SERVICE = "network"


class PortSeen(ServerSeen, PortValues, _Binding, total=False):
    """A port, and the server that it belongs to according to its device_id."""

    port: Presence
    status: str | None
    mac_address: str | None
    tags: list[str]
    revision_number: int | None


class BindingSeen(ServerSeen, total=False):
    """The status of a port's binding for a host, None if there is none; and a server, if the call names one."""

    port: Presence
    binding: str | None


class PortOperation(NeutronOperation[PortSeen], frozen=True, kw_only=True):
    """Base of the operations on a port."""

    port: str


class UpdatePort(PortOperation, frozen=True, kw_only=True):
    """Set attributes of a port."""

    NAME = "update-port"

    values: PortValues


class ReturnPort(PortOperation, frozen=True, kw_only=True):
    """Restore attributes of a port on a host whose agent may be dead."""

    NAME = "return-port"

    values: PortValues


class DeletePort(PortOperation, frozen=True, kw_only=True):
    """Delete a port."""

    NAME = "delete-port"


class TagPort(PortOperation, frozen=True, kw_only=True):
    """Add a tag to a port."""

    NAME = "tag-port"

    tag: str


class UntagPort(PortOperation, frozen=True, kw_only=True):
    """Remove a tag from a port."""

    NAME = "untag-port"

    tag: str


class BindingOperation(NeutronOperation[BindingSeen], frozen=True, kw_only=True):
    """Base of the operations on the binding of a port to a host."""

    port: str
    host: str
    server: str | UnsetType = UNSET  #: a server whose state is read as well


class DeleteBinding(BindingOperation, frozen=True, kw_only=True):
    """Delete the binding of a port to a host."""

    NAME = "delete-binding"


class CreateBinding(BindingOperation, frozen=True, kw_only=True):
    """Add an inactive binding of a port to another host."""

    NAME = "create-binding"


# -- sharing


class EntrySeen(TypedDict, total=False):
    """An entry that shares something with a project."""

    entry: Presence
    target_project: str
    object_id: str
    action: str


class DeleteRbacPolicy(NeutronOperation[EntrySeen], frozen=True, kw_only=True):
    """Stop sharing something with a project."""

    NAME = "delete-rbac-policy"

    entry: str


# -- agents


class AgentSeen(TypedDict, total=False):
    """An agent in Neutron."""

    agent: Presence
    host: str
    up: bool
    alive: bool


class ServedSeen(TypedDict, total=False):
    """Whether an agent serves a router or a network."""

    agent: Presence
    served: bool


class SetAgent(NeutronOperation[AgentSeen], frozen=True, kw_only=True):
    """Set admin_state_up of an agent."""

    NAME = "set-agent"

    agent: str
    up: bool


class RouterOperation(NeutronOperation[ServedSeen], frozen=True, kw_only=True):
    """Base of the operations on a router and an L3 agent."""

    router: str
    agent: str


class GiveRouter(RouterOperation, frozen=True, kw_only=True):
    """Schedule a router to an L3 agent."""

    NAME = "give-router"


class TakeRouter(RouterOperation, frozen=True, kw_only=True):
    """Remove a router from an L3 agent."""

    NAME = "take-router"


class NetworkOperation(NeutronOperation[ServedSeen], frozen=True, kw_only=True):
    """Base of the operations on a network and a DHCP agent."""

    network: str
    agent: str


class GiveNetwork(NetworkOperation, frozen=True, kw_only=True):
    """Schedule a network to a DHCP agent."""

    NAME = "give-network"


class TakeNetwork(NetworkOperation, frozen=True, kw_only=True):
    """Remove a network from a DHCP agent."""

    NAME = "take-network"


# -- waiting


class PortsAway(NeutronOperation[LeftSeen], frozen=True, kw_only=True):
    """Wait until no port of a server is bound to the host, and with ``agents`` no port of an agent either."""

    NAME = "host-empty"

    host: str
    agents: bool


class AgentsAlive(NeutronOperation[AgentsSeen], frozen=True, kw_only=True):
    """Wait until every agent of a host is alive."""

    NAME = "agents-alive"

    host: str
    limit: OptionalSeconds = UNSET
