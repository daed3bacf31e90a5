# SPDX-License-Identifier: Apache-2.0
"""How plans and runs are shown: options that ``plan show`` and ``run show`` share, and the names of their objects."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stackmend.cli.base import Command
    from stackmend.config.settings import Config
    from stackmend.model.plan import Action, Plan, Unrepaired
    from stackmend.report.view import TextContext


def add_showing(parser: argparse.ArgumentParser) -> None:
    """``--action``, ``--repair``, ``--sql``, ``--no-names``."""
    parser.add_argument(
        "--action", action="append", default=[], metavar="ID", help="only this action, such as a18; may be repeated"
    )
    parser.add_argument(
        "--repair", action="append", default=[], metavar="NAME", help="only this repair; may be repeated"
    )
    parser.add_argument("--sql", action="store_true", help="show every statement with its guards")
    parser.add_argument(
        "--no-names", action="store_true", help="do not look up the names of servers, volumes and projects"
    )


def view_of(
    command: Command,
    config: Config | None,
    about: Iterable[Action | Unrepaired],
    *,
    rows: bool = True,
    sql: bool = False,
    vouched: bool = True,
) -> TextContext:
    """How it is shown on this terminal; ``config``: None if no names are wanted or known."""
    from stackmend.app import names
    from stackmend.report.view import TextContext

    found = names.known(config, names.of_actions(about)) if config is not None else {}
    return TextContext(names=found, width=command.width, arrow=command.arrow, rows=rows, sql=sql, vouched=vouched)


def parts(plan: Plan) -> Iterable[Action | Unrepaired]:
    """Everything in a plan that is about an object."""
    return (*plan.actions, *plan.deferred, *plan.not_repaired)
