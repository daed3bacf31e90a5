# SPDX-License-Identifier: Apache-2.0
"""Nova's own code builds ``network_info``. A program of its own, for it runs where Nova is installed.

Standard input: ``{"api": {collection: [resources]}, "ovs_bridge": name, "flat_injected": bool, "runs": [{"databases":
{cell: url}, "servers": [...]}]}``. Neutron is simulated from ``api``: what its API answers, by collection; servers have
``cell``, ``uuid`` and ``preexisting``, the ports that were there before Nova. Standard output: ``{"aliases": {release:
version}, "version": newest, "runs": [{server: {"text": document} or {"error": message}}]}``.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import nova.conf  # noqa: E402
from nova import config, context, exception, objects  # noqa: E402
from nova.db.main import api as database  # noqa: E402
from nova.network import neutron  # noqa: E402
from nova.objects import service  # noqa: E402

Resource = dict[str, Any]


class Client:
    """The calls of a Neutron client that the builder makes. Lists come by id, as Neutron pages through them."""

    def __init__(self, api: dict[str, list[Resource]]) -> None:
        self._api = api

    def list_extensions(self, **_: Any) -> Resource:
        return {"extensions": [{"alias": "multi-provider", "name": "Multi Provider Network"}]}

    def list_ports(self, **filters: Any) -> Resource:
        return self._list("ports", filters)

    def list_networks(self, **filters: Any) -> Resource:
        return self._list("networks", filters)

    def list_subnets(self, **filters: Any) -> Resource:
        return self._list("subnets", filters)

    def list_floatingips(self, **filters: Any) -> Resource:
        return self._list("floatingips", filters)

    def show_network(self, network: str, fields: Any = ()) -> Resource:
        names = [fields] if isinstance(fields, str) else list(fields)
        found = self._list("networks", {"id": network})["networks"][0]
        return {"network": {name: found[name] for name in names if name in found}}

    def _list(self, collection: str, filters: Resource) -> Resource:
        wanted = {name: value if isinstance(value, list) else [value] for name, value in filters.items()}
        found = [r for r in self._api[collection] if all(r[name] in values for name, values in wanted.items())]
        return {collection: sorted(found, key=lambda resource: str(resource["id"]))}


def loaded(ctxt: context.RequestContext, server: str) -> objects.Instance:
    """The server with its cache; without it where it holds nothing that Nova can read."""
    try:
        instance = objects.Instance.get_by_uuid(ctxt, server, expected_attrs=["info_cache"])
    except ValueError:
        instance = objects.Instance.get_by_uuid(ctxt, server, expected_attrs=[])
        instance.info_cache = None
    if instance.get_network_info() is None:
        instance.info_cache = None
    return instance


def build(api: neutron.API, managers: dict[str, Any], server: Resource) -> Resource:
    """What a whole refresh of the server's cache writes, or why it does not."""
    ctxt = context.get_admin_context()
    ctxt.db_connection = managers[server["cell"]]
    instance = loaded(ctxt, server["uuid"])
    try:
        found = api._build_network_info_model(
            ctxt, instance, preexisting_port_ids=list(server["preexisting"]), force_refresh=True
        )
    except exception.NovaException as problem:
        return {"error": str(problem)}
    field = objects.InstanceInfoCache.fields["network_info"]
    return {"text": field.to_primitive(instance, "network_info", found)}


def main() -> None:
    """Answer one question."""
    asked = json.load(sys.stdin)
    config.parse_args(["nova"], default_config_files=[], configure_db=False, init_rpc=False)
    nova.conf.CONF.set_override("ovs_bridge", asked["ovs_bridge"], group="neutron")
    nova.conf.CONF.set_override("flat_injected", asked["flat_injected"])
    objects.register_all()
    client = Client(asked["api"])
    neutron.get_client = lambda *_, **__: client
    answers = []
    for run in asked["runs"]:
        managers = {cell: database.create_context_manager(url) for cell, url in run["databases"].items()}
        answers.append({server["uuid"]: build(neutron.API(), managers, server) for server in run["servers"]})
    json.dump(
        {"aliases": service.SERVICE_VERSION_ALIASES, "version": service.SERVICE_VERSION, "runs": answers}, sys.stdout
    )


if __name__ == "__main__":
    main()
