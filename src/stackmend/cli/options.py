# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackmend.cli.base import Command
    from stackmend.config.settings import Config

#: upper limit; inf and nan compare as neither longer nor shorter
DAY = 86_400
VIA = ("auto", "api", "db")
#: kind of an object -> help of its audit option
ABOUT = {
    "server": "only what concerns this server",
    "volume": "only what concerns this volume",
    "port": "only what concerns this port",
    "host": "only what concerns this host, or a server on it",
    "project": "only what concerns a server, volume or port of this project",
}
#: priority of a process that gives way to all others
_LOWEST = 19
#: of anything that is counted
MOST = 1_000_000_000


def add_object(parser: argparse._ActionsContainer, kind: str, *flags: str, **options: Any) -> None:
    """An argument of a parser or group that takes the name or id of an object; the command receives the id.

    ``kind``: as in :data:`stackmend.cloud.objects.KINDS`.
    """
    options.setdefault("metavar", kind.upper())
    action = parser.add_argument(*flags, **options)
    parser.set_defaults(objects={**(parser.get_default("objects") or {}), action.dest: kind})


def add_selection(parser: argparse.ArgumentParser) -> None:
    """``--check``, and the objects that findings have to concern."""
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="NAME",
        help="run only this check; may be repeated (see 'stackmend check list')",
    )
    add_kinds(parser)
    group = parser.add_argument_group("limit it to these objects, by name or ID; all may be repeated and combined")
    for kind, text in ABOUT.items():
        group.add_argument(f"--{kind}", action="append", default=[], metavar=kind.upper(), help=text)
    parser.add_argument(
        "--finding",
        action="append",
        default=[],
        metavar="FINGERPRINT",
        help="only this finding, as an audit reported it; a unique prefix is enough; may be repeated",
    )


def add_kinds(parser: argparse.ArgumentParser) -> None:
    """``--area`` and ``--severity``: kinds of checks."""
    from stackmend.model.check import Severity

    parser.add_argument(
        "--area",
        action="append",
        default=[],
        metavar="AREA",
        help="only checks of this service, or 'hosts'; may be repeated",
    )
    parser.add_argument(
        "--severity",
        choices=[severity.value for severity in Severity],
        help="only checks of this severity or worse",
    )


def add_nice(parser: argparse.ArgumentParser) -> None:
    """``--nice`` and ``--max-view-seconds``."""
    parser.add_argument(
        "--nice",
        action="store_true",
        help="rest as long as it reads, to spare the databases (rest in [nice] of the configuration), and give way to"
        " every other process of this machine",
    )
    parser.add_argument(
        "--max-view-seconds",
        type=seconds,
        metavar="SECONDS",
        help="renew the view of a server between two tables when it is older than this, so that the server need not"
        " keep old rows for it (default: one view for all tables)",
    )


def spared(command: Command, config: Config, parsed_args: argparse.Namespace) -> Config:
    """The configuration with :func:`add_nice`; a process that rests also gives way to others on its machine."""
    nice = config.nice
    if parsed_args.nice:
        nice = replace(nice, rest=config.rest)
    if parsed_args.max_view_seconds is not None:
        nice = replace(nice, view=parsed_args.max_view_seconds)
    if nice.rest and command.is_alone:  # a priority is lowered for good
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _LOWEST)
    return replace(config, nice=nice)


def add_bundle(parser: argparse.ArgumentParser, what: str) -> None:
    """``--bundle``."""
    parser.add_argument(
        "--bundle",
        action="append",
        default=[],
        metavar="PATH",
        help=f"{what} a support bundle instead of the cloud: a sosreport, dumps of the services' databases"
        " (mysqldump, also compressed), or a folder or archive with them; may be repeated",
    )


def add_outside(parser: argparse.ArgumentParser) -> None:
    """The option of each source outside the databases."""
    from stackmend.tables.outside import sources

    for one in sources().values():
        flag = f"--{one.option}"
        if one.metavar:
            parser.add_argument(flag, dest=_dest(one.service), nargs="*", metavar=one.metavar, help=one.help)
        else:
            parser.add_argument(flag, dest=_dest(one.service), action="store_const", const=[], help=one.help)


