# SPDX-License-Identifier: Apache-2.0
"""The releases whose services a lab can run, and how one knows which release an environment has."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackmend.tables.releases import NEWEST
from stackmend_lab.mariadb import LabError


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """A release whose services a lab can run."""

    pins: str  #: file of the package ``stackmend_lab`` with the version of every distribution
    nova: int  #: major version of Nova
    python: tuple[int, int] | None  #: the only Python for which all its pins have wheels or can be built; None: any
    eventlet: bool  #: Nova's and Neutron's APIs are servers of their own, on green threads; otherwise WSGI in uwsgi


#: by release, the newest first
RUNNABLE: Mapping[str, Runnable] = {
    NEWEST: Runnable(pins="services.txt", nova=34, python=None, eventlet=False),
    "2024.1": Runnable(pins="services-2024.1.txt", nova=29, python=(3, 11), eventlet=True),
}


def installed(services: Path) -> str:
    """The release of an environment of the services, by its Nova; "" for one that is not known."""
    found = (path.name.split("-")[1] for path in services.glob("lib/python3*/site-packages/nova-*.dist-info"))
    majors = {int(version.split(".")[0]) for version in found}
    return next((release for release, known in RUNNABLE.items() if known.nova in majors), "")


def interpreter(release: str) -> str:
    """The Python for the services of a release: that of this process if it will do. LabError if there is none."""
    wanted = RUNNABLE[release].python
    if wanted in (None, sys.version_info[:2]):
        return getattr(sys, "_base_executable", None) or sys.executable
    name = "python{}.{}".format(*wanted)
    if found := shutil.which(name):
        return found
    raise LabError(
        f"the services of {release} need {name}, which is not on the PATH", "Install it, or run 'lab up' by it."
    )
