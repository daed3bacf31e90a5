# SPDX-License-Identifier: Apache-2.0
"""Logs are found, searched and read whole: rotated, compressed, packed, damaged, torn over blocks."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import sys
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.drivers.logs import reader
from stackmend.drivers.logs.files import Logs
from stackmend.drivers.logs.reader import Window, read
from stackmend.drivers.logs.remote import RemoteLogs
from stackmend.model.diagnosing.logs import Looked, Record
from stackmend.model.errors import UsageError

SERVER = "05eef1bb-5356-43d9-86c9-4d9854d4d46b"
NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC).timestamp()
ALL = Window()


def line(second: int, text: str, level: str = "INFO", process: int = 7, logger: str = "nova.compute.manager") -> str:
    """A line of oslo.log, that many seconds past noon."""
    clock = datetime.fromtimestamp(NOON + second, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{clock}.000 {process} {level} {logger} [-] {text}\n"


def trace(second: int, *lines: str, process: int = 7) -> str:
    """Lines of a traceback as oslo.log writes them."""
    return "".join(line(second, text, "ERROR", process).replace("[-] ", "") for text in lines)


def found(*paths: Path | str, words: tuple[str, ...] = (SERVER,), window: Window = ALL) -> tuple[list[Record], Looked]:
    """Every message with one of the words."""
    logs, looked = Logs([str(path) for path in paths]), Looked()
    try:
        records = [r for f in logs.files for r in read(f, [word.encode() for word in words], window, looked)]
    finally:
        logs.close()
    looked.unread |= logs.unread
    return records, looked


def test_a_traceback_is_whole_and_once(tmp_path: Path) -> None:
    """Lines of another process between its lines are not a part of it; the server's id is in three of its lines."""
    text = (
        line(0, "before")
        + line(1, f"[instance: {SERVER}] Instance failed to spawn", "ERROR")
        + trace(1, "Traceback (most recent call last):", f'  File "x.py", line 1, in {SERVER}')
        + line(1, "something else", process=8)
        + trace(1, f"nova.exception.Bad: {SERVER}")
        + line(2, "after")
    )
    (tmp_path / "nova-compute.log").write_text(text)
    records, looked = found(tmp_path)
    assert [record.text for record in records] == [f"[instance: {SERVER}] Instance failed to spawn"]
    assert records[0].more.splitlines()[1:] == [f'  File "x.py", line 1, in {SERVER}', f"nova.exception.Bad: {SERVER}"]
    assert records[0].raised == f"nova.exception.Bad: {SERVER}"
    assert (records[0].service, records[0].ids, looked.damaged) == ("nova-compute", {SERVER}, 0)


def test_a_word_in_a_bare_line_finds_the_head(tmp_path: Path) -> None:
    """Continuation lines without any prefix belong to the message before them."""
    text = (
        line(0, "Failed", "ERROR")
        + "Traceback (most recent call last):\n  File y\n"
        + f"Bad: {SERVER}\n"
        + line(1, "x")
    )
    (tmp_path / "nova-api.log").write_text(text)
    records, _ = found(tmp_path)
    assert [(r.text, r.raised) for r in records] == [("Failed", f"Bad: {SERVER}")]


