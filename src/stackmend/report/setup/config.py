# SPDX-License-Identifier: Apache-2.0
"""The configuration: what was found where, and what is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stackmend.report.document import Document

COLUMNS = (
    ("File", "file"),
    ("Root", "root"),
    ("Layout", "layout"),
    ("Cloud", "api.cloud"),
    ("State", "state.directory"),
)

_MEANS = {
    "used": "from",
    "same": "also in",
    "differs": "BUT",
    "none": "not named in",
    "unusable": "UNUSABLE:",
}


def config(data: Mapping[str, Any]) -> Document:
    """The document of ``config show`` (docs/schemas/config.json)."""
    return Document(data=dict(data), columns=COLUMNS, text="\n".join(_lines(data)))


def _lines(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"configuration: {data['file'] or _where(data)}"
    last = ""
    for entry in data["databases"]:
        if entry["database"] != last:
            last = entry["database"]
            yield f"  {last:<10} {_address(entry) or 'NOT FOUND'}"
        if data["root"] and entry["path"]:
            yield f"  {'':<10}   {_source(entry)}"
    if data["root"] is None and not data["databases"]:
        yield "  no databases"
    for entry in data["cells"]:
        yield f"  cell {entry['database']:<5} {_address(entry)}"
    if not data["cells"]:
        yield "  cells      from nova_api.cell_mappings" + (
            f", templates filled from {data['nova']['base']}" if data["nova"]["base"] else ""
        )
    for path in data["hidden"]:
        yield f"  unreadable {path}: permission denied"
    yield f"  API        {_api(data['api'])}"
    for role in ("reader", "writer"):
        if data[role]:
            yield f"  {role:<10} {data[role]}"
    if replica := data["replica"]:
        places = [*([replica["host"]] if replica["host"] else []), *(f"{k}: {v}" for k, v in replica["hosts"].items())]
        yield f"  replica    {', '.join(places)}; at most {replica['max_lag']:g} s behind"
    if ovn := data["ovn"]:
        yield f"  OVN        {ovn['northbound']}; {ovn['southbound']} ({ovn['origin']})"
    for one in data["storage"]:
        users = ", ".join([*one["cinder"], *(["Nova"] if one["nova"] else [])])
        yield f"  storage    {one['name']}: {one['kind']} {one['place']} on {one['host'] or 'this machine'}, of {users}"
    yield f"  state      {data['state']['directory']}; journal {data['state']['journal']}"


def _where(data: Mapping[str, Any]) -> str:
    layout = f" (layout {data['layout']} only)" if data["layout"] else ""
    return f"the services' own files below {data['root']}{layout}"


def _address(entry: Mapping[str, Any]) -> str:
    options = ", ".join(f"{name}={value}" for name, value in entry["options"].items())
    return f"{entry['address'] or ''}{f' ({options})' if options else ''}"


def _source(entry: Mapping[str, Any]) -> str:
    inside = f", container {entry['container']}" if entry["container"] else ""
    text = f"{_MEANS[entry['state']]} {entry['path']} ({entry['layout']}{inside})"
    if entry["state"] == "differs":
        text += f" says {_address(entry)}"
    return f"{text}: {entry['note']}" if entry["note"] else text


def _api(api: Mapping[str, Any]) -> str:
    text = f"cloud {api['cloud']}" if api["cloud"] else "no cloud is named"
    if api["clouds"]:
        text += f" in {api['clouds']}"
    return f"{text}; found: {', '.join(api['found'])}" if api["found"] else text
