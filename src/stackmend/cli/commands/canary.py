# SPDX-License-Identifier: Apache-2.0
"""``canary``: the proof of a cloud, by servers that are built, verified and deleted."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from stackmend.cli.applying import observer, tell_reach
from stackmend.cli.options import add_object, positive, seconds
from stackmend.cli.request import Working
from stackmend.model.errors import UsageError

if TYPE_CHECKING:
    from stackmend.config.settings import Config
    from stackmend.model.objects.canaries import Batch
    from stackmend.model.plan import Plan
    from stackmend.report.document import Document

_TIMEOUT = 600.0


class Canary(Working):
    """Build servers as users do, see that each got exactly what it was asked for, and delete them.

    The proof after a repair: one port a network with its addresses, the image or volume, all in use, and a console that
    is alive. A wave of --parallel canaries is built, proved and deleted, then the next one. The report has latencies
    with a histogram, and failures by host and phase, also of attempts that another host made up for.

    Canaries are servers of the account's project; name, tag and metadata tell them. What is left after an interruption
    is deleted; after a kill, by 'run resume' or --clean-up.

    Exit codes with --yes:
      0  all were proved, and nothing is left
      3  some failed; nothing is left
      5  it was stopped before all were tried, or something is left
      6  the outcome of a step is unknown, and something is left
    """

    workflow = "prove-cloud"
    parallel = 4
    examples = """
  $ stackmend canary --count 50 --network private                  # shows what would be done
  $ stackmend canary --count 50 --parallel 8 --network private --image fedora-42 --yes
  $ stackmend canary --count 4 --host compute-07 --host compute-08 --network private --volume 10 --yes
  $ stackmend canary --count 200 --network a --network b --yes -f json
  $ stackmend canary --count 20 --network private --logs /var/log/remote --yes    # says why any of them failed
  $ stackmend canary --report 20261129-103453-2be1
  $ stackmend canary --clean-up --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        group = parser.add_mutually_exclusive_group(required=True)
        group.add_argument("--count", type=positive, metavar="N", help="how many to build")
        group.add_argument("--report", metavar="RUN", help="what became of the canaries of this run")
        group.add_argument(
            "--clean-up", nargs="?", const="", metavar="BATCH", help="delete what is left of a batch, or of any"
        )
        add_object(
            parser, "host", "--host", action="append", default=[], help="build on this host; repeatable, in turn"
        )
        parser.add_argument(
            "--network", action="append", default=[], metavar="NETWORK",
            help="a port on this network each, by name or ID; repeatable (default: no port)",
        )  # fmt: skip
        parser.add_argument("--image", metavar="IMAGE", help="image to boot from (default: the smallest)")
        parser.add_argument("--flavor", metavar="FLAVOR", help="flavor (default: the smallest that the image fits)")
        parser.add_argument(
            "--volume", type=positive, metavar="GIB", help="boot from a volume of this size, made from the image"
        )
        parser.add_argument("--no-console", action="store_true", help="a console that shows nothing is no failure")
        parser.add_argument(
            "--timeout", type=seconds, default=_TIMEOUT, metavar="SECONDS",
            help=f"time until one must be active (default: {_TIMEOUT:g})",
        )  # fmt: skip
        parser.add_argument(
            "--logs", action="append", default=[], metavar="PATH",
            help="logs in which the causes of failures are searched for (default: [logs] paths); may be repeated",
        )  # fmt: skip
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Prove, report, or clean up."""
        if parsed_args.report:
            from stackmend.app import canaries

            config = self.config()
            return self._told(canaries.report(config, parsed_args.report, self._logs(config, parsed_args)), parsed_args)
        if not parsed_args.count and (parsed_args.network or parsed_args.host or parsed_args.image):
            raise UsageError("--network, --host and --image go with --count", "Say how many: --count N.")
        return super().take_action(parsed_args)

    def make(self, parsed_args: argparse.Namespace) -> Plan:
        """The plan of a batch, or of the clean-up."""
        from stackmend.app import workflows

        name = "clean-canaries" if parsed_args.clean_up is not None else self.workflow
        with self.watch() as progress:
            return workflows.plan(
                self.config(), name, self.target(parsed_args), parallel=parsed_args.parallel,
                per_slot=parsed_args.per_host or 0,
                # a failure is a result, and each of them is cleaned up
                failures=2 * (parsed_args.count or 1_000_000), progress=progress,
            )  # fmt: skip

    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """What each is to have."""
        if parsed_args.clean_up is not None:
            return {"batch": parsed_args.clean_up}
        return {
            "count": parsed_args.count,
            "parallel": parsed_args.parallel,
            "hosts": parsed_args.host,
            "networks": parsed_args.network,
            "image": parsed_args.image or "",
            "flavor": parsed_args.flavor or "",
            "volume": parsed_args.volume or 0,
            "console": not parsed_args.no_console,
            "timeout": parsed_args.timeout,
        }

    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """As it would be typed again."""
        if parsed_args.clean_up is not None:
            return ["--clean-up", *([parsed_args.clean_up] if parsed_args.clean_up else [])]
        words = ["--count", str(parsed_args.count)]
        for option, values in (("--host", parsed_args.host), ("--network", parsed_args.network)):
            words += [word for value in values for word in (option, value)]
        for option in ("image", "flavor", "volume"):
            words += [f"--{option}", str(value)] if (value := getattr(parsed_args, option)) else []
        words += [word for path in parsed_args.logs for word in ("--logs", path)]
        words += ["--no-console"] if parsed_args.no_console else []
        return words + (["--timeout", f"{parsed_args.timeout:g}"] if parsed_args.timeout != _TIMEOUT else [])

    def document(self, plan: Plan) -> Document:
        """The plan; for people in short, for all of its servers are alike."""
        from stackmend.report.objects import canaries as shown

        found = super().document(plan)
        brief = shown.brief(plan.facts, self.width) if plan.workflow == self.workflow and plan.actions else ""
        return replace(found, text=brief or found.text)

    def apply(self, plan: Plan, parsed_args: argparse.Namespace) -> int:
        """Build and prove them; whatever came of it, leave nothing."""
        if parsed_args.clean_up is not None:
            return super().apply(plan, parsed_args)
        from stackmend.app import canaries, runs

        config, batch = self.config(), str(plan.facts["batch"])
        tell_reach(self, config)
        self.notes.say(f"batch {batch}: its servers are called stackmend-canary-{batch}-...")
        with observer(self) as (here, progress):
            result = runs.apply(config, plan, observer=here, progress=progress)
        if result.left or result.in_doubt or result.failed:
            with observer(self) as (here, progress):
                if canaries.clean(config, batch, here, progress) is not None:
                    self.notes.say("what was left of the batch was deleted")
        return self._told(canaries.report(config, result.run, self._logs(config, parsed_args)), parsed_args)

    def _logs(self, config: Config, parsed_args: argparse.Namespace) -> tuple[str, ...]:
        return tuple(parsed_args.logs) or config.logs

    def _told(self, found: Batch, parsed_args: argparse.Namespace) -> int:
        from stackmend.report.objects import canaries as shown

        self.show(shown.batch(found, self.width), parsed_args)
        self.notes.say(f"{found.proved} of {len(found.canaries)} proved, {len(found.bad)} failed; run {found.run}")
        for note in found.notes:
            self.notes.warn(note)
        again = sum(one.again for one in found.canaries)
        if again:
            self.notes.warn(f"{again} were built by another host than the first that tried: see attempts by host")
        if found.left:
            self.notes.next(self.typed("canary", "--clean-up", found.batch, "--yes"))
        return int(found.exit)


COMMANDS = {"canary": Canary}
