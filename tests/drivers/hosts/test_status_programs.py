# SPDX-License-Identifier: Apache-2.0
"""Answers of ``*-status upgrade check``, as recorded from real programs: what is an answer, and what is none."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import pytest

from stackmend.drivers.hosts.status_programs import ask
from stackmend.model.objects.upgrade import Outcome, StatusAnswer, StatusCheck, Verdict

#: of nova-status 34.0.0, in part
NOVA = """\
+---------------------------------------------------------------------+
| Upgrade Check Results                                               |
+---------------------------------------------------------------------+
| Check: Cells v2                                                     |
| Result: Success                                                     |
| Details: None                                                       |
+---------------------------------------------------------------------+
| Check: Older than N-1 computes                                      |
| Result: Failure                                                     |
| Details: Current Nova version does not support computes older than  |
|   Gazpacho but the minimum compute service level in your            |
|   system is 70 and the oldest supported service level is 72.        |
+---------------------------------------------------------------------+
| Check: hw_machine_type unset                                        |
| Result: Warning                                                     |
| Details:  Instances found without hw_machine_type set. This warning |
|   can be ignored if your environment does not contain               |
|   libvirt based compute hosts. Use the `nova-manage libvirt         |
|   list_unset_machine_type` command to list these instances.         |
|   For more details see the following:                               |
|   https://docs.openstack.org/nova/latest/admin/hw-machine-          |
|   type.html                                                         |
+---------------------------------------------------------------------+
| Check: Service User Token Configuration                             |
| Result: Failure                                                     |
| Details:  Service user token configuration is required for all Nova |
|   services. For more details see the following: https://docs        |
|   .openstack.org/nova/latest/admin/configuration/service-           |
|   user-token.html                                                   |
+---------------------------------------------------------------------+
"""
DOCS = "https://docs.openstack.org/nova/latest/admin"
NOVA_SAYS = (
    StatusCheck(name="Cells v2", verdict=Verdict.SUCCESS),
    StatusCheck(
        name="Older than N-1 computes",
        verdict=Verdict.FAILURE,
        details="Current Nova version does not support computes older than Gazpacho but the minimum compute service"
        " level in your system is 70 and the oldest supported service level is 72.",
    ),
    StatusCheck(
        name="hw_machine_type unset",
        verdict=Verdict.WARNING,
        details="Instances found without hw_machine_type set. This warning can be ignored if your environment does not"
        " contain libvirt based compute hosts. Use the `nova-manage libvirt list_unset_machine_type` command to list"
        f" these instances. For more details see the following: {DOCS}/hw-machine-type.html",
    ),
    StatusCheck(
        name="Service User Token Configuration",
        verdict=Verdict.FAILURE,
        details="Service user token configuration is required for all Nova services. For more details see the"
        f" following: {DOCS}/configuration/service-user-token.html",
    ),
)
PLACEMENT = """\
+-------------------------------------------+
| Upgrade Check Results                     |
+-------------------------------------------+
| Check: Missing Root Provider IDs          |
| Result: Success                           |
| Details: None                             |
+-------------------------------------------+
"""
CINDER = (
    '{"name": "Upgrade Check Results", "checks": [{"check": "Backup Driver Path", "result": 0, "details": null},'
    ' {"check": "Use of Policy File", "result": 1, "details": "Cannot locate\\nyour configuration directory."}]}\n'
)
REFUSED = """\
usage: nova-status [-h] [--config-dir DIR] {version,bash-completion,upgrade} ...
nova-status: error: unrecognized arguments: --json
"""
BROKEN = """\
Error:
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/oslo_upgradecheck/upgradecheck.py", line 229, in run
oslo_config.cfg.NoSuchOptError: no such option enabled_backends in group [DEFAULT]

"""


def program(folder: Path, out: str, code: int, err: str = "", *, refuses: bool = False) -> list[str]:
    """A program that prints this and ends so; it notes its arguments."""
    (folder / "out").write_text(out)
    (folder / "err").write_text(err)
    lines = ["#!/bin/sh", f"cd {shlex.quote(str(folder))}", 'echo "$@" >> arguments']
    if refuses:
        (folder / "refused").write_text(REFUSED)
        lines.append('[ "$3" = --json ] && { cat refused >&2; exit 2; }')
    path = folder / "some-status"
    path.write_text("\n".join([*lines, "cat err >&2", "cat out", f"exit {code}", ""]))
    path.chmod(0o755)
    return [str(path)]


def answer(folder: Path, out: str, code: int, err: str = "", *, refuses: bool = False) -> StatusAnswer:
    """What is read of it."""
    return ask("some", program(folder, out, code, err, refuses=refuses), 20)


def runs(pid: str) -> bool:
    """Whether a process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_without_json_is_asked_for_its_table(tmp_path: Path) -> None:
    """nova-status: details that a table broke are whole again, also addresses and words with a hyphen."""
    found = answer(tmp_path, NOVA, 2, err="Eventlet is deprecated\n", refuses=True)

    assert (found.outcome, found.code) == (Outcome.ANSWERED, 2)
    assert found.checks == NOVA_SAYS
    assert (tmp_path / "arguments").read_text().splitlines() == ["upgrade check --json", "upgrade check"]


