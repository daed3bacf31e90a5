# SPDX-License-Identifier: Apache-2.0
"""Workflows: the plan of a long procedure, applied, resumed and undone like any other plan (app/runs.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from stackmend.app import apis, hosts
from stackmend.app.dangers import dangers
from stackmend.app.session import CloudSession, no_progress, utcnow
from stackmend.config.settings import Config
from stackmend.drivers.api.operations import describe, waits
from stackmend.engine.auditing import catalogue
from stackmend.engine.planning import workflow_planner
from stackmend.engine.planning.planner import Arguments
from stackmend.model.errors import ApiError
from stackmend.model.plan import Plan
from stackmend.model.protocols import Progress
from stackmend.model.workflow import Sight


def plan(
    config: Config,
    name: str,
    arguments: Mapping[str, object],
    *,
    parallel: int = 1,
    per_slot: int = 0,
    gates: bool = False,
    audited: bool = False,
    failures: int | None = None,
    progress: Progress = no_progress,
) -> Plan:
    """The plan of the workflow of this name. Nothing is changed.

    ``parallel``: calls in progress at the same time; ``per_slot``: of these, for the same host; ``gates``: ask a human
    at the gates of the workflow; ``failures``: lanes that may fail before the run stops (default: as configured);
    ``audited``: skip servers that it would damage according to checks, for which all databases are read. ApiError or
    ConfigError if there is no API, SourceError if something that has to be known could not be read, UsageError for an
    unknown workflow or a missing argument.
    """
    workflow = workflow_planner.workflow_of(name)
    session = CloudSession.looking(config).believed()
    with ExitStack() as stack:
        found, why = stack.enter_context(apis.reading(config, session, "auto"))
        if found is None and workflow.needs_api:
            raise ApiError(f"{name} needs the services' APIs: {why}", "Specify a cloud: [api] cloud, or OS_CLOUD.")
        findings: Mapping[str, Sequence[str]] = {}
        if audited and workflow.deed and found is not None:
            host = str(Arguments(name, arguments)["host"])
            findings = dangers(config, found, host, workflow.deed, progress)
        live = stack.enter_context(session.live(found)) if session.databases.addresses else None
        sight = Sight(
            api=found or apis.NoApi(why),
            live=live,
            hosts=hosts.reach(config),
            now=utcnow(),
            settings=hosts.settings(config),
            repairs=catalogue.repairs(),
            findings=findings,
        )
        return workflow_planner.plan(
            workflow,
            arguments,
            sight,
            cloud=session.databases.identity,
            limits=replace(
                config.limits,
                parallel=parallel,
                per_slot=per_slot,
                max_failures=config.limits.max_failures if failures is None else failures,
            ),
            gates=gates,
            describe=describe,
            waits=waits,
        )
