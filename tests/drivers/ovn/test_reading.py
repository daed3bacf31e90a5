# SPDX-License-Identifier: Apache-2.0
"""OVN's databases are read from real servers: at one moment, from a member that knows, within limits, never written."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trustme

from stackmend.drivers.ovn.reading import look
from stackmend.drivers.ovn.remote import Endpoint, Keys, Remote
from stackmend.drivers.ovn.wire import Connection, Select
from stackmend.model.errors import ConfigError, SourceError
from stackmend.tables.outside.ovn import NORTHBOUND

from ...support.frozen_server import Relay
from ...support.ovn_servers import Ovn, OvsdbServer, created, run, schema, until

WANTED = {"Logical_Switch": {"name", "external_ids"}}
SILENCE = 5.0
#: text that looks like the end of a message
_AWKWARD = 'a {"b": "}"} \\ \u00e4}'


def _at(*remotes: str, keys: Keys | None = None) -> Endpoint:
    return Endpoint.of(",".join(remotes), keys or Keys())


def _names(endpoint: Endpoint, silence: float = SILENCE) -> list[object]:
    return sorted(str(row["name"]) for row in look(endpoint, NORTHBOUND, WANTED, silence).rows["Logical_Switch"])


def test_what_is_there_is_read_and_nothing_is_changed(ovn: Ovn) -> None:
    """Rows arrive with their columns, and both databases hold what they held before."""
    ovn.nb("ls-add", "one", "--", "set", "Logical_Switch", "one", "external_ids:a=b", "external_ids:not=asked")
    before = ovn.dump()
    found = look(_at(ovn.northbound.remote), NORTHBOUND, WANTED, SILENCE, frozenset({"a"}))
    assert found.rows == {"Logical_Switch": [{"name": "one", "external_ids": ["map", [["a", "b"]]]}]}
    assert found.leads
    assert ovn.dump() == before


def test_a_server_that_allows_reading_alone_is_enough(folder: Path) -> None:
    """A remote with read_only set refuses every change, and is read like any other."""
    file = created(folder, "sb")
    with closing(OvsdbServer(folder, "sb", [file])) as server:
        run("ovn-sbctl", f"--db={server.remote}", "init")
    with closing(OvsdbServer(folder, "again", [file], "db:OVN_Southbound,SB_Global,connections")) as server:
        run("ovn-sbctl", f"--db={server.remote}", "set-connection", "read-only", "ptcp:0:127.0.0.1")
        status = run("ovn-sbctl", f"--db={server.remote}", "--bare", "--columns=status", "list", "Connection")
        until(lambda: "bound_port" in run("ovn-sbctl", f"--db={server.remote}", "list", "Connection"), lambda: status)
        said = run("ovn-sbctl", f"--db={server.remote}", "list", "Connection")
        port = said.partition("bound_port=")[2].partition("}")[0].partition(",")[0].strip('"')
        remote = f"tcp:127.0.0.1:{port}"
        with pytest.raises(AssertionError, match="read only"):
            run("ovn-sbctl", f"--db={remote}", "chassis-add", "c1", "geneve", "10.0.0.1")
        found = look(_at(remote), "OVN_Southbound", {"Chassis": {"name"}}, SILENCE)
        assert found.rows == {"Chassis": []}


def test_all_tables_are_of_one_moment(ovn: Ovn) -> None:
    """A switch and its port are added and removed together all the while: no look shows one without the other."""
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            ovn.nb("ls-add", "s", "--", "lsp-add", "s", "p")
            ovn.nb("ls-del", "s")

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    wanted = {"Logical_Switch": {"name"}, "Logical_Switch_Port": {"name"}}
    end = time.monotonic() + 20
    try:
        while len(seen) < 2 and time.monotonic() < end:
            rows = look(_at(ovn.northbound.remote), NORTHBOUND, wanted, SILENCE).rows
            seen.add((len(rows["Logical_Switch"]), len(rows["Logical_Switch_Port"])))
    finally:
        over.set()
        thread.join()
    assert seen == {(0, 0), (1, 1)}


def test_what_a_release_lacks_is_not_asked_for(ovn: Ovn) -> None:
    """Columns and tables that the server's own schema does not have are left out, and the rest is read."""
    ovn.nb("ls-add", "one")
    wanted = {"Logical_Switch": {"name", "of_the_future"}, "Of_The_Future": {"name"}}
    found = look(_at(ovn.northbound.remote), NORTHBOUND, wanted, SILENCE)
    assert found.rows == {"Logical_Switch": [{"name": "one"}]}
    assert found.columns == {"Logical_Switch": {"name"}}


