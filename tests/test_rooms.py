# SPDX-License-Identifier: Apache-2.0
"""What services are asked, and how, is said in the rooms for it and nowhere else (docs: architecture)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.cloud import states

SOURCE = Path(__file__).parent.parent / "src" / "stackmend"
#: the rooms in which services' paths, microversions and states stand (the lab is apart)
ROOMS = ("cloud/", "drivers/api/", "tables/")

SERVICES = {"compute", "network", "block-storage", "image", "placement", "identity"}
#: ways of :class:`stackmend.model.protocols.Api` to ask for a path
ASKS = {"get", "every", "ask"}
PATH = re.compile(
    r"/(os-[a-z]+|servers|flavors|images|ports|networks|subnets|routers|agents|volumes|snapshots|backups|attachments"
    r"|resource_providers|allocations|allocation_candidates|projects)(?=$|[/?])"
)
MICROVERSION = re.compile(r"[123]\.\d{1,3}")
#: a string that looks like a microversion and is none: (file, string)
OTHER_VERSIONS = {("repairs/nova/restore_instance_extra.py", "1.3")}  # of Nova's own object


def words() -> frozenset[str]:
    """Every word for a state that :mod:`stackmend.cloud.states` groups."""
    groups = [value for name, value in vars(states).items() if name.isupper() and isinstance(value, frozenset | tuple)]
    return frozenset(word for group in groups for word in group)


def texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """Strings of a module, literal parts of f-strings too, without its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node


def trespasses(name: str, tree: ast.AST) -> Iterator[str]:
    """What of a module belongs into one of the rooms."""
    for text in texts(tree):
        if PATH.match(str(text.value)):
            yield f"{name}:{text.lineno}: the path {text.value!r}"
        if MICROVERSION.fullmatch(str(text.value)) and (name, text.value) not in OTHER_VERSIONS:
            yield f"{name}:{text.lineno}: the microversion {text.value!r}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKS:
            first = node.args[0] if node.args else None
            if len(node.args) > 1 and isinstance(first, ast.Constant) and first.value in SERVICES:
                yield f"{name}:{node.lineno}: {first.value} is asked for a path"
        if isinstance(node, ast.Set | ast.Tuple | ast.List):
            every = [one.value for one in node.elts if isinstance(one, ast.Constant)]
            if len(known := [word for word in every if word in words()]) > 1:
                yield f"{name}:{node.lineno}: the states {', '.join(map(str, known))}"


def test_paths_microversions_and_lists_of_states_stand_in_their_rooms() -> None:
    """Outside of cloud, drivers/api and tables no module names a path, a microversion or a list of states."""
    found = [
        line
        for path in sorted(SOURCE.rglob("*.py"))
        if not (name := path.relative_to(SOURCE).as_posix()).startswith(ROOMS)
        for line in trespasses(name, ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'api.every("compute", path, "servers")',
        "path = f\"/servers/detail?host={quote(host, safe='')}\"",
        'PATH = "/os-services"',
        'at = f"/resource_providers/{name}/usages"',
        '_SHOWN = "2.73"',
        'OVER = frozenset({"completed", "failed", "cancelled"})',
        'if one["status"] in ("accepted", "pre-migrating"): pass',
        'if task not in {None, "deleting", "soft-deleting"}: pass',
    ],
)
def test_what_does_not_belong_is_seen(line: str) -> None:
    """The rule finds each form in which such a thing stood in the tree."""
    assert list(trespasses("workflows/some_host.py", ast.parse(line)))


@pytest.mark.parametrize("line", ['"""GET /os-services"""', "half = 2.5", 'row.get("compute")', 'x = ("done", 1)'])
def test_what_is_none_is_left_alone(line: str) -> None:
    """Docstrings, numbers, other lookups and a single word are nothing that services are asked."""
    assert not list(trespasses("workflows/some_host.py", ast.parse(line)))
