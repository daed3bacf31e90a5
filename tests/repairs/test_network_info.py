# SPDX-License-Identifier: Apache-2.0
"""The document that a rebuild writes is the one that Nova's own code builds from the same rows.

Each case (network_cases.py) is a server whose ports are out of the ordinary and whose cache is lost or damaged. The
repair writes its document; Nova's builder, run where Nova is installed with a simulated Neutron that answers from the
same rows (nova_builder.py), writes its own, before the repair and after it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import plans, runs
from stackmend.config.settings import Config, load
from stackmend.repairs import network_info
from stackmend_lab.cloud import Cloud, Server, build

from .network_cases import CASES, Case
from .network_rows import neutron_api

SERVICES = Path(os.environ.get("STACKMEND_SERVICES", Path(__file__).parents[2] / ".services")).absolute()
NEWEST = 74  #: services.version of the Nova that answers
BRIDGE = "br-of-this-site"  #: [neutron]ovs_bridge: longer than the 14 characters that Nova leaves of it
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answers:
    """What both sides made of the cases."""

    cases: Mapping[str, Case]
    refusals: Mapping[str, str]  #: server -> why the repair refuses it
    written: Mapping[str, str | None]  #: server -> document in its row after the repairs
    before: Mapping[str, Row]  #: server -> what Nova builds from the rows before the repairs
    after: Mapping[str, Row]  #: server -> what Nova builds from the rows after them
    aliases: Mapping[str, int]  #: release -> its newest services.version
    version: int  #: of the Nova that answered


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """All cases in one cloud, rebuilt by stackmend and by Nova."""
    folder = tmp_path_factory.mktemp("network_info")
    cloud = build(folder / "cloud", servers=160, seed=11)
    cases = {name: make(cloud) for name, make in CASES.items()}
    cells = {name: url for name, url in cloud.databases.items() if name.startswith("cell:")}
    copies = {}
    for name, url in cells.items():
        cloud.update(name, "services", {"binary": "nova-compute"}, version=NEWEST)
        copy = folder / f"{name.replace(':', '-')}.db"
        shutil.copyfile(url.removeprefix("sqlite:///"), copy)
        copies[name] = f"sqlite:///{copy}"
    (folder / "nova.conf").write_text(f"[DEFAULT]\nflat_injected = true\n[neutron]\novs_bridge = {BRIDGE}\n")
    toml = folder / "stackmend.toml"
    toml.write_text(cloud.toml() + '\n[files]\nnova = "nova.conf"\n', encoding="utf-8")
    refusals = mended(load(str(toml)), [case.server.uuid for case in cases.values()])
    nova = asked(cloud, cases, [copies, cells])
    yield Answers(
        cases=cases,
        refusals=refusals,
        written={case.server.uuid: cached(cloud, case.server) for case in cases.values()},
        before=nova["runs"][0],
        after=nova["runs"][1],
        aliases=nova["aliases"],
        version=nova["version"],
    )
    cloud.close()


def mended(config: Config, servers: list[str]) -> dict[str, str]:
    """Have all caches rebuilt in one run; why some are not."""
    asked_for = [plans.request(config, "rebuild-info-cache", {"server": s}, allow_db=True) for s in servers]
    actions = [action for plan in asked_for for action in plan.actions]
    numbered = tuple(replace(action, id=f"a{number}") for number, action in enumerate(actions, 1))
    assert runs.apply(config, replace(asked_for[0], actions=numbered)).stale == 0
    return {left.resource_id: left.reason for plan in asked_for for left in plan.not_repaired}


def asked(cloud: Cloud, cases: Mapping[str, Case], cells: list[dict[str, str]]) -> Row:
    """What Nova answers, of the rows in each of these sets of cell databases."""
    servers = [
        {"uuid": case.server.uuid, "cell": case.server.database, "preexisting": case.preexisting}
        for case in cases.values()
    ]
    healing = [{**server, "preexisting": []} for server in servers]
    question = {
        "api": neutron_api(cloud),
        "ovs_bridge": BRIDGE,
        "flat_injected": True,
        "runs": [{"databases": cells[0], "servers": servers}, {"databases": cells[1], "servers": healing}],
    }
    program = [SERVICES / "bin" / "python", Path(__file__).with_name("nova_builder.py")]
    done = subprocess.run(program, input=json.dumps(question), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def cached(cloud: Cloud, server: Server) -> str | None:
    """The text in the live cache row of a server."""
    sql = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = :u AND deleted = 0"
    found = cloud.rows(server.database, sql, {"u": server.uuid})
    return found[0]["network_info"] if found else None


@pytest.mark.parametrize("name", sorted(n for n in CASES))
def test_the_document_is_nova_s(answers: Answers, name: str) -> None:
    """What the repair writes is what Nova builds from the same rows, to the byte; what Nova refuses it refuses."""
    case = answers.cases[name]
    nova, written = answers.before[case.server.uuid], answers.written[case.server.uuid]
    if case.refused:
        assert "error" in nova
        assert case.refused in answers.refusals[case.server.uuid]
        return
    assert case.server.uuid not in answers.refusals
    assert written is not None
    if case.ordered:
        assert json.loads(written) == json.loads(nova["text"])
        assert written == nova["text"]
    else:
        assert sorted(json.loads(written), key=repr) == sorted(json.loads(nova["text"]), key=repr)


@pytest.mark.parametrize("name", sorted(n for n in CASES))
def test_a_heal_afterwards_changes_nothing(answers: Answers, name: str) -> None:
    """Nova reads the document that was written, and builds the very same one from it, flags and order included."""
    case = answers.cases[name]
    nova = answers.after[case.server.uuid]
    assert ("error" in nova) == bool(case.refused)
    if not case.refused:
        assert nova["text"] == answers.written[case.server.uuid]


def test_nics_without_rows_come_by_age(answers: Answers) -> None:
    """Where Nova has forgotten the order, the oldest port is the first NIC: it was there when the server was built."""
    server = answers.cases["nics_without_rows"].server
    documents = [json.loads(text) for text in (answers.written[server.uuid], answers.before[server.uuid]["text"])]
    mine, novas = [[vif["id"] for vif in document] for document in documents]
    assert mine == sorted(server.ports, reverse=True)
    assert novas == sorted(server.ports)


def test_the_table_says_something(answers: Answers) -> None:
    """The cases differ in what they are about: no two documents are alike, and every branch left its mark."""
    found = [vif for text in answers.written.values() if text for vif in json.loads(text)]
    assert {vif["preserve_on_delete"] for vif in found} == {True, False}
    assert {vif["active"] for vif in found} == {True, False}
    assert {vif["network"]["meta"]["tunneled"] for vif in found} == {True, False}
    assert {vif["network"]["meta"]["injected"] for vif in found} == {True}
    assert max(len(vif["network"]["subnets"]) for vif in found) == 2
    assert BRIDGE[:14] in {vif["network"]["bridge"] for vif in found}
    assert max(len(ip["floating_ips"]) for v in found for s in v["network"]["subnets"] for ip in s["ips"]) == 2
    assert {vif["type"] for vif in found} >= {"ovs", "hw_veb", "802.1qbg", "802.1qbh", "dvs", "vhostuser", None}


def test_releases_are_told_by_nova_s_own_numbers(answers: Answers) -> None:
    """The numbers of services.version at which the document changed are those of Nova's releases."""
    aliases = answers.aliases
    assert answers.version == NEWEST == network_info._HIBISCUS
    assert aliases["Hibiscus"] == network_info._HIBISCUS
    assert aliases["Antelope"] == network_info._ANTELOPE
    assert aliases["Yoga"] == network_info._YOGA
    assert aliases["Xena"] == network_info._XENA
