# SPDX-License-Identifier: Apache-2.0
"""Placement's API, which refuses non-administrators. Numbers that join its tables are derived from names.

The API does not show when a consumer was created, but when its allocations were last written (Last-Modified), which
is never earlier. That, and the type of a consumer, must be requested one by one: only for those that are not live
servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from stackmend.drivers.api.reader import ApiTableReader
from stackmend.drivers.api.session import segment
from stackmend.drivers.api.tables import ApiTable, TableRow, Wanted, moment, number

#: consumers with generations; types of consumers
GENERATIONS, TYPES = "1.28", "1.38"
_UNTYPED = "unknown"


def _providers(look: ApiTableReader) -> list[Mapping[str, Any]]:
    read = lambda: look.every("placement", "/resource_providers", "resource_providers", GENERATIONS)  # noqa: E731
    return look.once("list", "providers", read)


def _consumer(look: ApiTableReader, name: str) -> dict[str, Any]:
    """A consumer's allocations (provider -> class -> amount), generation, type and time of the last write."""
    version = TYPES if look.once("has", TYPES, lambda: look.offers("placement", TYPES)) else GENERATIONS
    answer = look.ask("placement", f"/allocations/{segment(name)}", version)
    body = answer.body if answer else {}
    held = {provider: one["resources"] for provider, one in body.get("allocations", {}).items()}
    kind = body.get("consumer_type")
    changed = parsedate_to_datetime(answer.modified) if answer and answer.modified else None
    return {
        "held": held,
        "generation": body.get("consumer_generation"),
        "kind": None if kind == _UNTYPED else kind,
        "changed": moment(changed.isoformat()) if changed else None,
    }


def _held(look: ApiTableReader) -> dict[str, dict[str, Any]]:
    """consumer -> provider -> class -> amount, for all."""

    def make() -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        names = [provider["uuid"] for provider in _providers(look)]
        path = "/resource_providers/{}/allocations"
        read = look.each(lambda name: look.get("placement", path.format(segment(name)), GENERATIONS), names)
        for provider, body in zip(names, read, strict=True):
            for consumer, one in (body or {"allocations": {}})["allocations"].items():
                found.setdefault(consumer, {})[provider] = one["resources"]
        return found

    return look.once("list", "allocations", make)


def _some(look: ApiTableReader, names: Any) -> dict[str, dict[str, Any]]:
    return look.many("consumer", [str(name) for name in names], lambda name: _consumer(look, name))


def _provider_rows(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    del wanted
    for one in _providers(look):
        above = one["parent_provider_uuid"]
        yield {
            "id": number(one["uuid"]),
            "uuid": one["uuid"],
            "name": one["name"],
            "generation": one["generation"],
            "root_provider_id": number(one["root_provider_uuid"]),
            "parent_provider_id": number(above) if above else None,
        }


def _allocations(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    if wanted is None:
        held = _held(look)
    else:
        held = {name: one["held"] for name, one in _some(look, wanted["consumer_id"]).items()}
    for consumer, providers in held.items():
        for provider, classes in providers.items():
            for name, used in classes.items():
                yield {
                    "resource_provider_id": number(provider),
                    "consumer_id": consumer,
                    "resource_class_id": number(name),
                    "used": used,
                }


def _consumers(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    if wanted is None:
        every = _held(look)
        some = _some(look, [name for name in every if look.alive is None or name not in look.alive])
        yield from ({"uuid": name} for name in every if name not in some)
    else:
        some = _some(look, wanted["uuid"])
    for name, one in some.items():
        if one["held"]:
            yield {
                "uuid": name,
                "generation": one["generation"],
                "consumer_type_id": number(one["kind"]) if one["kind"] else None,
                "created_at": one["changed"],
                "updated_at": one["changed"],
            }


def _types(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    """Allocations of the consumers read before."""
    del wanted
    for kind in sorted({one["kind"] for one in look.kept("consumer").values() if one["kind"]}):
        yield {"id": number(kind), "name": kind}


def _classes(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    del wanted
    for one in look.every("placement", "/resource_classes", "resource_classes", GENERATIONS):
        yield {"id": number(one["name"]), "name": one["name"]}


SHOWN = (
    ApiTable(
        label="placement_resource_providers", rows=_provider_rows,
        columns=("id", "uuid", "name", "generation", "root_provider_id", "parent_provider_id"),
    ),
    ApiTable(
        label="placement_allocations", rows=_allocations,
        columns=("resource_provider_id", "consumer_id", "resource_class_id", "used"),
    ),
    ApiTable(
        label="placement_consumers", rows=_consumers,
        columns=("uuid", "generation", "consumer_type_id", "created_at", "updated_at"),
    ),
    ApiTable(label="placement_consumer_types", rows=_types, columns=("id", "name")),
    ApiTable(label="placement_resource_classes", rows=_classes, columns=("id", "name")),
)  # fmt: skip
