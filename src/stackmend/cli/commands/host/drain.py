# SPDX-License-Identifier: Apache-2.0
"""``host drain`` and ``host return``: a host before and after its planned maintenance."""

from __future__ import annotations

import argparse

from stackmend.cli.options import add_object, positive, seconds
from stackmend.cli.request import Working


def _watching(parser: argparse.ArgumentParser) -> None:
    """The options for watching a move."""
    parser.add_argument(
        "--timeout", type=seconds, default=3600, metavar="SECONDS", help="time limit for each server (default: 3600)"
    )
    parser.add_argument(
        "--stall",
        type=seconds,
        default=900,
        metavar="SECONDS",
        help="treat a live migration as stalled after this long without progress (default: 900)",
    )
    parser.add_argument(
        "--on-stall",
        choices=("abort", "force-complete", "wait"),
        default="abort",
        help="what to do with a stalled live migration: abort it, force its completion (Nova pauses"
        " the guest or switches to post-copy), or wait (default: abort)",
    )


def _watched(parsed_args: argparse.Namespace) -> dict[str, object]:
    return {name: getattr(parsed_args, name) for name in ("timeout", "stall", "on_stall")}


def _typed(parsed_args: argparse.Namespace) -> list[str]:
    """The options that differ from their defaults, in the form to type again."""
    defaults = {"timeout": 3600, "stall": 900, "on_stall": "abort"}
    return [
        word
        for name, value in defaults.items()
        if getattr(parsed_args, name) != value
        for word in (f"--{name.replace('_', '-')}", f"{getattr(parsed_args, name)}")
    ]


class DrainHost(Working):
    """Move every server off a host, and verify in every service that it is empty.

    Without --yes, shows the plan, an estimate, and the servers that cannot be moved and why.
    """

    workflow = "drain-host"
    audits = True
    examples = """
  $ stackmend host drain compute-07
  $ stackmend host drain compute-07 --cold --parallel 4 --reason 'CHG-1234' --yes
  $ stackmend host drain compute-07 --to compute-08 --out drain.json"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "host", help="name of the host, as in 'openstack compute service list'")
        add_object(parser, "host", "--to", help="move all servers to this host (default: the scheduler chooses)")
        parser.add_argument(
            "--cold", action="store_true", help="also move stopped servers, and confirm their migrations"
        )
        parser.add_argument(
            "--wake", action="store_true", help="resume suspended servers for the move, then suspend them again"
        )
        parser.add_argument("--reason", metavar="TEXT", help="reason to record for the disabled host")
        parser.add_argument("--agents", action="store_true", help="also move routers and networks to other agents")
        _watching(parser)
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The host and how."""
        names = ("host", "to", "cold", "wake", "reason", "agents")
        return {name: getattr(parsed_args, name) for name in names} | _watched(parsed_args)

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """As it would be typed again."""
        given = [w for n in ("to", "reason") if (v := getattr(parsed_args, n)) for w in (f"--{n}", str(v))]
        flags = [f"--{name}" for name in ("cold", "wake", "agents") if getattr(parsed_args, name)]
        return [parsed_args.host, *given, *flags, *_typed(parsed_args)]


class ReturnHost(Working):
    """Return a host to service, once a canary server has run on it.

    The host is enabled before the canary, because Placement offers no disabled host, and disabled again if the canary
    does not start. The canary is deleted in either case.
    """

    workflow = "return-host"
    examples = """
  $ stackmend host return compute-07
  $ stackmend host return compute-07 --network tenant-net --volume 1 --yes
  $ stackmend host return compute-07 --back-from 20261121-091500-1a2b --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_object(parser, "host", "host", help="name of the host, as in 'openstack compute service list'")
        parser.add_argument("--no-canary", action="store_true", help="enable the host without a test server")
        parser.add_argument("--flavor", metavar="NAME", help="flavor of the canary (default: the smallest that fits)")
        parser.add_argument("--image", metavar="NAME", help="image of the canary (default: the smallest)")
        parser.add_argument("--network", metavar="NAME", help="give the canary a port in this network (default: none)")
        parser.add_argument("--volume", type=positive, metavar="GIB", help="boot the canary from a volume of this size")
        parser.add_argument(
            "--back-from", metavar="RUN", help="move back the servers that this run moved away (see 'run list')"
        )
        _watching(parser)
        super().add_arguments(parser)

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The host, the canary, and the servers to bring back."""
        names = ("host", "flavor", "image", "network", "volume")
        back = self._moved(parsed_args) if parsed_args.back_from else []
        wanted = {name: getattr(parsed_args, name) for name in names} | _watched(parsed_args)
        return wanted | {"canary": not parsed_args.no_canary, "back": back}

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """As it would be typed again."""
        names = ("flavor", "image", "network", "volume", "back_from")
        given = [w for n in names if (v := getattr(parsed_args, n)) for w in (f"--{n.replace('_', '-')}", str(v))]
        return [
            parsed_args.host,
            *(["--no-canary"] if parsed_args.no_canary else []),
            *given,
            *_typed(parsed_args),
        ]

    def _moved(self, parsed_args: argparse.Namespace) -> list[str]:
        """Servers that a run has moved."""
        from stackmend.app import runs

        return runs.moved_from(self.config(), parsed_args.back_from, parsed_args.host)


COMMANDS = {"host drain": DrainHost, "host return": ReturnHost}
