# SPDX-License-Identifier: Apache-2.0
"""An audit by the services' APIs alone: what they show leads to what databases lead to, and never to more."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import stackmend_lab.plants as plants
from stackmend.app.apis import asking
from stackmend.app.audits import audit
from stackmend.app.session import CloudSession
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.witness import WitnessSources, witnesses
from stackmend.model.audit import CheckOutcome, Report
from stackmend.model.errors import ConfigError, Exit
from stackmend.model.finding import Says, State
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.plants._servers import new_port
from stackmend_lab.plants.neutron import port_without_server

from ...support import by_account
from ...support.planning import plan_for
from .serving import serving
from .showing import CELLS, ShowingFake

CHECKS = catalogue.checks()
#: checks that can be answered whole from what APIs show
WHOLE = by_account.whole()
#: checks that are answered, but may overlook something
PARTLY = by_account.partly()


def test_the_docs_name_what_an_account_alone_answers() -> None:
    """The table in the explanation is that of the checks as they are."""
    page = Path(__file__).parents[3] / "docs" / "explanation" / "concepts.md"
    rows = re.findall(r"^\| (complete|in part)[^|]*\| (.+) \|$", page.read_text(encoding="utf-8"), re.M)
    assert {kind: set(re.findall("`([^`]+)`", names)) for kind, names in rows} == {"complete": WHOLE, "in part": PARTLY}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShowingFake]:
    """The services of a cloud that nothing is wrong with."""
    cloud = build(tmp_path_factory.mktemp("healthy") / "cloud", servers=150, seed=5)
    with serving(ShowingFake(cloud, tmp_path_factory.mktemp("account"))) as fake:
        yield fake  # type: ignore[misc]
    cloud.close()


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, ShowingFake]]:
    """A cloud with everything wrong that a cloud of plants has, and everything that only looks so."""
    cloud = build(tmp_path_factory.mktemp("broken") / "cloud", servers=3500, seed=9)
    for module in plants.modules().values():
        for make in (module.plant, *getattr(module, "VARIANTS", {}).values(), *module.LOOK_ALIKES.values()):
            make(cloud)
    for cell in CELLS:
        for row in cloud.rows(cell, "SELECT id, network_info FROM instance_info_caches"):
            if not _parses(row["network_info"]):  # Nova lists no servers at all where there is one
                cloud.update(cell, "instance_info_caches", {"id": row["id"]}, network_info="[]")
    with serving(ShowingFake(cloud, tmp_path_factory.mktemp("account"))) as fake:
        yield cloud, fake  # type: ignore[misc]
    cloud.close()


def _parses(text: str | None) -> bool:
    try:
        return isinstance(json.loads(text or "[]"), list)
    except ValueError:
        return False


def configured(folder: Path, fake: ShowingFake, databases: str = "") -> Config:
    """An account, and the databases of these lines."""
    accounts = f'[api]\ncloud = "fake"\nclouds = "{fake.clouds_yaml()}"\ntimeout = 60\n'
    path = folder / "stackmend.toml"
    path.write_text(f'{databases}[state]\ndirectory = "{folder / "state"}"\n{accounts}', encoding="utf-8")
    return load(str(path))


@pytest.fixture
def asked(healthy: ShowingFake, tmp_path: Path) -> Callable[..., Report]:
    """Audit the healthy services."""
    healthy.down, healthy.member, healthy.page = set(), False, 1000
    healthy.faults.clear()
    healthy.seen.clear()
    return lambda *checks: audit(configured(tmp_path, healthy), checks=checks, settle=0)


def test_a_healthy_cloud_in_small_pages(healthy: ShowingFake, asked: Callable[..., Report]) -> None:
    """Nothing is found; what can be answered is, and each other check names what no API shows."""
    healthy.page = 7
    report = asked()
    assert report.findings == ()
    answered = {name for name, result in report.checks.items() if result.outcome is CheckOutcome.OK}
    assert answered == WHOLE
    rest = CHECKS.keys() - WHOLE - {"unreadable-row"}
    reasons = {name: report.checks[name].reason for name in rest}
    # of Glance and Keystone no account is asked
    known = ("does not show", "not configured")
    assert {name: why for name, why in reasons.items() if not any(one in why for one in known)} == {}
    assert report.exit is Exit.INCOMPLETE
    assert all(source.api and not source.error for source in report.manifest.sources if source.rows)
    assert healthy.changes() == []


def test_the_same_findings_as_by_databases(broken: tuple[Cloud, ShowingFake], tmp_path: Path) -> None:
    """Check by check the findings are those of the databases, look-alikes and all; none is only the API's.

    But an empty network cache and one whose row is gone look alike, deleted nodes are overlooked, and that nova_api
    still maps a server which its cell has lost is not shown.
    """
    cloud, fake = broken
    databases = configured(tmp_path, fake, cloud.toml().partition("[state]")[0])
    ours = audit(databases, settle=0, use_api=False)
    (tmp_path / "api").mkdir()
    theirs = audit(configured(tmp_path / "api", fake), settle=0)
    for name in sorted(WHOLE | PARTLY):
        left = {finding.fingerprint: finding for finding in ours.findings if finding.check == name}
        right = {finding.fingerprint: finding for finding in theirs.findings if finding.check == name}
        gone = {f.key["server"] for f in ours.findings if f.check == "info-cache-row-missing-or-deleted"}
        lost = {f.key["server"] for f in ours.findings if f.check == "instance-mapping-without-server"}
        more = {m: f for m, f in right.items() if m not in left and f.key.get("server") not in gone}
        more = {m: f for m, f in more.items() if f.key.get("consumer") not in lost}
        fewer = {m: f for m, f in left.items() if m not in right}
        assert not [finding.evidence for finding in more.values()], name
        assert name in PARTLY or not [finding.evidence for finding in fewer.values()], name
    unsaid = {
        finding.check for finding in theirs.findings if finding.state is not State.CONFIRMED and not finding.unsure
    }
    assert {name: theirs.checks[name].reason for name in unsaid} == {}
    assert {finding.check for finding in theirs.findings} >= WHOLE


@pytest.mark.parametrize("cell", ["cell:cell0", "cell:cell2"])
def test_a_cell_that_does_not_answer(healthy: ShowingFake, asked: Callable[..., Report], cell: str) -> None:
    """Nothing of it is taken for gone: what needs every cell has no answer, and says that a cell does not answer."""
    healthy.down = {cell}
    report = asked("port-without-server", "allocation-orphan", "volume-in-use-server-gone")
    assert report.findings == ()
    for result in report.checks.values():
        assert result.outcome is CheckOutcome.INCOMPLETE
        assert "does not answer" in result.reason


def test_an_account_that_sees_its_own_things_alone(healthy: ShowingFake, asked: Callable[..., Report]) -> None:
    """Services that leave out what is others' without a word are found out: no answer, by the name of the service."""
    healthy.member = True
    report = asked("port-without-server", "volume-stuck-error-deleting")
    assert report.findings == ()
    assert {result.outcome for result in report.checks.values()} == {CheckOutcome.INCOMPLETE}
    errors = report.manifest.failed()
    assert "hosts of ports" in errors["neutron"]
    assert all("403" in errors[name] for name in ("cinder", "cell:api"))


