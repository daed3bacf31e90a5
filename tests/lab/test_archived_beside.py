# SPDX-License-Identifier: Apache-2.0
"""Audits while Nova's own command moves the rows of deleted servers into its shadow tables, a few at a time."""

from __future__ import annotations

import subprocess
from pathlib import Path

from stackmend.app import audits
from stackmend.config.settings import load
from stackmend_lab.cloud import build
from stackmend_lab.mariadb import MariaDB

from .test_schemas import SERVICES

CELL = "cell:cell1"


def test_nothing_is_found_that_is_only_half_archived(mariadb: MariaDB, tmp_path: Path) -> None:
    """Every check has an answer and finds nothing, from the first batch to the last."""
    cloud = build(mariadb, servers=250, seed=3, prefix="archived_")
    config = tmp_path / "nova.conf"
    config.write_text(
        f"[DEFAULT]\nstate_path={tmp_path}\ntransport_url=fake:/\n"
        f"[api_database]\nconnection={cloud.databases['nova_api']}?charset=utf8\n"
        f"[database]\nconnection={cloud.databases[CELL]}?charset=utf8\n"
    )
    (tmp_path / "stackmend.toml").write_text(cloud.toml(), encoding="utf-8")
    deleted = "SELECT COUNT(*) AS n FROM instances WHERE deleted <> 0"
    (before,) = cloud.rows(CELL, deleted)
    assert before["n"] > 10

    batches = ["--max_rows", "10", "--until-complete", "--sleep", "1", "--verbose"]
    command = [SERVICES / "bin" / "nova-manage", "--config-file", config, "db", "archive_deleted_rows", *batches]
    left = []
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as archiving:
        try:
            while archiving.poll() is None:
                report = audits.audit(load(str(tmp_path / "stackmend.toml")), settle=0)
                assert (report.findings, report.incomplete) == ((), {})
                left.append(cloud.rows(CELL, deleted)[0]["n"])
        finally:
            archiving.kill()
        _, said = archiving.communicate()

    assert archiving.returncode in (0, 1), said  # 1: rows were archived
    assert left[-1] == 0
    assert len(set(left)) > 2
    cloud.close()
