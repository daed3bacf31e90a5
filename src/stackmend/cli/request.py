# SPDX-License-Identifier: Apache-2.0
"""Requests of an operator for a repair or a workflow: shown first, saved or applied on request."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from stackmend.cli.applying import finish
from stackmend.cli.base import TEXT, Printing
from stackmend.cli.options import add_consent, add_strategy, positive
from stackmend.cli.showing import parts, view_of
from stackmend.model.errors import Exit, UsageError

if TYPE_CHECKING:
    from stackmend.model.plan import Plan
    from stackmend.report.document import Document


class Planned(Printing):
    """Base of the commands that create a plan.

    By default the plan is shown and nothing is changed; ``--out`` writes it, ``--yes`` applies it at once.
    """

    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of all of them."""
        parser.add_argument("--out", metavar="FILE", help="write the plan to this file, for 'plan apply'")
        add_consent(parser, "apply at once")
        super().add_arguments(parser)

    @abstractmethod
    def target(self, parsed_args: argparse.Namespace) -> dict[str, object]:
        """The arguments of the request."""

    @abstractmethod
    def make(self, parsed_args: argparse.Namespace) -> Plan:
        """The plan."""

    @abstractmethod
    def words(self, parsed_args: argparse.Namespace) -> list[str]:
        """The arguments that name the target, as they would be typed again."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Make the plan; show, write or apply it."""
        from stackmend.app import plans

        if parsed_args.out and parsed_args.yes:
            raise UsageError("--out and --yes exclude each other", "Write the plan, read it, then 'plan apply' it.")
        plan = self.make(parsed_args)
        if parsed_args.yes and plan.runnable:
            return self.apply(plan, parsed_args)
        if parsed_args.out and plan.actions:
            plans.write(self.config(), plan, parsed_args.out)
        self.show(self.document(plan), parsed_args)
        if not plan.runnable:
            return self._nothing(plan)
        consent = [word for name in plan.needs_consent for word in ("--accept", name)]
        if parsed_args.out:
            self.notes.next(self.typed("plan", "apply", parsed_args.out, "--yes", *consent))
        else:
            self.notes.say("nothing was changed")
            self.notes.next(self.typed(*self._again(parsed_args), "--yes", *consent))
        return int(Exit.FINDINGS)

    def document(self, plan: Plan) -> Document:
        """The plan as it is shown."""
        from stackmend.report import plans as shown

        return shown.plan(plan, view_of(self, self.config(), parts(plan)))

    def apply(self, plan: Plan, parsed_args: argparse.Namespace) -> int:
        """Apply it, and print what came of it."""
        return finish(self, plan, parsed_args, again=self._again(parsed_args))

    def _nothing(self, plan: Plan) -> int:
        """Explain why the plan has nothing to run."""
        if plan.actions:
            self.notes.say("stackmend cannot do this: see the plan for what to do by hand")
            return int(Exit.FINDINGS)
        if not plan.not_repaired:
            self.notes.say("there is nothing to do")
        for left in plan.not_repaired:
            if left.done:
                self.notes.say(left.reason)
                continue
            hint = "Add --allow-db to consent to database changes." if "--allow-db" in left.reason else ""
            self.notes.fail(left.reason, hint)
        return int(Exit.CLEAN if all(left.done for left in plan.not_repaired) else Exit.STOPPED)

    def _again(self, parsed_args: argparse.Namespace) -> tuple[str, ...]:
        """This command line without consent and output options."""
        return (*(self.cmd_name or "").split(), *self.words(parsed_args))


class RequestCommand(Planned):
    """Base of the commands that ask for one repair."""

    repair: ClassVar[str]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of all requests."""
        add_strategy(parser)
        super().add_arguments(parser)

    def make(self, parsed_args: argparse.Namespace) -> Plan:
        """The plan of the repair."""
        from stackmend.app import plans

        return plans.request(
            self.config(),
            self.repair,
            self.target(parsed_args),
            via=parsed_args.via,
            allow_db=parsed_args.allow_db,
        )

    def _again(self, parsed_args: argparse.Namespace) -> tuple[str, ...]:
        """This command line without consent and output options."""
        via = ["--via", parsed_args.via] if parsed_args.via != "auto" else []
        allow = ["--allow-db"] if parsed_args.allow_db else []
        return (*super()._again(parsed_args), *via, *allow)


class Working(Planned):
    """Base of the commands that ask for a workflow: many lanes, side by side."""

    workflow: ClassVar[str]
    #: calls in progress at the same time, by default
    parallel: ClassVar[int] = 2
    #: whether its workflow skips servers that it would damage according to checks (its ``deed``)
    audits: ClassVar[bool] = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of all workflows."""
        parser.add_argument(
            "--parallel",
            type=positive,
            default=self.parallel,
            metavar="N",
            help=f"how many to handle at a time (default: {self.parallel})",
        )
        parser.add_argument(
            "--per-host",
            type=positive,
            metavar="N",
            help="how many of these from or to the same host (default: no limit)",
        )
        parser.add_argument(
            "--wait-for-ack",
            action="store_true",
            help="wait at the gates of the workflow until a human acknowledges them",
        )
        if self.audits:
            parser.add_argument(
                "--no-audit", action="store_true", help="skip the checks that find servers it would damage"
            )
        super().add_arguments(parser)

    def make(self, parsed_args: argparse.Namespace) -> Plan:
        """The plan of the workflow."""
        from stackmend.app import workflows

        target = self.target(parsed_args)
        with self.watch() as progress:
            return workflows.plan(
                self.config(),
                self.workflow,
                target,
                parallel=parsed_args.parallel,
                per_slot=parsed_args.per_host or 0,
                gates=parsed_args.wait_for_ack,
                audited=self.audits and not parsed_args.no_audit,
                progress=progress,
            )

    def _again(self, parsed_args: argparse.Namespace) -> tuple[str, ...]:
        """This command line without consent and output options."""
        parallel = ["--parallel", str(parsed_args.parallel)] if parsed_args.parallel != self.parallel else []
        per_host = ["--per-host", str(parsed_args.per_host)] if parsed_args.per_host else []
        gates = ["--wait-for-ack"] if parsed_args.wait_for_ack else []
        audit = ["--no-audit"] if self.audits and parsed_args.no_audit else []
        return (*super()._again(parsed_args), *parallel, *per_host, *gates, *audit)
