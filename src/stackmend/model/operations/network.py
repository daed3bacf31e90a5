# SPDX-License-Identifier: Apache-2.0
"""Operations of Neutron."""

from __future__ import annotations

from typing import Generic, TypedDict

from msgspec import UNSET, UnsetType

from stackmend.model.operations import Operation, Seconds, Seen
from stackmend.model.operations.servers import Presence, ServerSeen
from stackmend.model.operations.waiting import AgentsSeen, LeftSeen

#: what of a port is set
PortValues = TypedDict(
    "PortValues",
    {
        "device_id": "str | None",
        "device_owner": "str | None",
        "binding:host_id": "str | None",
        "binding:profile": "dict[str, object] | None",
    },
    total=False,
)
_Binding = TypedDict("_Binding", {"binding:vif_type": "str | None", "binding:vnic_type": "str | None"}, total=False)


class NeutronOperation(Operation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """One of Neutron."""

    SERVICE = "network"


class PortSeen(ServerSeen, PortValues, _Binding, total=False):
    """A port as it is, and the server that it says it is of."""

    port: Presence
    status: str | None
    mac_address: str | None
    tags: list[str]
    revision_number: int | None


class BindingSeen(ServerSeen, total=False):
    """The status of a port's binding for a host, None where it has none; and a server that is named."""

    port: Presence
    binding: str | None


class PortOperation(NeutronOperation[PortSeen], frozen=True, kw_only=True):
    """One on a port."""

    port: str


class UpdatePort(PortOperation, frozen=True, kw_only=True):
    """Set attributes of a port."""

    NAME = "update-port"

    values: PortValues


class ReturnPort(PortOperation, frozen=True, kw_only=True):
    """Set attributes of a port as they were, on a host whose agent may be dead."""

    NAME = "return-port"

    values: PortValues


class DeletePort(PortOperation, frozen=True, kw_only=True):
    """Delete a port."""

    NAME = "delete-port"


class TagPort(PortOperation, frozen=True, kw_only=True):
    """Put a tag on a port."""

    NAME = "tag-port"

    tag: str


class UntagPort(PortOperation, frozen=True, kw_only=True):
    """Take a tag off a port."""

    NAME = "untag-port"

    tag: str


class BindingOperation(NeutronOperation[BindingSeen], frozen=True, kw_only=True):
    """One on the binding of a port to a host."""

    port: str
    host: str
    server: str | UnsetType = UNSET  #: one that is looked at besides


class DeleteBinding(BindingOperation, frozen=True, kw_only=True):
    """Delete the binding of a port to a host."""

    NAME = "delete-binding"


class CreateBinding(BindingOperation, frozen=True, kw_only=True):
    """Bind a port to one more host, inactive."""

    NAME = "create-binding"


# -- agents


class AgentSeen(TypedDict, total=False):
    """An agent as Neutron shows it."""

    agent: Presence
    host: str
    up: bool
    alive: bool


class ServedSeen(TypedDict, total=False):
    """Whether an agent serves a router or a network."""

    agent: Presence
    served: bool


class SetAgent(NeutronOperation[AgentSeen], frozen=True, kw_only=True):
    """Let an agent have new work, or no more."""

    NAME = "set-agent"

    agent: str
    up: bool


class RouterOperation(NeutronOperation[ServedSeen], frozen=True, kw_only=True):
    """One on a router and an L3 agent."""

    router: str
    agent: str


class GiveRouter(RouterOperation, frozen=True, kw_only=True):
    """Have an agent serve a router."""

    NAME = "give-router"


class TakeRouter(RouterOperation, frozen=True, kw_only=True):
    """Take a router from an agent."""

    NAME = "take-router"


class NetworkOperation(NeutronOperation[ServedSeen], frozen=True, kw_only=True):
    """One on a network and a DHCP agent."""

    network: str
    agent: str


class GiveNetwork(NetworkOperation, frozen=True, kw_only=True):
    """Have an agent serve a network."""

    NAME = "give-network"


class TakeNetwork(NetworkOperation, frozen=True, kw_only=True):
    """Take a network from an agent."""

    NAME = "take-network"


# -- what is waited for


class PortsAway(NeutronOperation[LeftSeen], frozen=True, kw_only=True):
    """Wait until no port of a server is bound to a host; none of an agent either where ``agents`` go, too."""

    NAME = "host-empty"

    host: str
    agents: bool


class AgentsAlive(NeutronOperation[AgentsSeen], frozen=True, kw_only=True):
    """Wait until every agent of a host is alive."""

    NAME = "agents-alive"

    host: str
    limit: Seconds = UNSET
