# SPDX-License-Identifier: Apache-2.0
"""Lines of logs as services write them, each read by its own format."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from stackmend.drivers.logs.formats import formats
from stackmend.drivers.logs.lines import Reading
from stackmend.model.diagnosing.logs import Context

CONTEXT = Context(host="c01", service="nova-compute", year=2026, month=11)
REQ = "req-2b8d5b1c-9c0e-4f3e-8a55-0d6f6f0f7a11"
OTHER = "req-77aa5b1c-9c0e-4f3e-8a55-0d6f6f0f7a22"
SERVER = "05eef1bb-5356-43d9-86c9-4d9854d4d46b"
NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC).timestamp()

#: (format, line, what is read of it)
LINES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "oslo",
        f"2026-11-29 12:00:00.250 4711 INFO nova.compute.manager [None {REQ} admin admin - - default default] "
        f"[instance: {SERVER}] Took 1.20 seconds to build instance.",
        {
            "at": NOON + 0.25, "level": "INFO", "logger": "nova.compute.manager", "process": "4711", "request": REQ,
            "text": f"[instance: {SERVER}] Took 1.20 seconds to build instance.", "goes_on": False,
        },
    ),
    (
        "oslo",
        f"2026-11-29 12:00:00.250 7 INFO nova.api [{OTHER} {REQ} admin admin - - - -] text",
        {"request": REQ, "global_request": OTHER, "text": "text"},
    ),
    (
        "oslo",
        f"2016-08-02 14:03:11.123 2 TRACE nova.compute.manager [instance: {SERVER}] Traceback (most recent call last):",
        {"level": "ERROR", "goes_on": True, "text": "Traceback (most recent call last):"},
    ),
    ("oslo", "2026-11-29T13:00:00.000+01:00 7 WARN cinder.volume [-] text", {"at": NOON, "level": "WARNING"}),
    (
        "oslo-json",
        json.dumps(
            {
                "message": "spawn failed", "created": NOON, "levelname": "ERROR", "name": "nova.compute.manager",
                "hostname": "c07", "process": 3, "traceback": ["Traceback (most recent call last):", "OSError: no"],
                "context": {"request_id": REQ}, "extra": {"instance": SERVER},
            }
        ),
        {
            "at": NOON, "host": "c07", "level": "ERROR", "request": REQ,
            "text": f"[instance: {SERVER}] spawn failed", "more": "Traceback (most recent call last):\nOSError: no",
        },
    ),
    (
        "oslo-json",
        json.dumps({"message": "x", "time": "2026-11-29 12:00:00,500", "level": "WARNING", "name": "neutron"}),
        {"at": NOON + 0.5, "level": "WARNING", "logger": "neutron"},
    ),
    (
        "journal",
        json.dumps(
            {
                "__REALTIME_TIMESTAMP": str(int(NOON * 1e6)), "_HOSTNAME": "c02", "PRIORITY": "3",
                "_SYSTEMD_UNIT": "devstack@n-cpu.service", "MESSAGE": [110, 195, 40, 103],
            }
        ),
        {"at": NOON, "host": "c02", "service": "n-cpu", "level": "ERROR", "text": "n\ufffd(g"},
    ),
    (
        "journal",
        json.dumps(
            {
                "__REALTIME_TIMESTAMP": str(int(NOON * 1e6)), "_HOSTNAME": "c02", "SYSLOG_IDENTIFIER": "nova-compute",
                "MESSAGE": f"2026-11-29 12:00:00.000 9 ERROR nova.virt [None {REQ} - - - -] no\nTraceback",
            }
        ),
        {"service": "nova-compute", "level": "ERROR", "request": REQ, "text": "no", "more": "Traceback"},
    ),
    (
        "syslog",
        "Nov 29 12:00:00 c03 kernel: [ 12.345678] Out of memory: Killed process 4242 (qemu-system-x86)",
        {"at": NOON, "host": "c03", "service": "kernel", "level": "WARNING"},
    ),
    ("syslog", "Dec 31 23:59:59 c03 cron[1]: old", {"at": datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()}),
    (
        "syslog",
        f"2026-11-29T12:00:00.5+00:00 c03 nova-compute[9]: 2026-11-29 12:00:00.500 9 ERROR nova.x [{REQ} - - -] bad",
        {"at": NOON + 0.5, "host": "c03", "service": "nova-compute", "level": "ERROR", "request": REQ, "text": "bad"},
    ),
    (
        "wsgi",
        '172.29.236.41,172.29.236.21 - - [29/Nov/2026 12:00:00] "GET /v2.0/ports.json?id=x HTTP/1.1" 200 21 0.02',
        {"at": NOON, "level": "INFO"},
    ),
    (
        "apache",
        '10.0.0.9 - - [29/Nov/2026:12:00:00 +0000] "GET /identity/v3/auth/tokens HTTP/1.1" 503 299 "-" "keystoneauth1"',
        {"at": NOON, "level": "ERROR"},
    ),
    (
        "apache-error",
        "[Sun Nov 29 12:00:00.250000 2026] [wsgi:error] [pid 77:tid 88] [client 10.0.0.9:1] mod_wsgi: Target failed",
        {"at": NOON + 0.25, "level": "ERROR", "process": "77", "text": "mod_wsgi: Target failed"},
    ),
    (
        "uwsgi",
        "[pid: 7|app: 0|req: 1/2] 10.0.0.9 () {64 vars in 1200 bytes} [Sun Nov 29 12:00:00 2026] "
        "GET /v2.1/servers/detail => generated 15 bytes in 20 msecs (HTTP/1.1 500) 6 headers in 200 bytes (1 switches)",
        {"at": NOON, "level": "ERROR", "process": "7"},
    ),
    (
        "haproxy",
        "Nov 29 12:00:01 lb1 haproxy[99]: 10.0.0.9:5060 [29/Nov/2026:12:00:00.250] glance-front glance-back/g02 "
        '0/0/1/20/21 404 250 - - ---- 5/1/0/0/0 0/0 "GET /v2/images/x/file HTTP/1.1"',
        {"at": NOON + 0.25, "host": "lb1", "service": "haproxy", "level": "INFO"},
    ),
    (
        "libvirt",
        "2026-11-29 12:00:00.000+0000: 812: error : qemuProcessReportLogError:2051 : internal error: process exited",
        {"at": NOON, "level": "ERROR", "text": "internal error: process exited", "service": "libvirt"},
    ),
    (
        "libvirt",
        "2026-11-29T12:00:00.100000Z qemu-system-x86_64: -drive: Could not open '/x': No such file or directory",
        {"at": NOON + 0.1, "level": "ERROR", "service": "qemu"},
    ),
    ("libvirt", "2026-11-29 12:00:00.000+0000: shutting down, reason=crashed", {"level": "INFO"}),
    (
        "rabbitmq",
        "2026-11-29 12:00:00.250000+00:00 [error] <0.812.0> closing AMQP connection (10.0.0.9:5 -> 10.0.0.1:5672)",
        {"at": NOON + 0.25, "level": "ERROR", "service": "rabbitmq"},
    ),
    ("rabbitmq", "=ERROR REPORT==== 29-Nov-2026::12:00:00 ===", {"at": NOON, "level": "ERROR", "text": ""}),
    ("mariadb", "2026-11-29 12:00:00 0 [ERROR] WSREP: exception from gcomm", {"at": NOON, "level": "ERROR"}),
    ("mariadb", "2026-11-29 12:00:00 12 [Warning] Aborted connection 12", {"level": "WARNING", "process": "12"}),
    (
        "cloud-init",
        (
            "[   21.1] cloud-init[812]: 2026-11-29 12:00:00,500 - url_helper.py[WARNING]: Calling "
            "'http://169.254.169.254/' failed"
        ),
        {
            "at": NOON + 0.5, "level": "WARNING", "service": "console",
            "text": "url_helper.py[WARNING]: Calling 'http://169.254.169.254/' failed",
        },
    ),
    ("ovs", "2026-11-29T12:00:00.500Z|00012|bridge|ERR|no such port", {"at": NOON + 0.5, "level": "ERROR"}),
    (
        "undated",
        f"nova.virt.libvirt.driver [-] [instance: {SERVER}] Instance spawned successfully.",
        {"at": None, "level": "INFO", "logger": "nova.virt.libvirt.driver"},
    ),
    ("undated", f"[instance: {SERVER}] Instance failed to spawn", {"at": None, "level": "ERROR"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "line", "expected"), LINES, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(LINES)])
def test_a_line_is_read(name: str, line: str, expected: dict[str, Any]) -> None:
    """By the format that it is written in, though every format is offered it."""
    reading = Reading(CONTEXT)
    found = reading.line(line.encode())
    assert found is not None
    assert set(reading.used) == {name}
    assert {field: getattr(found, field) for field in expected} == expected


def test_every_format_has_a_line() -> None:
    """None is without a test."""
    assert {one.name for one in formats()} == {name for name, _, _ in LINES}


@pytest.mark.parametrize(
    "line",
    ["", "    raise resource_not_found", "Traceback (most recent call last):", "ImageNotFound: x.", "{no", "{}"],
)
def test_what_is_no_head_is_none(line: str) -> None:
    """Lines of tracebacks and torn JSON begin no message."""
    assert Reading(CONTEXT).line(line.encode()) is None


def test_local_times_are_moved() -> None:
    """A file whose times are two hours ahead of UTC."""
    found = Reading(Context(offset=7200.0)).line(b"2026-11-29 14:00:00.000 7 INFO nova.x [-] text")
    assert found is not None
    assert found.at == NOON
