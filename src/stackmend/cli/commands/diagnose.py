# SPDX-License-Identifier: Apache-2.0
"""``diagnose``: from a symptom to its cause, by logs and databases; and what fails most."""

from __future__ import annotations

import argparse
import os
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import add_bundle
from stackmend.model.errors import Exit, NoConfigError, UsageError

if TYPE_CHECKING:
    from stackmend.app.offline.bundles import Bundle
    from stackmend.config.settings import Config
    from stackmend.model.diagnosing.cause import Diagnosis

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO = re.compile(r"(\d+)([smhdw])")
_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?(\d{2}))?")


def moment(text: str) -> float:
    """A moment (UTC where no zone is given), or a time before now: 90m, 6h, 2d; seconds since 1970."""
    if (ago := _AGO.fullmatch(text)) is not None:
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write 90m, 6h, 2d, or 2026-11-29T10:00") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def offset(text: str) -> float:
    """Seconds of ``+02:00``."""
    found = _OFFSET.fullmatch(text)
    if found is None or int(found[2]) > 14:
        raise argparse.ArgumentTypeError(f"{text!r} is not an offset from UTC: write +02:00, or -05:30")
    seconds = int(found[2]) * 3600 + int(found[3] or 0) * 60
    return -float(seconds) if found[1] == "-" else float(seconds)


def add_logs(parser: argparse.ArgumentParser, *, stored: bool = True) -> None:
    """``--logs``, ``--until`` and ``--utc-offset``; ``stored``: also ``--snapshot``."""
    parser.add_argument(
        "--logs",
        action="append",
        default=[],
        metavar="PATH",
        help="a log, a folder of logs, a sosreport, or - for stdin; may be repeated",
    )
    if stored:
        parser.add_argument(
            "--snapshot", metavar="DIR", help="search the messages in this snapshot ('snapshot create --logs')"
        )
    parser.add_argument(
        "--until", type=moment, metavar="TIME", help="only messages until then: 2026-11-29T10:00, or 90m, 6h, 2d ago"
    )
    parser.add_argument(
        "--utc-offset",
        type=offset,
        default=0.0,
        metavar="+HH:MM",
        help="the zone of logs whose times have none (default: UTC)",
    )