def test_blocks_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message is found once, wherever blocks end."""
    monkeypatch.setattr(reader, "_BLOCK", 1000)
    monkeypatch.setattr(reader, "_BEFORE", 700)
    monkeypatch.setattr(reader, "_BEHIND", 900)
    text = "".join(
        line(n, f"{SERVER if n % 3 == 0 else ''} {n} {'x' * (n % 97)}", "ERROR") + (trace(n, "Traceback", f"E: {n}"))
        for n in range(900)
    )
    (tmp_path / "nova-compute.log").write_text(text)
    records, _ = found(tmp_path)
    assert [int(record.text.split()[1]) for record in records] == list(range(0, 900, 3))
    assert [record.more for record in records] == [f"Traceback\nE: {n}" for n in range(0, 900, 3)]
    assert [text[record.offset :][:10] for record in records] == ["2026-11-29"] * 300


def _zstd(path: Path, data: bytes) -> None:
    with pa.CompressedOutputStream(pa.OSFile(os.fspath(path), "wb"), "zstd") as stream:
        stream.write(data)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("nova-compute.log.1", lambda path, data: path.write_bytes(data)),
        ("nova-compute.log-20261129.gz", lambda path, data: path.write_bytes(gzip.compress(data))),
        ("nova-compute.log.2.gz", lambda path, data: path.write_bytes(gzip.compress(b"") + gzip.compress(data))),
        ("nova-compute.log.3.zst", _zstd),
    ],
)
def test_rotated_files_are_read(tmp_path: Path, name: str, write: Callable[[Path, bytes], object]) -> None:
    """As they are, gzip, several members of gzip, zstd; the service is that of the name without all this."""
    write(tmp_path / name, (line(0, "x") * 50000 + line(1, SERVER)).encode())
    records, looked = found(tmp_path)
    assert [(record.service, record.text) for record in records] == [("nova-compute", SERVER)]
    assert not looked.unread


def test_a_torn_archive_is_said(tmp_path: Path) -> None:
    """What was read before its end counts, and the rest is named as unread."""
    data = gzip.compress((line(1, SERVER) + "".join(line(n, str(n * 7919)) for n in range(200000))).encode())
    (tmp_path / "nova-compute.log.1.gz").write_bytes(data[: len(data) // 2])
    records, looked = found(tmp_path)
    assert len(records) <= 1
    assert [name.endswith("nova-compute.log.1.gz") for name in looked.unread] == [True]


def test_bad_bytes_stay_readable_and_damage_is_counted(tmp_path: Path) -> None:
    """A line that no format reads is counted; what is no UTF-8 is shown as escapes."""
    torn = f"09.123 7 INFO nova {SERVER} torn at its begin\n".encode()
    (tmp_path / "nova-compute.log").write_bytes(torn + line(1, f"{SERVER} caf").encode()[:-1] + b"\xe9\n")
    records, looked = found(tmp_path)
    assert [record.text for record in records] == [f"{SERVER} caf\\xe9"]
    assert looked.damaged == 1


def test_secrets_are_masked_on_the_way_in(tmp_path: Path) -> None:
    """In the message and in its traceback."""
    text = line(0, f"{SERVER} connecting to mysql://nova:S3cret@db/nova", "ERROR") + trace(0, "Bad: password=S3cret")
    (tmp_path / "nova-api.log").write_text(text + line(1, f"{SERVER} X-Auth-Token: gAAAAABpaaaaaaaaaaaaaaaaaaaaaaaaaa"))
    records, _ = found(tmp_path)
    assert len(records) == 2
    assert "S3cret" not in str(records)
    assert "gAAAAABp" not in str(records)


def test_a_window_reads_a_part(tmp_path: Path) -> None:
    """Of a large file in order only what is near the window; messages outside of it are left out."""
    path = tmp_path / "nova-compute.log"
    with path.open("w") as out:
        for second in range(0, 36000):
            out.write(line(second, f"{SERVER} {second} " + "y" * 100))
    records, looked = found(tmp_path, window=Window(NOON + 18000, NOON + 18010))
    assert [int(record.text.split()[1]) for record in records] == list(range(18000, 18011))
    assert looked.size < path.stat().st_size / 4


def test_files_older_than_the_window_are_not_opened(tmp_path: Path) -> None:
    """By the time of their last change."""
    path = tmp_path / "nova-compute.log.4"
    path.write_text(line(0, SERVER))
    os.utime(path, (NOON, NOON))
    records, looked = found(tmp_path, window=Window(since=NOON + 86400))
    assert (records, looked.skipped, looked.files) == ([], 1, 0)


@pytest.mark.parametrize(
    ("name", "host", "service"),
    [
        ("c07/var/log/nova/nova-compute.log", "c07", "nova-compute"),
        ("c07/nova-compute.log.1", "c07", "nova-compute"),
        ("nova-compute-c07.log", "c07", "nova-compute"),
        ("c07/kolla/neutron/neutron-server.log", "c07", "neutron-server"),
        ("c07/var/log/kolla/nova/nova-api.log", "c07", "nova-api"),
        ("openstack/log/x_container-f2bd12d4/glance/glance-api.log", "x_container-f2bd12d4", "glance-api"),
        ("openstack/log/compute1/nova/nova-compute.log", "compute1", "nova-compute"),
        ("sosreport-c07-02345-2026-11-29-abcdefg/var/log/nova/nova-compute.log", "c07", "nova-compute"),
        ("nova/nova-conductor.log", "", "nova-conductor"),
        ("c07/var/log/cinder/volume.log", "c07", "cinder-volume"),
        ("c07/var/log/neutron/server.log.1", "c07", "neutron-server"),
        ("c07/var/log/libvirt/qemu/instance-0000001a.log", "c07", "libvirt"),
        ("c07/syslog", "c07", "syslog"),
    ],
)  # fmt: skip
def test_layouts(tmp_path: Path, name: str, host: str, service: str) -> None:
    """Host and service by the place of a file; files that are no logs are left alone."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line(0, SERVER))
    (path.parent / "nova.conf").write_text("[DEFAULT]\nhost = x\n")
    (path.parent / "image.qcow2").write_bytes(b"QFI\xfb" + bytes(2000))
    records, looked = found(tmp_path)
    assert [(record.host, record.service) for record in records] == [(host, service)]
    assert looked.files == 1