def test_a_program_that_ignores_json_is_understood(tmp_path: Path) -> None:
    """placement-status prints its table all the same; log lines around it do not matter."""
    found = answer(tmp_path, f"2026-11-30 12:00:00 INFO begins\n\n{PLACEMENT}done | so\n", 0)

    assert found.outcome is Outcome.ANSWERED
    assert found.checks == (StatusCheck(name="Missing Root Provider IDs", verdict=Verdict.SUCCESS),)
    assert (tmp_path / "arguments").read_text().splitlines() == ["upgrade check --json"]


def test_a_document_is_preferred(tmp_path: Path) -> None:
    """cinder-status: its warnings, with details in one line."""
    found = answer(tmp_path, f"{{not json\n{CINDER}", 1)

    assert found.outcome is Outcome.ANSWERED
    assert [(c.verdict, c.details) for c in found.checks] == [
        (Verdict.SUCCESS, ""), (Verdict.WARNING, "Cannot locate your configuration directory."),
    ]  # fmt: skip
    assert found.of(Verdict.WARNING) == found.checks[1:]


@pytest.mark.parametrize(
    ("out", "code", "err", "reason"),
    [
        ("", 1, "/etc/keystone/fernet-keys/ does not exist\n", "exit code 1 and told no result: /etc/keystone/fernet"),
        ("", 2, "nova-status: error: invalid choice\n", "exit code 2 and told no result: nova-status"),
        ("", 0, "", "it ended with exit code 0 and told no result"),
        (BROKEN, 255, "", "it broke off: oslo_config.cfg.NoSuchOptError: no such option enabled_backends"),
        (PLACEMENT, 1, "", "its exit code 1 is not that of the results that it printed"),
        (NOVA, 0, "", "its exit code 0 is not that of the results that it printed"),
        (NOVA.rsplit("+", 2)[0].rstrip("-+\n") + "\n", 2, "", "its table is cut off"),
        (PLACEMENT.replace("Result: Success", "Result: Erfolg "), 0, "", "its table has an unknown result: Erfolg"),
        (PLACEMENT.replace("Result: Success", "Something: else"), 0, "", "its table has a cell that is no result"),
        ('{"name": "Upgrade Check Results", "checks": []}\n', 0, "", "told no result"),
        ("", 125, "Error: No such container: nova_api\n", "exit code 125 and told no result: Error: No such container"),
    ],
)  # fmt: skip
def test_everything_else_is_no_answer(tmp_path: Path, out: str, code: int, err: str, reason: str) -> None:
    """What cannot be a program's own result is never taken for success, warning or failure."""
    found = answer(tmp_path, out, code, err)

    assert (found.outcome, found.code, found.checks) == (Outcome.FAILED, code, ())
    assert reason in found.reason


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    """After the time limit it is gone with its children, and has given no answer."""
    pids = tmp_path / "pids"
    script = f"echo $$ >> {pids}; sleep 600 & echo $! >> {pids}; wait"
    began = time.monotonic()

    found = ask("nova", ["sh", "-c", script], 1)

    assert time.monotonic() - began < 15
    assert (found.outcome, found.code, found.reason) == (Outcome.FAILED, None, "it did not end within 1 s")
    end = time.monotonic() + 15
    while alive := [pid for pid in pids.read_text().split() if runs(pid)]:
        assert time.monotonic() < end, alive
        time.sleep(0.05)


def test_a_program_that_does_not_exist_is_said(tmp_path: Path) -> None:
    """It was configured, so it has failed to answer."""
    found = ask("nova", [str(tmp_path / "nova-status")], 5)
    assert (found.outcome, found.reason) == (Outcome.FAILED, "there is no such program")


def test_no_secret_is_quoted(tmp_path: Path) -> None:
    """Neither of a traceback, nor of details, nor of the command."""
    url = "mysql+pymysql://nova:Hunter2geheim@db/nova"
    table = PLACEMENT.replace("Details: None", f"Details: {url}")
    said = ask("nova", [sys.executable, "-c", f"print('Error: {url}'); raise SystemExit(255)", "--password=x1y2z3"], 20)
    shown = [answer(tmp_path, "", 1, f"cannot connect to {url}\n"), answer(tmp_path, table, 0), said]

    assert [one.outcome for one in shown] == [Outcome.FAILED, Outcome.ANSWERED, Outcome.FAILED]
    assert "Hunter2" not in str(shown)
    assert "x1y2z3" not in str(shown)
    assert "***" in shown[0].reason
