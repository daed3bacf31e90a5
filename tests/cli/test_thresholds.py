# SPDX-License-Identifier: Apache-2.0
"""From which number and age on a check speaks is the site's own decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackmend.app.audits import audit
from stackmend.config.settings import load
from stackmend_lab.cloud import Cloud
from stackmend_lab.plants.cinder.records import cinder_rows_unpurged


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("", ["cinder-rows-unpurged"]),
        ("[counts.cinder-rows-unpurged]\nmany = 2000\n", []),
        ("[ages.cinder-rows-unpurged]\nkept = 31622400\n", ["cinder-rows-unpurged"]),
    ],
)
def test_a_count_of_the_configuration_decides(cloud: Cloud, cloud_config: Path, lines: str, found: list[str]) -> None:
    """A thousand rows in all are one finding, unless the site tolerates two thousand; both looks go by one number."""
    cinder_rows_unpurged.plant(cloud)
    with cloud_config.open("a", encoding="utf-8") as file:
        file.write(f"\n{lines}")
    report = audit(load(str(cloud_config)), settle=0)
    assert [one.check for one in report.findings] == found
    assert report.incomplete == {}


def test_a_few_rows_are_enough_where_the_site_says_so(cloud: Cloud, cloud_config: Path) -> None:
    """A site that wants to know of every hundred rows is told of them, with their number and the command."""
    cinder_rows_unpurged.a_few(cloud)
    with cloud_config.open("a", encoding="utf-8") as file:
        file.write("\n[counts.cinder-rows-unpurged]\nmany = 100\n[ages.cinder-rows-unpurged]\nkept = 8640000\n")
    (finding,) = audit(load(str(cloud_config)), settle=0).findings
    assert "reservations 100" in str(finding.evidence["tables"])
    assert finding.evidence["days"] == 100
