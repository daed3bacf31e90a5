# SPDX-License-Identifier: Apache-2.0
"""How Neutron's own ports that nothing uses any more are deleted: through the API, or row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from stackmend.model.finding import Row
from stackmend.model.operations.network import DeletePort
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Steps
from stackmend.model.step import Record, Step
from stackmend.repairs.calls import api_of, guarded, shown
from stackmend.repairs.ports import delete, told_to_ovn


@dataclass(frozen=True, slots=True)
class Unused:
    """A port to delete."""

    port: Record
    guards: tuple[Step, ...] = ()  #: what must still be so when its rows are deleted
    refused: str = ""  #: why Neutron's API would refuse to delete it, or ""


def strategies(find: Callable[[Row, Live], Unused | None]) -> Mapping[str, Steps]:
    """The strategies of a repair that deletes the port that is found; none: it is deleted already, or in use."""

    def api(target: Row, live: Live) -> Iterator[Step]:
        """An API call to Neutron; none if there is nothing to delete."""
        found = find(target, live)
        if found is None:
            return
        if found.refused:
            raise CannotRepair(found.refused)
        made = DeletePort(port=str(found.port["id"]))
        seen = api_of(live).look(made)
        shown(seen, "port")
        if seen["device_owner"] != found.port["device_owner"] or seen["device_id"] != found.port["device_id"]:
            raise CannotRepair(
                f"Neutron's API shows another owner of port {found.port['id']}: {seen['device_owner']}"
                f" {seen['device_id']}"
            )
        yield guarded(made, seen, ("device_id", "device_owner", "binding:host_id"))

    def db(target: Row, live: Live) -> Iterator[Step]:
        """Steps on Neutron's database; none if there is nothing to delete."""
        found = find(target, live)
        if found is None:
            return
        yield from found.guards
        yield from delete(live, found.port)
        yield from told_to_ovn(live, found.port)

    return {"api": api, "db": db}