@pytest.mark.parametrize(
    ("path", "check"),
    [
        ("/servers/detail", "port-without-server"),
        ("/ports", "port-without-server"),
        ("/attachments", "volume-in-use-server-gone"),
        ("/resource_providers", "allocation-orphan"),
        ("/os-migrations", "allocation-orphan"),
    ],
)
def test_a_list_that_breaks_off(healthy: ShowingFake, asked: Callable[..., Report], path: str, check: str) -> None:
    """A service that fails makes the checks incomplete that need it, with what it said."""
    healthy.fault("GET", path, "refuse", times=50, status=500, body={"error": {"message": "database is gone"}})
    report = asked(check)
    assert report.findings == ()
    assert report.checks[check].outcome is CheckOutcome.INCOMPLETE
    assert "500" in report.checks[check].reason


def test_a_server_that_a_list_overlooks(healthy: ShowingFake, asked: Callable[..., Report]) -> None:
    """A server that no page showed is asked for by its id before anybody says that it is gone."""
    hidden = healthy.list_servers
    try:
        healthy.routes.insert(0, ("GET", re.compile(r"/compute/v2.1/servers/detail\?all_tenants=1\Z"),
                                  lambda *_: (200, {"servers": []})))  # fmt: skip
        report = asked("port-without-server", "volume-in-use-server-gone", "allocation-orphan")
    finally:
        healthy.routes.pop(0)
    assert hidden
    assert report.findings == ()
    assert report.exit is Exit.CLEAN