class _Diagnose(Printing):
    default_format = TEXT
    kind: ClassVar[str]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        what = "its id as in the logs, req-..." if self.kind == "request" else f"the {self.kind}, by name or ID"
        parser.add_argument("object", metavar=self.kind.upper(), help=what)
        add_logs(parser)
        add_bundle(parser, "diagnose")
        parser.add_argument(
            "--since",
            type=moment,
            metavar="TIME",
            help="only messages since then: 2026-11-29T10:00, or 90m, 6h, 2d ago",
        )
        parser.add_argument(
            "--host", action="append", default=[], metavar="HOST",
            help="search the logs of this host there, and copy those that matter; may be repeated (needs [hosts])",
        )  # fmt: skip
        parser.add_argument(
            "--host-logs", action="append", default=[], metavar="DIR", help="where hosts keep logs (default: /var/log)"
        )
        parser.add_argument("--html", metavar="FILE", help="also write the timeline and the causes to this HTML page")
        parser.add_argument("--all", action="store_true", help="show the whole timeline")
        parser.add_argument("--offline", action="store_true", help="read only the logs, neither databases nor APIs")
        parser.add_argument("--no-audit", action="store_true", help="do not run the checks, which read whole tables")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the causes; the exit code says whether there are any."""
        if parsed_args.snapshot and (parsed_args.logs or parsed_args.host or parsed_args.bundle):
            raise UsageError(
                "a snapshot takes the place of logs", "Leave --snapshot away, or --logs, --host, --bundle."
            )
        if not parsed_args.bundle:
            return self._diagnosed(parsed_args, self._config(parsed_args), None)
        if parsed_args.host:
            raise UsageError("a bundle has no hosts to be visited", "Leave --host away, or --bundle.")
        from stackmend.app.offline import bundles

        with bundles.opened(self.config_if_any(), parsed_args.bundle, histories_too=True) as bundle:
            for name, why in sorted(bundle.unread.items()):
                self.notes.warn(f"{name}: {why}")
            return self._diagnosed(parsed_args, bundle.config, bundle)

    def _diagnosed(self, parsed_args: argparse.Namespace, config: Config, bundle: Bundle | None) -> int:
        from stackmend.app import diagnosing
        from stackmend.report.diagnosing import diagnoses

        found = diagnosing.diagnose(
            config,
            diagnosing.Asked(
                kind=self.kind,
                text=parsed_args.object,
                logs=(*parsed_args.logs, *parsed_args.bundle) or (() if self._elsewhere(parsed_args) else config.logs),
                snapshot=parsed_args.snapshot or "",
                hosts=tuple(parsed_args.host),
                folders=tuple(parsed_args.host_logs or ("/var/log",)),
                since=parsed_args.since,
                until=parsed_args.until,
                offset=parsed_args.utc_offset,
                audit=not parsed_args.no_audit,
            ),
            bundle,
        )
        if parsed_args.html:
            self._write(parsed_args.html, found)
        self.show(diagnoses.diagnosis(found, width=self.width, whole=parsed_args.all), parsed_args)
        if found.blamed or found.first_error is not None:
            return int(Exit.FINDINGS)
        return int(Exit.INCOMPLETE if found.unread else Exit.CLEAN)

    def _elsewhere(self, parsed_args: argparse.Namespace) -> bool:
        """Whether other logs than those of the configuration are meant."""
        return bool(parsed_args.host or parsed_args.snapshot)

    def _config(self, parsed_args: argparse.Namespace) -> Config:
        """The configuration; an empty one where only logs are to be read."""
        from stackmend.config.settings import Config

        if parsed_args.offline:
            return Config()
        try:
            return self.config()
        except NoConfigError:
            if not parsed_args.logs and not parsed_args.snapshot:
                raise
            self.notes.say("no configuration was found: only the logs are read")
            return Config()

    def _write(self, path: str, found: Diagnosis) -> None:
        from stackmend.report.diagnosing import timelines

        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
                out.write(timelines.html(found))
        except OSError as problem:
            raise UsageError(
                f"{path} cannot be written: {problem.strerror}", "Name another file: --html FILE."
            ) from None
        self.notes.say(f"the timeline is in {path}")


class DiagnoseServer(_Diagnose):
    """Say what happened to a server and why: from logs, Nova's actions and faults, and the checks; changes nothing.

    Follows its requests, ports, volumes, image and migrations through all logs given, in one order by one clock, and
    compares the story with the catalogue of causes ('stackmend cause list'). Each cause that fits is shown with its
    evidence, what would confirm it, what speaks against it, and what to do.

    Exit codes:
      0  nothing went wrong in what was read
      3  a cause fits, or something went wrong that fits none
      7  nothing was found, but not everything could be read
    """

    kind = "server"
    examples = """
  $ stackmend diagnose server web-1 --logs /var/log
  $ stackmend diagnose server web-1 --host compute-07 --host compute-08 --host ctl-1 --since 6h
  $ stackmend diagnose server web-1 --logs c07/ --logs c08/ --logs ctl1/ --since 6h --html web-1.html
  $ stackmend diagnose server web-1 --snapshot today       # logs that were read once: 'snapshot create --logs'
  $ stackmend diagnose server web-1 --bundle sosreport.tar.xz --bundle all-databases.sql.gz
  $ stackmend diagnose server 05eef1bb-5356-43d9-86c9-4d9854d4d46b --logs sosreport.tar.xz -f json"""


class DiagnosePort(_Diagnose):
    """Say what happened to a port and why; changes nothing. Exit codes as for 'diagnose server'."""

    kind = "port"
    examples = """
  $ stackmend diagnose port 7f3a1c02-5b7e-4d7e-9a53-20c1f0a7a1b2 --logs /var/log"""


class DiagnoseVolume(_Diagnose):
    """Say what happened to a volume and why; changes nothing. Exit codes as for 'diagnose server'."""

    kind = "volume"
    examples = """
  $ stackmend diagnose volume data-1 --logs /var/log/kolla --since 2d"""


class DiagnoseHost(_Diagnose):
    """Say what went wrong on a host and why; changes nothing. Exit codes as for 'diagnose server'."""

    kind = "host"
    examples = """
  $ stackmend diagnose host compute-07 --logs /var/log --since 1h"""


class DiagnoseImage(_Diagnose):
    """Say what went wrong with an image and why; changes nothing. Exit codes as for 'diagnose server'."""

    kind = "image"
    examples = """
  $ stackmend diagnose image 8feacda9-91fd-48ce-b983-54f7b6de6650 --logs /var/log"""


class DiagnoseRequest(_Diagnose):
    """Say what became of a request, through all services; changes nothing. Exit codes as for 'diagnose server'."""

    kind = "request"
    examples = """
  $ stackmend diagnose request req-2b8d5b1c-9c0e-4f3e-8a55-0d6f6f0f7a11 --logs /var/log"""


class DiagnoseSummary(Printing):
    """Say what fails most: errors and warnings of logs, grouped by cause and by message; changes nothing.

    What differs from one message to the next (ids, addresses, numbers) is left out. 'new' is what was not in the window
    before, which is as long.

    Exit codes:
      0  nothing failed
      3  something did
      7  nothing was found, but not everything could be read
    """

    default_format = TEXT
    examples = """
  $ stackmend diagnose --since 1h --logs /var/log
  $ stackmend diagnose --since 2026-11-29T02:00 --until 2026-11-29T04:00 --logs /var/log/kolla --logs c07/ -f json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_logs(parser)
        parser.add_argument(
            "--since",
            type=moment,
            required=True,
            metavar="TIME",
            help="the begin of the window: 1h ago, or 2026-11-29T10:00",
        )
        parser.add_argument("--limit", type=int, default=30, metavar="N", help="show the first N groups (default: 30)")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the groups; the exit code says whether there are any."""
        from stackmend.app import diagnosing, snapshots
        from stackmend.report.diagnosing import diagnoses

        if bool(parsed_args.logs) == bool(parsed_args.snapshot):
            raise UsageError(
                "no logs are given, or two kinds of them", "Name a log, a folder or a sosreport: --logs /var/log."
            )
        until = parsed_args.until if parsed_args.until is not None else time.time()
        if until <= parsed_args.since:
            raise UsageError("the window ends before it begins", "Let --since be before --until.")
        stored = snapshots.find(self.config_if_any(), parsed_args.snapshot) if parsed_args.snapshot else None
        found = diagnosing.summarise(
            parsed_args.logs, parsed_args.since, until, offset=parsed_args.utc_offset, snapshot=stored
        )
        every = len(found.groups)
        found.groups = found.groups[: parsed_args.limit]
        self.show(diagnoses.summary(found, width=self.width), parsed_args)
        if every > len(found.groups):
            self.notes.say(f"{every - len(found.groups)} more groups: --limit {every} shows them")
        if every:
            return int(Exit.FINDINGS)
        return int(Exit.INCOMPLETE if found.unread else Exit.CLEAN)


COMMANDS = {
    "diagnose": DiagnoseSummary,
    "diagnose server": DiagnoseServer,
    "diagnose port": DiagnosePort,
    "diagnose volume": DiagnoseVolume,
    "diagnose host": DiagnoseHost,
    "diagnose image": DiagnoseImage,
    "diagnose request": DiagnoseRequest,
}