def test_a_large_answer_is_read_whole(ovn: Ovn) -> None:
    """Thousands of rows arrive in many parts."""
    for start in range(0, 4000, 1000):
        words = [word for n in range(start, start + 1000) for word in ("--", "ls-add", f"switch-{n:05}-{'x' * 60}")]
        ovn.nb(*words[1:])
    names = _names(_at(ovn.northbound.remote))
    assert len(names) == 4000
    assert str(names[-1]).startswith("switch-03999")


def test_a_server_of_the_other_database_is_not_believed(ovn: Ovn) -> None:
    """The southbound server has no northbound database: said, with what it has."""
    with pytest.raises(SourceError, match=r"has no database OVN_Northbound .it has OVN_Southbound"):
        _names(_at(ovn.southbound.remote))


@contextmanager
def _cluster(folder: Path) -> Iterator[list[OvsdbServer]]:
    """Two members of one cluster; the first is made with it."""
    places = [f"unix:{folder}/raft{n}" for n in range(2)]
    files = [folder / f"raft{n}.db" for n in range(2)]
    run("ovsdb-tool", "create-cluster", str(files[0]), schema("nb"), places[0])
    run("ovsdb-tool", "join-cluster", str(files[1]), NORTHBOUND, places[1], places[0])
    servers = [OvsdbServer(folder, "m0", [files[0]])]
    try:
        servers.append(OvsdbServer(folder, "m1", [files[1]]))
        until(lambda: all("cluster member" in _status(one) for one in servers), lambda: _status(servers[1]))
        yield servers
    finally:
        for one in servers:
            one.close()


def _status(server: OvsdbServer) -> str:
    return run("ovs-appctl", "-t", str(server.control), "cluster/status", NORTHBOUND)


def test_the_leader_is_asked_before_followers(folder: Path) -> None:
    """Whatever the order in the configuration; a follower in touch is enough where the leader cannot be reached."""
    with _cluster(folder) as members:
        leader, follower = sorted(members, key=lambda one: "Role: leader" not in _status(one))
        run("ovn-nbctl", f"--db={leader.remote}", "ls-add", "one")
        found = look(_at(follower.remote, leader.remote), NORTHBOUND, WANTED, SILENCE)
        assert (found.remote, found.leads) == (leader.remote, True)
        until(lambda: _names(_at(follower.remote)) == ["one"])
        alone = look(_at(f"unix:{folder}/none", follower.remote), NORTHBOUND, WANTED, SILENCE)
        assert (alone.remote, alone.leads) == (follower.remote, False)


def test_a_member_cut_off_from_its_cluster_is_not_asked(folder: Path) -> None:
    """It still answers, with rows that may be old: the look fails, and says why."""
    with _cluster(folder) as members:
        leader, follower = sorted(members, key=lambda one: "Role: leader" not in _status(one))
        assert _names(_at(follower.remote)) == []
        leader.close()
        until(
            lambda: "disconnected" in _status(follower) or "not in touch" in _why(follower), lambda: _status(follower)
        )
        assert "not in touch with its cluster" in _why(follower)


def _why(server: OvsdbServer) -> str:
    try:
        _names(_at(server.remote))
    except SourceError as problem:
        return problem.message
    return ""


