# SPDX-License-Identifier: Apache-2.0
"""A service and a timer for systemd that audit the cloud every night."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from stackmend.model.errors import Exit, UsageError
from stackmend.report.document import Document

NAME = "stackmend-audit"
COLUMNS = (("File", "file"), ("Text", "text"))

# findings are what an audit is for: the unit fails if it could not look
_SERVICE = """\
[Unit]
Description=Audit of an OpenStack cloud by stackmend, which reads and changes nothing
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={user}
{environment}ExecStart={command}
# {findings}: there are findings, which 'stackmend finding list' shows
SuccessExitStatus={findings}
UMask=0077
Nice=10
IOSchedulingClass=idle
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={written}
"""
_TIMER = """\
[Unit]
Description=Nightly audit of an OpenStack cloud by stackmend

[Timer]
OnCalendar={calendar}
# many controllers with one timer do not begin together; a night that was missed is made up for
RandomizedDelaySec=15min
Persistent=yes

[Install]
WantedBy=timers.target
"""


def units(
    command: Iterable[str], *, user: str, written: Iterable[Path], calendar: str, environment: Mapping[str, str]
) -> Document:
    """The document of ``config systemd`` (docs/schemas/units.json): both files, as text one after the other.

    ``command`` begins with an absolute path; ``written``: the folders that it writes to; ``environment``: what it is to
    find there, as this process does. UsageError for what
    cannot be written into a unit.
    """
    service = _SERVICE.format(
        user=_plain(user),
        command=" ".join(_quoted(word).replace("$", "$$") for word in command),
        environment="".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in environment.items()),
        findings=int(Exit.FINDINGS),
        written=" ".join(_quoted(str(folder)) for folder in written),
    )
    made = {f"{NAME}.service": service, f"{NAME}.timer": _TIMER.format(calendar=_plain(calendar))}
    text = "\n".join(f"# /etc/systemd/system/{name}\n{content}" for name, content in made.items())
    return Document(data=[{"file": n, "text": content} for n, content in made.items()], columns=COLUMNS, text=text)


def _plain(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise UsageError(f"{json.dumps(value)} cannot be written into a unit of systemd", "Use printable characters.")
    return value.replace("%", "%%")


def _quoted(word: str) -> str:
    """One word, as systemd.syntax(7) has it; in a command line, and only there, a dollar has to be doubled as well."""
    plain = _plain(word).replace("\\", "\\\\").replace('"', '\\"')
    return plain if plain and not set(plain) & set(" '\"\\;") else f'"{plain}"'
