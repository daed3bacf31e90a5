# SPDX-License-Identifier: Apache-2.0
"""The checks and objects to which the options of a command limit an audit."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from stackmend.cli.catalogue import checks_asked
from stackmend.cli.options import outside_asked, selection
from stackmend.model.errors import UsageError

if TYPE_CHECKING:
    from stackmend.app.selecting import About
    from stackmend.cli.base import Printing
    from stackmend.config.settings import Config


def limits(
    command: Printing, parsed_args: argparse.Namespace, config: Config, snapshot: str | None = None
) -> tuple[list[str], About]:
    """(the checks to run, what findings have to concern); prints which objects the typed names refer to.

    If findings alone are requested, only their checks are run: an audit for one finding is a small one.
    """
    from stackmend.app import findings, selecting, snapshots
    from stackmend.app.outside import there

    if snapshot is None:
        readable = there(config, outside_asked(parsed_args))
    else:
        readable = snapshots.labels_of(snapshots.show(config, snapshot)[1])
    checks, about = list(checks_asked(parsed_args, config, readable)), selecting.About()
    if asked := selection(parsed_args):
        if snapshot is None:
            about = selecting.about(config, asked)
        else:
            about = selecting.about_snapshot(config, snapshot, asked)
        command.about(about)
    if parsed_args.finding:
        reported = findings.reported(config, parsed_args.finding)
        for mark, check in reported.items():
            if checks and check not in checks:
                raise UsageError(f"finding {mark} is one of {check}", f"Leave --check away, or name {check} as well.")
        if not asked:
            checks = sorted(set(reported.values()))
        about = replace(about, names=about.names | reported.keys())
    return checks, about