def test_a_sosreport_is_read_packed(tmp_path: Path) -> None:
    """Members that lead out of the archive are left alone."""
    name = "sosreport-c07-2026-11-29-abcdefg"
    path = tmp_path / f"{name}.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        for member in (f"{name}/var/log/nova/nova-compute.log", f"{name}/../../evil.log", f"{name}/etc/nova/nova.conf"):
            data = line(0, SERVER).encode()
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    records, looked = found(path)
    assert [(record.host, record.service, looked.files) for record in records] == [("c07", "nova-compute", 1)]
    assert records[0].file.endswith(f"{name}.tar.xz:{name}/var/log/nova/nova-compute.log")


def test_the_journal_in_its_export_form(tmp_path: Path) -> None:
    """Fields with line breaks have their length before them; what is cut off at the end is left out."""
    message = f"[instance: {SERVER}] failed\nTraceback\nBad: x".encode()
    entry = b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=%d\n_HOSTNAME=c07\nSYSLOG_IDENTIFIER=nova-compute\nPRIORITY=3\n" % int(
        NOON * 1e6
    )
    entry += b"MESSAGE\n" + struct.pack("<Q", len(message)) + message + b"\n\n"
    (tmp_path / "journal.export").write_bytes(entry * 3 + entry[:-30])
    records, _ = found(tmp_path)
    assert [(r.host, r.service, r.level, r.more, r.at) for r in records] == [
        ("c07", "nova-compute", "ERROR", "Traceback\nBad: x", NOON)
    ] * 3


def test_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """- is what another program prints."""

    class _Pipe:
        buffer = io.BytesIO(json.dumps({"message": SERVER, "levelname": "INFO", "created": NOON}).encode() + b"\n")

    monkeypatch.setattr(sys, "stdin", _Pipe)
    records, _ = found("-")
    assert [(record.text, record.at) for record in records] == [(SERVER, NOON)]


def test_what_is_not_there_is_an_error() -> None:
    """Not an empty answer."""
    with pytest.raises(UsageError, match="no such file or folder"):
        found("/nowhere/at/all")


def test_the_journals_own_files_are_named(tmp_path: Path) -> None:
    """They are unread, with the way out, in one note a folder."""
    for name in ("system.journal", "user-1000.journal"):
        (tmp_path / name).write_bytes(b"LPKSHHRH" + bytes(500))
    _, looked = found(tmp_path)
    assert ["journalctl -o export" in why for why in looked.unread.values()] == [True]


def test_logs_of_hosts_are_searched_there(tmp_path: Path) -> None:
    """Only those with a word in them are copied, once; a host without a way to it is named, and the others are read."""
    there = tmp_path / "var" / "log"
    (there / "nova").mkdir(parents=True)
    (there / "nova" / "nova-compute.log").write_text(line(0, SERVER))
    (there / "nova" / "nova-compute.log.1.gz").write_bytes(gzip.compress(line(1, SERVER).encode()))
    (there / "nova" / "it's other.log").write_text(line(2, "nothing of it"))
    transport, logs = Transport(Routes(local=frozenset({"c07"}))), Logs([])
    try:
        remote = RemoteLogs(transport, ["c07", "c08"], [str(there)], logs)
        for _ in range(2):
            remote.fetch([SERVER, "and 'this'"], None)
        assert sorted(file.name.rpartition("/")[2] for file in logs.files) == [
            "nova-compute.log",
            "nova-compute.log.1.gz",
        ]
        records = [record for file in logs.files for record in read(file, [SERVER.encode()], ALL, Looked())]
        assert {(record.host, record.service) for record in records} == {("c07", "nova-compute")}
        assert list(logs.unread) == ["host c08"]
    finally:
        logs.close()
        transport.close()