@contextmanager
def _tls(folder: Path, issuer: trustme.CA, name: str = "own") -> Iterator[tuple[OvsdbServer, str, Keys]]:
    """A server that wants certificates of this issuer, where it listens, and keys that it accepts."""
    for who in ("server", "client"):
        made = issuer.issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(str(folder / f"{name}-{who}.key"))
        made.cert_chain_pems[0].write_to_path(str(folder / f"{name}-{who}.pem"))
    issuer.cert_pem.write_to_path(str(folder / f"{name}-ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = (f"--private-key={folder}/{name}-server.key", f"--certificate={folder}/{name}-server.pem",
               f"--ca-cert={folder}/{name}-ca.pem")  # fmt: skip
    server = OvsdbServer(folder, name, [created(folder, "nb")], f"pssl:{port}:127.0.0.1", options=options)
    try:
        keys = Keys(f"{folder}/{name}-client.key", f"{folder}/{name}-client.pem", f"{folder}/{name}-ca.pem")
        yield server, f"ssl:127.0.0.1:{port}", keys
    finally:
        server.close()


def test_over_tls_both_sides_prove_who_they_are(folder: Path) -> None:
    """A server of another authority is not read, nor does one let in a client without keys."""
    with _tls(folder, trustme.CA()) as (_, remote, keys):
        assert _names(_at(remote, keys=keys)) == []
        trustme.CA().cert_pem.write_to_path(str(folder / "other.pem"))
        with pytest.raises(SourceError, match="certificate verify failed"):
            _names(_at(remote, keys=Keys(keys.private_key, keys.certificate, f"{folder}/other.pem")))
        with pytest.raises(ConfigError, match="needs a private key"):
            _names(_at(remote))


@pytest.mark.parametrize(
    ("remote", "why"),
    [
        ("unix:{folder}/none", "No such file"),
        ("tcp:127.0.0.1:1", "refused"),
    ],
)
def test_nobody_there_is_said_by_name(folder: Path, remote: str, why: str) -> None:
    """No answer is an error that names the remote; it is never an empty database."""
    with pytest.raises(SourceError, match=why) as caught:
        _names(_at(remote.format(folder=folder)))
    assert remote.format(folder=folder) in caught.value.message


def test_a_server_that_freezes_is_given_up(folder: Path) -> None:
    """After the limit, whether it never says anything or stops in the middle of an answer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        closing(OvsdbServer(folder, "nb", [created(folder, "nb")], f"ptcp:{port}:127.0.0.1")),
        Relay(port) as relay,
    ):
        remote = f"tcp:127.0.0.1:{relay.port}"
        assert _names(_at(remote)) == []
        relay.freeze()
        begin = time.monotonic()
        with pytest.raises(SourceError, match=r"has not answered for 0\.5 s"):
            _names(_at(remote), 0.5)
        assert time.monotonic() - begin < 3


@contextmanager
def _saying(answer: Callable[[dict[str, object]], bytes]) -> Iterator[Remote]:
    """A server that answers each request with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with door.accept()[0] as peer:
                while data := peer.recv(1 << 16):
                    peer.sendall(answer(json.loads(data)))

        thread = threading.Thread(target=serve)
        thread.start()
        yield Remote("tcp", "127.0.0.1", door.getsockname()[1])
        thread.join()


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ([{"rows": []}], "only a part"),
        ([{"rows": []}, {"error": "timed out", "details": "too busy"}], "too busy"),
        ([{"rows": []}, None], "only a part"),
        ("nothing", "is not a list"),
    ],
)
def test_half_an_answer_is_none(result: object, why: str) -> None:
    """A transaction that was answered in part counts as not answered: missing rows are never absent rows."""

    def answer(request: dict[str, object]) -> bytes:
        return json.dumps({"id": request["id"], "result": result, "error": None}).encode()

    with _saying(answer) as remote, closing(Connection(remote, Keys(), SILENCE)) as connection:
        wanted = [Select("Logical_Switch", ("name",)), Select("Logical_Router", ("name",))]
        with pytest.raises(SourceError, match=why):
            connection.read(NORTHBOUND, wanted)