@pytest.mark.attack("loses a server's row, or a host's mapping, where Nova is known by its API alone")
def test_what_only_novas_databases_tell(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """The things of a server that Nova's API denies are candidates with the reason, also for a check asked alone.

    The cell has lost the server's row while nova_api maps it; another is marked deleted; the compute node of a host
    that has no mapping is not listed. No plan is made for any.
    """
    cloud = build(tmp_path_factory.mktemp("lost") / "cloud", servers=60, seed=33)
    lost, marked = cloud.pick("volume_backed"), cloud.pick("premade_port")
    cloud.delete(lost.database, "instances", {"uuid": lost.uuid})
    cloud.update(marked.database, "instances", {"uuid": marked.uuid}, deleted=7, deleted_at=cloud.ago(90000))
    unmapped = cloud.pick("stopped")
    cloud.delete("nova_api", "host_mappings", {"host": unmapped.host})
    lines = [line for line in cloud.toml().partition("[state]")[0].splitlines() if not line.startswith("nova_api")]
    gone = ("allocation-orphan", "port-without-server", "volume-in-use-server-gone")
    with serving(ShowingFake(cloud, tmp_path)) as fake:
        config = configured(tmp_path, fake)  # type: ignore[arg-type]
        alone = [finding for check in gone for finding in audit(config, checks=[check], settle=0).findings]
        nodes = audit(config, checks=["server-on-nonexistent-host"], settle=0).findings
        whole = [finding for finding in audit(config, settle=0).findings if finding.check in gone]
        beside = configured(tmp_path, fake, "\n".join(lines) + "\n")  # type: ignore[arg-type]
        plan = plan_for(beside, checks=list(gone), via="auto", allow_db=True, settle=0)
    cloud.close()
    for found in (alone, whole):
        assert {finding.check for finding in found} == set(gone)
        assert {finding.state for finding in found} == {State.CANDIDATE}
        why = {finding.unsure for finding in found}
        assert any("no such server" in text for text in why)
        assert any("marked by SQL" in text for text in why)
        assert all("may run" in text for text in why)
    assert unmapped.uuid in {finding.resource_id for finding in nodes}
    assert {(finding.state, "list_hosts" in finding.unsure) for finding in nodes} == {(State.CANDIDATE, True)}
    assert plan.actions == ()
    assert len(plan.not_repaired) == len(alone)
    assert all("may run" in left.reason for left in plan.not_repaired)


def test_every_check_of_servers_that_are_gone_says_what_an_api_does_not_tell() -> None:
    """Whatever a check calls a server that exists nowhere, by Nova's API alone it is not sure of it."""
    answered = WHOLE | PARTLY
    concerned = {name for name, check in CHECKS.items() if "existing_servers" in check.sql and name in answered}
    assert concerned == {"allocation-orphan", "port-without-server", "volume-in-use-server-gone"}
    for name in concerned:
        codes = {a or b for a, b in re.findall(r"THEN '(\S+)'|ELSE '(\S+)' END AS code", CHECKS[name].sql)}
        assert codes - {"finished-migration"} == CHECKS[name].untold.keys()


def test_databases_beside_an_api(broken: tuple[Cloud, ShowingFake], tmp_path: Path) -> None:
    """A service without a database is read from its API, the others from their databases; the checks join them."""
    cloud, fake = broken
    lines = [line for line in cloud.toml().partition("[state]")[0].splitlines() if not line.startswith("neutron")]
    report = audit(configured(tmp_path, fake, "\n".join(lines) + "\n"), checks=["port-without-server"], settle=0)
    assert {source.database for source in report.manifest.sources if source.api} == {"neutron"}
    ours = audit(
        configured(tmp_path, fake, cloud.toml().partition("[state]")[0]), checks=["port-without-server"], settle=0
    )
    assert {f.fingerprint for f in report.findings} == {f.fingerprint for f in ours.findings} != set()
    assert report.exit is Exit.FINDINGS


def test_the_api_of_another_cloud(
    broken: tuple[Cloud, ShowingFake], healthy: ShowingFake, asked: Callable[..., Report], tmp_path: Path
) -> None:
    """An API that knows nothing of what the databases hold does not stand in for them: incomplete, and it is said."""
    assert asked
    lines = [line for line in broken[0].toml().partition("[state]")[0].splitlines() if not line.startswith("neutron")]
    report = audit(configured(tmp_path, healthy, "\n".join(lines) + "\n"), checks=["port-without-server"], settle=0)
    assert report.exit is Exit.INCOMPLETE
    assert any("belong to different clouds" in note for note in report.notes)


def test_no_api_and_no_database(tmp_path: Path, healthy: ShowingFake) -> None:
    """--no-api without any database is an error of the configuration."""
    with pytest.raises(ConfigError, match="no database is configured"):
        audit(configured(tmp_path, healthy), use_api=False)


class TestNothingButAnAccount:
    """A machine without any file of ours or of the services, and an account where every client looks for it."""

    @pytest.fixture
    def stackmend(self, healthy: ShowingFake, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
        """The program for an operator whose home has a clouds.yaml."""
        healthy.down, healthy.member, healthy.page = set(), False, 1000
        healthy.faults.clear()
        home = tmp_path / "home"
        (home / ".config" / "openstack").mkdir(parents=True)
        shutil.copy(healthy.clouds_yaml(), home / ".config" / "openstack" / "clouds.yaml")
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("OS_", "XDG_", "STACKMEND_"))}
        kept |= {"HOME": str(home), "STACKMEND_ROOT": str(home), "OS_CLOUD": "fake"}
        program = Path(sysconfig.get_path("scripts"), "stackmend")

        def command(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [program, *argv], capture_output=True, text=True, env=kept | env, cwd=home, check=False, timeout=120
            )

        return command

    def test_an_audit(self, stackmend: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        """OS_CLOUD alone is enough: what the APIs show is answered, the rest is incomplete by name."""
        done = stackmend("audit", "--settle", "0", "-f", "json")
        assert done.returncode == Exit.INCOMPLETE, done.stderr
        assert json.loads(done.stdout) == []
        named = re.findall(r"no answer from ([^:]+):", done.stderr)  # checks of one reason share a line
        silent = {name for some in named for name in re.findall(r"[a-z]+(?:-[a-z]+)+", some)}
        assert silent | {"unreadable-row"} >= CHECKS.keys() - WHOLE
        assert not silent & WHOLE
        assert stackmend("config", "show").returncode == Exit.CLEAN

    @pytest.mark.parametrize(
        ("argv", "env"),
        [
            (["audit"], {"OS_CLOUD": ""}),
            (["--root", ".", "audit"], {}),
            (["--layout", "kolla", "audit"], {}),
        ],
        ids=["no-account", "a-root-asked-for", "a-layout-asked-for"],
    )
    def test_refusal(
        self, stackmend: Callable[..., subprocess.CompletedProcess[str]], argv: list[str], env: dict[str, str]
    ) -> None:
        """Without an account nothing can be done, and whoever names where the files are wants these."""
        done = stackmend(*argv, **env)
        assert done.returncode == Exit.USAGE
        assert "no configuration" in done.stderr
        assert "OS_CLOUD" in done.stderr

    def test_a_file_that_names_a_wrong_database(
        self, stackmend: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
    ) -> None:
        """A service's file that makes no sense is not passed over for the APIs."""
        (tmp_path / "home" / "etc" / "nova").mkdir(parents=True)
        (tmp_path / "home" / "etc" / "nova" / "nova.conf").write_text("[api_database]\nconnection = nonsense\n")
        done = stackmend("audit")
        assert done.returncode == Exit.USAGE
        assert "nova.conf" in done.stderr


class TestWitnesses:
    """What databases showed, and what the services say of it."""

    def test_support(self, broken: tuple[Cloud, ShowingFake], tmp_path: Path) -> None:
        """Findings that the services show too are confirmed, and say so."""
        cloud, fake = broken
        report = audit(configured(tmp_path, fake, cloud.toml().partition("[state]")[0]), settle=0)
        says = {f.check: f.api.says.value if f.api else None for f in report.findings}
        assert says["port-without-server"] == says["info-cache-stale-port"] == says["server-half-purged"] == "supports"
        assert not [f for f in report.findings if f.api and f.api.says.value == "contradicts"]
        assert any("supported" in note for note in report.notes)

    def test_contradiction(self, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
        """A finding that the services do not show is not confirmed: they may read other databases than we do."""
        cloud = build(tmp_path_factory.mktemp("twin") / "cloud", servers=60, seed=21)
        key = port_without_server.plant(cloud)
        with serving(ShowingFake(cloud, tmp_path)) as fake:
            fake.routes.insert(0, ("GET", re.compile(r"/network/v2.0/ports.*"),
                                   lambda *_: (200, {"ports": []})))  # fmt: skip
            config = configured(tmp_path, fake, cloud.toml().partition("[state]")[0])  # type: ignore[arg-type]
            report = audit(config, checks=["port-without-server"], settle=0)
            assert [(f.key, f.state) for f in report.findings] == [(key, State.CANDIDATE)]
            assert [f.api.says.value for f in report.findings if f.api] == ["contradicts"]
            plain = audit(config, checks=["port-without-server"], settle=0, use_api=False)
            assert [(f.state, f.api) for f in plain.findings] == [(State.CONFIRMED, None)]
        cloud.close()

    def test_more_than_are_asked_about(self, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
        """The services are asked about five hundred findings of a check; of the others it is said that they are not."""
        cloud = build(tmp_path_factory.mktemp("many") / "cloud", servers=60, seed=22)
        server = cloud.pick("active")
        for _ in range(503):
            port = new_port(cloud, server, device_id=str(uuid.uuid4()), name="mail-gateway")
            # its address is one of a few thousand
            cloud.delete("neutron", "ipallocations", {"port_id": port})
            cloud.execute("neutron", "DELETE FROM ipamallocations WHERE ip_address LIKE '10.99.%'")
        with serving(ShowingFake(cloud, tmp_path)) as fake:
            config = configured(tmp_path, fake, cloud.toml().partition("[state]")[0])  # type: ignore[arg-type]
            report = audit(config, checks=["port-without-server"], settle=0)
        cloud.close()
        assert [finding.state for finding in report.findings] == [State.CONFIRMED] * 503
        assert len([finding for finding in report.findings if finding.api]) == 500
        assert [note for note in report.notes if note.startswith("3 of 503 findings of port-without-server were not")]

    @pytest.mark.parametrize("down", [set[str](), {"cell:cell1"}], ids=["together", "one-by-one"])
    def test_no_time_left(self, broken: tuple[Cloud, ShowingFake], tmp_path: Path, down: set[str]) -> None:
        """What there was no time for is counted, and not taken for confirmed by anybody."""
        cloud, fake = broken
        config = configured(tmp_path, fake, cloud.toml().partition("[state]")[0])
        check = CHECKS["port-without-server"]
        rows = [f.evidence for f in audit(config, checks=[check.name], settle=0, use_api=False).findings]
        session = CloudSession.of(config)
        with asking(config, session, seconds=3600 if down else -1) as (collector, manifest, _):
            assert collector
            assert manifest
            fake.down = down
            said, notes = witnesses(
                check, rows, WitnessSources(session.collector(), collector, manifest, {}, seconds=-1)
            )
            fake.down = set()
        assert len(rows) > 1
        assert {(one.says, one.reason) for one in said.values()} == {
            (Says.UNKNOWN, "the time for querying the services is over")
        }
        assert notes[0].startswith(f"{len(rows)} of {len(rows)} findings of {check.name} were not compared")

    def test_nobody_to_ask(self, broken: tuple[Cloud, ShowingFake], tmp_path: Path) -> None:
        """Services that cannot be asked are named in a note; the findings stand."""
        cloud, fake = broken
        config = configured(tmp_path, fake, cloud.toml().partition("[state]")[0])
        fake.fault("POST", "/auth/tokens", "refuse", times=9, status=500)
        report = audit(config, checks=["port-without-server"], settle=0)
        fake.faults.clear()
        assert {finding.state for finding in report.findings} == {State.CONFIRMED}
        assert any("were not queried" in note for note in report.notes)
