# SPDX-License-Identifier: Apache-2.0
"""``audit``: find inconsistencies between the services."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.narrowing import limits
from stackmend.cli.options import (
    add_bundle,
    add_nice,
    add_outside,
    add_selection,
    outside_asked,
    outside_words,
    seconds,
    selected,
    spared,
)
from stackmend.model.errors import Exit, UsageError

if TYPE_CHECKING:
    from stackmend.app.offline.bundles import Bundle
    from stackmend.config.settings import Config
    from stackmend.model.audit import Report


class Audit(Printing):
    """Find inconsistencies between the services of the cloud; changes nothing.

    Reads the databases, runs every check, and reads the rows of each finding once more to confirm it. If an API is
    configured, the services are queried as well: about the findings, and instead of databases that are not configured.
    Exit code 0: clean, 3: findings, 7: a source could not be read, so the result may be incomplete.
    """

    examples = """
  $ stackmend audit
  $ stackmend audit --check allocation-orphan --check volume-stuck-detaching
  $ stackmend audit --server web-1 --volume 0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10
  $ stackmend audit --host compute-07           # findings about the host or a server on it
  $ stackmend audit --project demo --group-by server
  $ stackmend audit --finding 1f0c2b6a          # is it still there?
  $ stackmend audit --nice                      # slower, with half of the load on the databases
  $ stackmend audit --settle 120                # read again after two minutes
  $ stackmend audit --include-young             # also suspected damage that is too recent to confirm
  $ stackmend audit --visit-hosts               # also the instances directory of each compute host
  $ stackmend audit --visit-hosts --host compute-07
  $ stackmend audit --hosts                     # also what runs on every hypervisor
  $ stackmend audit --hosts compute-07 compute-08
  $ stackmend audit --area cinder --severity error
  $ stackmend audit --group-by project
  $ stackmend audit --bundle sosreport.tar.xz --bundle all-databases.sql.gz   # offline
  $ stackmend audit -f json > findings.json
  $ stackmend audit -f value -c resource.id -c message"""

    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        add_selection(parser)
        parser.add_argument("--snapshot", metavar="DIR", help="audit a snapshot instead of the databases")
        add_bundle(parser, "audit")
        add_nice(parser)
        add_outside(parser)
        parser.add_argument(
            "--settle",
            type=seconds,
            metavar="SECONDS",
            help="seconds to wait before the second look at findings that span databases",
        )
        parser.add_argument(
            "--include-young",
            action="store_true",
            help="also list suspected damage that is too recent to confirm; it is never planned",
        )
        parser.add_argument(
            "--visit-hosts",
            action="store_true",
            help="also visit every compute host, or those of --host, and run the checks of hosts",
        )
        parser.add_argument(
            "--no-api", action="store_true", help="use the databases only, even if an API is configured"
        )
        parser.add_argument(
            "--group-by",
            choices=("check", "server", "project", "host"),
            default="check",
            help="group the findings by this (default: check)",
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Audit, and print the findings and a summary."""
        if not parsed_args.bundle:
            return self._audited(parsed_args, spared(self, self.config(), parsed_args), None)
        from stackmend.app.offline import bundles

        if parsed_args.snapshot is not None:
            raise UsageError("a snapshot and a bundle cannot be audited together", "Leave one of the two away.")
        with bundles.opened(self.config_if_any(), parsed_args.bundle) as bundle:
            return self._audited(parsed_args, bundle.config, bundle)

    def _audited(self, parsed_args: argparse.Namespace, config: Config, bundle: Bundle | None) -> int:
        from stackmend.app.audits import audit
        from stackmend.report import findings
        from stackmend.report.releases import releases
        from stackmend.report.replicas import replicas

        checks, about = limits(self, parsed_args, config, parsed_args.snapshot)
        with self.watch() as progress:
            report = audit(
                config,
                checks=checks,
                about=about.names,
                snapshot=parsed_args.snapshot,
                bundle=bundle,
                settle=parsed_args.settle,
                use_api=not parsed_args.no_api,
                young=True,
                visit=parsed_args.visit_hosts,
                outside=outside_asked(parsed_args),
                progress=progress,
            )
        report = report.with_young() if parsed_args.include_young else report
        text, tally = self._for_people(report, parsed_args, config) if self.for_people(parsed_args) else ("", [])
        self.show(findings.findings(report.findings, text), parsed_args)
        notes = self.notes
        for source in sorted((s for s in report.manifest.sources if s.error), key=lambda source: source.database):
            notes.warn(f"{source.called.removeprefix('database ')} could not be read: {source.error}")
        for source in sorted((s for s in report.manifest.sources if s.doubt), key=lambda source: source.database):
            notes.warn(source.trouble)
        for line in findings.without_answer(report):
            notes.warn(line)
        known, unknown = releases(report.manifest)
        for line in unknown:
            notes.warn(line)
        for line in (*findings.summary(report), *tally, *replicas(report.manifest), *known):
            notes.say(line)
        rows = any(not source.api and not source.error for source in report.manifest.sources)
        if bundle is not None:
            notes.say(
                f"this was so at {bundle.now} UTC, when the dumps were made; nothing was confirmed by a second read"
            )
            if report.findings:
                notes.say("a bundle cannot be repaired: run 'stackmend plan create' where the cloud's databases are")
        elif report.exit in (Exit.FINDINGS, Exit.INCOMPLETE) and report.findings and rows and not parsed_args.snapshot:
            notes.next(
                self.typed(
                    "plan",
                    "create",
                    *selected(parsed_args),
                    *outside_words(parsed_args),
                    "--allow-db",
                    "--out",
                    "plan.json",
                )
            )
        return int(report.exit)

    def _for_people(self, report: Report, parsed_args: argparse.Namespace, config: Config) -> tuple[str, list[str]]:
        """(the findings as text, their numbers by area and project)."""
        from stackmend.app.names import names, of_findings
        from stackmend.app.session import CloudSession
        from stackmend.engine.auditing import catalogue
        from stackmend.report.audits import GroupBy, PageContext, page, tally

        view = PageContext(
            titles={name: text.split("\n", 1)[0] for name, text in catalogue.pages().items()},
            names=names(CloudSession.looking(config), of_findings(report.findings)),
            now=datetime.now(UTC),
            by=GroupBy(parsed_args.group_by),
            width=self.width,
        )
        return page(report.findings, view), tally(report.findings, catalogue.areas(), view)


COMMANDS = {"audit": Audit}