def outside_asked(parsed_args: argparse.Namespace) -> dict[str, list[str]]:
    """What of each source outside the databases is to be read; without those that are not asked for."""
    from stackmend.tables.outside import sources

    found = {service: getattr(parsed_args, _dest(service), None) for service in sources()}
    return {service: names for service, names in found.items() if names is not None}


def outside_words(parsed_args: argparse.Namespace) -> list[str]:
    """The words of :func:`add_outside` as typed."""
    from stackmend.tables.outside import sources

    every = sources()
    return [w for service, names in outside_asked(parsed_args).items() for w in (f"--{every[service].option}", *names)]


def _dest(service: str) -> str:
    return f"outside_{service}"


def selection(parsed_args: argparse.Namespace) -> list[tuple[str, str]]:
    """(kind, as typed) of every object that findings have to concern."""
    return [(kind, text) for kind in ABOUT for text in getattr(parsed_args, kind)]


def selected(parsed_args: argparse.Namespace) -> list[str]:
    """The words of :func:`add_selection` as typed, for a command about the same objects."""
    words = [word for check in parsed_args.check for word in ("--check", check)]
    words += [word for area in parsed_args.area for word in ("--area", area)]
    words += ["--severity", parsed_args.severity] if parsed_args.severity else []
    words += [word for mark in parsed_args.finding for word in ("--finding", mark)]
    return words + [word for kind, text in selection(parsed_args) for word in (f"--{kind}", text)]


def add_strategy(parser: argparse.ArgumentParser) -> None:
    """``--via`` and ``--allow-db``."""
    parser.add_argument(
        "--via",
        choices=VIA,
        default="auto",
        help="how to repair: through the API, in the databases, or through the API where possible (default: auto)",
    )
    parser.add_argument("--allow-db", action="store_true", help="allow database changes if the API cannot do it")


def add_consent(parser: argparse.ArgumentParser, what: str) -> None:
    """``--yes`` and ``--accept``."""
    parser.add_argument("-y", "--yes", action="store_true", help=f"{what}; without it nothing is changed")
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="REPAIR",
        help="consent to an unsafe repair, by its name or 'all'; may be repeated",
    )
    parser.add_argument(
        "--same-account",
        action="store_true",
        help="if no [writer] is configured, let the reading account write",
    )


def until(text: str) -> str:
    """A day, a moment (UTC where no zone is given), ``30d`` from now, or ``never``; as ISO 8601, "" for never."""
    if text == "never":
        return ""
    if text.endswith("d") and text[:-1].isdecimal():
        try:
            return (datetime.now(UTC) + timedelta(days=int(text[:-1]))).isoformat(timespec="seconds")
        except (OverflowError, ValueError):
            raise argparse.ArgumentTypeError("that is after the end of the calendar: write never") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write 30d, 2027-01-31, or never") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def since(text: str) -> str:
    """A day, a moment (UTC where no zone is given), or ``7d`` before now; as ISO 8601 in UTC."""
    if text.endswith("d") and text[:-1].isdecimal():
        try:
            return (datetime.now(UTC) - timedelta(days=int(text[:-1]))).isoformat(timespec="seconds")
        except (OverflowError, ValueError):
            raise argparse.ArgumentTypeError("that is before the beginning of the calendar") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write 7d, or 2027-01-31") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")


def seconds(text: str) -> float:
    """A number of seconds, not negative and no more than a day."""
    value = float(text)
    if not 0 <= value <= DAY:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 to {DAY}")
    return value


def silence(text: str) -> float:
    """Seconds without an answer: more than 0, less than a day."""
    value = float(text)
    if not 0 < value < 86_400:
        raise argparse.ArgumentTypeError("must be more than 0 and less than a day")
    return value


def positive(text: str) -> int:
    """A whole number, at least one."""
    return _from(1, text)


def whole(text: str) -> int:
    """A whole number, not negative."""
    return _from(0, text)


def _from(least: int, text: str) -> int:
    value = int(text)
    if not least <= value <= MOST:
        raise argparse.ArgumentTypeError(f"must be from {least} to {MOST}")
    return value
