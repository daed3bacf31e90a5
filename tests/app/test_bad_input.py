# SPDX-License-Identifier: Apache-2.0
"""What operators and machines do wrong, by the commands they type: a clear error, its exit code, and no row changed."""

from __future__ import annotations

import io
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackmend.app.audits import audit
from stackmend.cli.shell import main
from stackmend.config.settings import load
from stackmend.model.audit import CheckOutcome
from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.cinder import volume_stuck_error_deleting
from stackmend_lab.plants.placement import allocation_orphan

PROGRAM = Path(sys.executable).with_name("stackmend")
SECRET = "Xyzzy-plugh-42"
#: files that a process may write are cut here: more than a plan or an empty journal needs, less than a run notes
FILE_LIMITS = (0, 16384, 65536, 131072)


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


#: the checks of what is broken
BROKEN = ("--check", "allocation-orphan", "--check", "volume-stuck-error-deleting")


class Bench:
    """A broken cloud, a plan for it, and the program in a process of its own."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self.plan = folder / "plan.json"
        self.toml = folder / "cloud.toml"
        self.state = folder / "state"
        self.configure()

    @classmethod
    def broken(cls, cloud: Cloud, folder: Path) -> Bench:
        """Two things are broken, in two databases, and a plan mends them; the cloud is saved like that."""
        found = cls(cloud, folder)
        allocation_orphan.plant(cloud)
        volume_stuck_error_deleting.plant(cloud)
        cloud.save()
        done = found.run("plan", "create", *BROKEN, "--allow-db", "--out", found.plan)
        assert (done.code, len(found.actions())) == (Exit.FINDINGS, 2)
        return found

    def again(self, folder: Path) -> Bench:
        """The same, broken anew, in another folder."""
        self.cloud.reset()
        found = Bench(self.cloud, folder)
        found.plan.write_text(self.plan.read_text())
        return found

    def configure(self, more: str = "", state: Path | None = None) -> None:
        """Write the configuration; ``more`` is added to it."""
        where = str(state or self.state)
        text = self.cloud.toml(same_account="[writer]" not in more)
        self.toml.write_text(text.replace(str(self.cloud.state), where) + more, encoding="utf-8")

    def run(self, *argv: object) -> Ran:
        """Run a command to its end, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(self.words(*argv)[1:])
        return Ran(code, out.getvalue(), err.getvalue())

    def program(self, *argv: object, limit: int) -> Ran:
        """Run a command in a process of its own, which may write no file longer than ``limit`` bytes."""
        done = subprocess.run(
            self.words(*argv),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def words(self, *argv: object) -> list[str]:
        """The command line."""
        return [str(PROGRAM), "--config", str(self.toml), *map(str, argv)]

    @property
    def apply(self) -> Sequence[object]:
        """The command that applies the plan."""
        return ("plan", "apply", self.plan, "--yes", "--accept", "all", "-f", "json")

    def actions(self) -> list[dict[str, Any]]:
        """The actions of the plan."""
        found: list[dict[str, Any]] = json.loads(self.plan.read_text())["plan"]["actions"]
        return found


def refused(done: Ran, code: Exit) -> None:
    """A clear error with a hint, and no password in anything."""
    assert done.code == code, done.err
    assert "error: " in done.err
    assert "hint: " in done.err
    assert "Traceback" not in done.err
    assert SECRET not in done.out + done.err


@pytest.fixture(scope="module")
def in_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A broken cloud in SQLite files, with a plan."""
    folder = tmp_path_factory.mktemp("bad")
    cloud = build(folder / "cloud", servers=40, seed=21)
    yield Bench.broken(cloud, folder)
    cloud.close()


@pytest.fixture(scope="module")
def on_server(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A broken cloud on MariaDB, with a plan."""
    cloud = build(mariadb, servers=40, seed=22, prefix="bad_")
    yield Bench.broken(cloud, tmp_path_factory.mktemp("bad"))
    cloud.close()


@pytest.fixture
def bench(in_files: Bench, tmp_path: Path) -> Bench:
    """The one in files, as it was when the plan was made."""
    return in_files.again(tmp_path)


@pytest.fixture
def server_bench(on_server: Bench, tmp_path: Path) -> Bench:
    """The one on MariaDB, as it was when the plan was made."""
    return on_server.again(tmp_path)


# -- accounts


@pytest.mark.parametrize(
    ("account", "grants"),
    [(("readonly", SECRET), "SELECT ON *.*"), (("stranger", SECRET), "")],
    ids=["read-only", "wrong password"],
)
def test_a_writer_that_may_not_write(
    server_bench: Bench, mariadb: MariaDB, account: tuple[str, str], grants: str
) -> None:
    """The server refuses, the run says which database and account, nothing is changed, and the plan is good later."""
    if grants:
        mariadb.account(*account, grants)
    before = server_bench.cloud.dump()
    server_bench.configure(f'\n[writer]\nusername = "{account[0]}"\npassword = "{account[1]}"\n')
    done = server_bench.run(*server_bench.apply)
    assert done.code == Exit.STOPPED, done.err
    result = json.loads(done.out)
    assert (result["done"], result["failed"], result["in_doubt"]) == (0, 2, 0)
    assert account[0] in done.err
    assert SECRET not in done.out + done.err
    assert server_bench.cloud.dump() == before
    server_bench.configure()
    assert server_bench.run(*server_bench.apply).code == Exit.REPAIRED


def test_a_cell_whose_password_is_wrong(server_bench: Bench, mariadb: MariaDB) -> None:
    """Exit 7, the cell and the account are named, what needs cells says nothing, the rest is answered."""
    url = mariadb.url("bad_nova", ("nova", SECRET))
    server_bench.cloud.update("nova_api", "cell_mappings", {"name": "cell1"}, database_connection=url)
    done = server_bench.run("audit", "-f", "json")
    assert done.code == Exit.INCOMPLETE
    assert {f["check"] for f in json.loads(done.out)} == {"volume-stuck-error-deleting"}
    assert "cell:cell1" in done.err
    assert "nova@127.0.0.1" in done.err
    assert SECRET not in done.out + done.err


def test_connections_that_are_killed(server_bench: Bench, mariadb: MariaDB) -> None:
    """An audit whose connections die half-way is incomplete by the names of its checks, and calls nothing an orphan."""
    cut: list[str] = []

    def progress(what: str, rows: int, expected: int | None) -> None:
        if what == "neutron.ports" and not cut:
            cut.append(what)
            with mariadb.connect() as connection, connection.cursor() as cursor:
                cursor.execute("KILL USER stackmend@'127.0.0.1'")

    whole = audit(load(str(server_bench.toml)))
    assert {f.check for f in whole.findings} == {"allocation-orphan", "volume-stuck-error-deleting"}
    report = audit(load(str(server_bench.toml)), progress=progress, settle=0)
    assert cut
    assert report.exit is Exit.INCOMPLETE
    assert "allocation-orphan" not in {f.check for f in report.findings}
    assert {name for name, r in report.checks.items() if "neutron" in r.reason} >= {"info-cache-empty"}
    assert report.checks["port-without-server"].outcome is CheckOutcome.INCOMPLETE
    assert report.checks["allocation-orphan"].outcome is CheckOutcome.INCOMPLETE


@pytest.mark.parametrize(
    "url",
    [
        f"mysql+pymysql://u:p@ss:{SECRET}@h/db",
        f"mysql+pymysql://u:p@{SECRET}@h/db",
        f"mysql+pymysql://u:{SECRET}@127.0.0.1:1/db",
        f"mysql+pymysql://u:{SECRET}@127.0.0.1:port/db",
        f"nothing://u:{SECRET}@h/db",
        f"{SECRET}",
        f"sqlite:////nowhere/{'x' * 300}/j.db",
    ],
)
def test_a_journal_that_cannot_be(bench: Bench, url: str) -> None:
    """Whatever is wrong with its URL: nothing is applied without a journal, and no password is shown."""
    before = bench.cloud.dump()
    text = bench.toml.read_text()
    bench.toml.write_text(text.replace("[state]\n", f'[state]\njournal = "{url}"\n'))
    refused(bench.run(*bench.apply), Exit.STOPPED)
    assert bench.cloud.dump() == before


# -- plans


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_plan_cut_short_is_refused(bench: Bench, share: float) -> None:
    """A file that was copied in part is no plan, wherever it ends."""
    before = bench.cloud.dump()
    text = bench.plan.read_text()
    bench.plan.write_text(text[: int(len(text) * share)])
    refused(bench.run(*bench.apply), Exit.USAGE)
    assert bench.cloud.dump() == before


def _other_value(document: dict[str, Any]) -> None:
    document["plan"]["actions"][0]["steps"][0]["pk"] = {"id": 1}


def _one_less(document: dict[str, Any]) -> None:
    document["plan"]["actions"].pop()


def _more_allowed(document: dict[str, Any]) -> None:
    document["plan"]["limits"]["max_rows"] = 10**9


def _no_hash(document: dict[str, Any]) -> None:
    del document["sha256"]


def _other_format(document: dict[str, Any]) -> None:
    document["format"] = "stackmend-plan-99"


@pytest.mark.parametrize("edit", [_other_value, _one_less, _more_allowed, _no_hash, _other_format])
def test_an_edited_plan_is_refused(bench: Bench, edit: Callable[[dict[str, Any]], None]) -> None:
    """Another key, an action less, a limit more, no hash or another format: not the plan that was signed off."""
    before = bench.cloud.dump()
    document = json.loads(bench.plan.read_text())
    edit(document)
    bench.plan.write_text(json.dumps(document))
    refused(bench.run(*bench.apply), Exit.USAGE)
    assert bench.cloud.dump() == before


def test_a_plan_for_another_cloud_is_refused(bench: Bench, tmp_path: Path) -> None:
    """The same plan with the configuration of another cloud changes neither."""
    other = build(tmp_path / "other", servers=40, seed=21)
    before = bench.cloud.dump(), other.dump()
    toml = tmp_path / "other.toml"
    toml.write_text(other.toml(), encoding="utf-8")
    bench.toml.write_text(toml.read_text())
    refused(bench.run(*bench.apply), Exit.USAGE)
    assert (bench.cloud.dump(), other.dump()) == before
    other.close()


def test_a_plan_older_than_its_rows_is_stale(bench: Bench) -> None:
    """Where every row has moved on nothing at all is written: exit 5, and each action says so."""
    for action in bench.actions():
        for step in action["steps"]:
            if step["kind"] in ("update", "delete"):
                column = "updated_at" if "updated_at" in step["before"] else sorted(step["before"])[-1]
                value = step["before"][column]
                moved = value + 1 if isinstance(value, int) else bench.cloud.now
                bench.cloud.update(step["database"], step["table"], step["pk"], **{column: moved})
    before = bench.cloud.dump()
    done = bench.run(*bench.apply)
    assert done.code == Exit.STOPPED, done.err
    result = json.loads(done.out)
    assert (result["done"], result["stale"], result["failed"]) == (0, 2, 0)
    assert bench.cloud.dump() == before


# -- a journal without room


def settled(bench: Bench, done: Ran, before: object) -> None:
    """Nothing was changed, or it is said plainly that something may have been and what to do."""
    if done.code == Exit.IN_DOUBT:
        assert "run resume" in done.err
        return
    refused(done, Exit.STOPPED)
    assert "journal" in done.err
    assert bench.cloud.dump() == before


@pytest.mark.parametrize("limit", FILE_LIMITS)
def test_a_journal_that_cannot_grow(server_bench: Bench, limit: int) -> None:
    """Where files may not grow the run stops before the rows; afterwards the same plan mends everything."""
    before = server_bench.cloud.dump()
    done = server_bench.program(*server_bench.apply, limit=limit)
    if done.code != Exit.REPAIRED:
        settled(server_bench, done, before)
        _go_on(server_bench, done)
    assert server_bench.run("audit", *BROKEN).code == Exit.CLEAN


def _go_on(bench: Bench, done: Ran) -> None:
    if done.code == Exit.IN_DOUBT:
        run = json.loads(bench.run("run", "list", "-f", "json").out)[0]["id"]
        assert bench.run("run", "resume", run).code in (Exit.REPAIRED, Exit.CLEAN)
    again = bench.run(*bench.apply)
    assert again.code in (Exit.REPAIRED, Exit.CLEAN), again.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize("room", [0, 48, 96])
def test_a_disk_that_is_full(bench: Bench, tmp_path: Path, room: int) -> None:
    """The journal's file system has so many KiB left: no row is changed unnoted; with room again all is mended."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("may not mount here")
    try:
        bench.configure(state=disk / "state")
        assert bench.run("run", "list").code == Exit.CLEAN
        filler = disk / "filler"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler.write_bytes(b"x" * max(0, free - room * 1024))
        before = bench.cloud.dump()
        done = bench.run(*bench.apply)
        if room == 0:
            assert done.code == Exit.STOPPED
        if done.code != Exit.REPAIRED:
            settled(bench, done, before)
            filler.unlink()
            _go_on(bench, done)
        else:
            filler.unlink()
        assert bench.run("audit", *BROKEN).code == Exit.CLEAN
    finally:
        subprocess.run(["umount", disk], check=True)


# -- two at once


def test_two_applies_at_once(bench: Bench) -> None:
    """While one run is writing another one is told which it is and stops; the first one ends as if alone."""
    blockers = [sqlite3.connect(bench.cloud.databases[name].removeprefix("sqlite:///"), isolation_level=None)
                for name in ("placement", "cinder")]  # fmt: skip
    for blocker in blockers:
        blocker.execute("BEGIN IMMEDIATE")
    first = subprocess.Popen(bench.words(*bench.apply), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        holder = _holder(bench.state / "journal.db", first)
        second = bench.run(*bench.apply)
    finally:
        for blocker in blockers:
            blocker.rollback()
            blocker.close()
    refused(second, Exit.STOPPED)
    assert holder in second.err
    assert str(first.pid) in second.err
    out, err = first.communicate(timeout=60)
    assert first.returncode == Exit.REPAIRED, err
    assert json.loads(out)["done"] == 2
    assert bench.run("audit", *BROKEN).code == Exit.CLEAN


def _holder(journal: Path, process: subprocess.Popen[str]) -> str:
    """The run that holds the lock, once one does."""
    while process.poll() is None:
        if journal.exists():
            with closing(sqlite3.connect(journal)) as connection:
                try:
                    found = connection.execute("SELECT run FROM stackmend_leases").fetchall()
                except sqlite3.OperationalError:
                    found = []
                if found:
                    return str(found[0][0])
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1])