def test_a_long_answer_is_not_held_several_times() -> None:
    """What is kept of each map is all that stays; one character that is not ASCII does not make four bytes of each."""
    other = [["neutron:cidrs", "192.0.2.1/24"], ["neutron:device_id", "x" * 36], ["neutron:project_id", "y" * 32]]
    rows = [
        {"name": f"{n:036}", "external_ids": ["map", [["neutron:port_name", f"\U0001f600\u00e4 {n}"], *other]]}
        for n in range(20_000)
    ]
    said = json.dumps({"id": 0, "result": [{"rows": rows}], "error": None}, ensure_ascii=False).encode()
    with _saying(lambda request: said) as remote, closing(Connection(remote, Keys(), SILENCE)) as connection:
        wanted = [Select("Logical_Switch_Port", ("name", "external_ids"), frozenset({"neutron:port_name"}))]
        tracemalloc.start()
        try:
            (found,) = connection.read(NORTHBOUND, wanted)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert [row["external_ids"] for row in found] == [
        ["map", [["neutron:port_name", f"\U0001f600\u00e4 {n}"]]] for n in range(20_000)
    ]
    assert peak / len(said) < 5


def test_what_is_not_utf8_is_said() -> None:
    """Bytes that no text has end the look at once, by name; nobody waits for more."""
    with (
        _saying(lambda request: b'{"id":0,"result":["\xff\xfe"],"error":null}') as remote,
        closing(Connection(remote, Keys(), SILENCE)) as connection,
        pytest.raises(SourceError, match="not UTF-8"),
    ):
        connection.databases()


def test_questions_whether_one_lives_are_answered(ovn: Ovn) -> None:
    """A server asks a silent client after some seconds, and drops it without an answer; here it asks at once."""
    asked = []

    def answer(request: dict[str, object]) -> bytes:
        if request.get("method") == "list_dbs":
            asked.append(request["id"])
            return b'{"id":"echo","method":"echo","params":["x"]}'
        assert request == {"id": "echo", "result": ["x"], "error": None}
        return json.dumps({"id": asked[0], "result": [_AWKWARD], "error": None}).encode()

    with _saying(answer) as remote, closing(Connection(remote, Keys(), SILENCE)) as connection:
        assert connection.databases() == {_AWKWARD}


@pytest.mark.parametrize("text", ["", "tcp:10.0.0.1", "http:10.0.0.1:6641", "tcp:10.0.0.1:0", "tcp::6641", "ssl:[::1]"])
def test_what_is_no_remote_is_refused(text: str) -> None:
    """ConfigError, with how to write one."""
    with pytest.raises(ConfigError) as caught:
        Endpoint.of(text, Keys())
    assert "Write " in caught.value.hint


def test_remotes_are_as_neutron_writes_them() -> None:
    """Several separated by commas, of three kinds, and IPv6 in brackets; a root applies to files."""
    found = Endpoint.of("ssl:10.0.0.1:6641, tcp:[2001:db8::1]:6641,unix:/run/ovn/nb.sock", Keys(), Path("/copy"))
    assert [str(one) for one in found.remotes] == [
        "ssl:10.0.0.1:6641", "tcp:[2001:db8::1]:6641", "unix:/copy/run/ovn/nb.sock",
    ]  # fmt: skip


def test_keys_that_do_not_fit_are_named(folder: Path) -> None:
    """A certificate and a key of somebody else: ConfigError with the files."""
    for name in ("a", "b"):
        made = trustme.CA().issue_cert("x")
        made.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        made.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    keys = Keys(f"{folder}/a.key", f"{folder}/b.pem", f"{folder}/b.pem")
    with pytest.raises(ConfigError, match=r"a\.key"):
        keys.context()
    assert isinstance(Keys(f"{folder}/a.key", f"{folder}/a.pem", f"{folder}/a.pem").context(), ssl.SSLContext)
