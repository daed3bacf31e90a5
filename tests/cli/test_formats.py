# SPDX-License-Identifier: Apache-2.0
"""The output options of the ``openstack`` client, on real commands."""

from __future__ import annotations

import csv
import io
import json

import pytest
import yaml

from stackmend.cli.base import Printing
from stackmend.cli.manager import Commands
from stackmend.model.errors import Exit

FORMATS = ("csv", "json", "table", "value", "yaml")
OPTIONS = {
    "--format", "--column", "--max-width", "--fit-width", "--print-empty", "--noindent", "--quote",
    "--sort-column", "--sort-ascending", "--sort-descending",
}  # fmt: skip


def test_every_list_and_show_has_them(run) -> None:
    """Whatever prints records takes the options that cliff gives its commands."""
    commands = {name: entry.load() for name, entry in Commands()}
    found = [name for name, command in commands.items() if issubclass(command, Printing)]
    assert {name for name in commands if name.split()[-1] in ("list", "show", "status")} <= set(found)
    for name in found:
        said = run(*name.split(), "--help").out
        assert [option for option in sorted(OPTIONS) if option not in said] == [], name


def test_each_format_says_the_same(run) -> None:
    """Names of all checks by each format."""
    said = {form: run("check", "list", "-f", form, "-c", "name").out for form in FORMATS}
    names = said["value"].split()
    assert len(names) > 20
    assert [one["name"] for one in json.loads(said["json"])] == names
    assert [one["name"] for one in yaml.safe_load(said["yaml"])] == names
    assert [row[0] for row in csv.reader(io.StringIO(said["csv"]))] == ["name", *names]
    assert [line.strip("| ") for line in said["table"].splitlines()[3:-1]] == names


def test_json_on_one_line(run) -> None:
    """``--noindent``."""
    assert len(run("repair", "list", "-f", "json").out.splitlines()) > 20
    assert len(run("repair", "list", "-f", "json", "--noindent").out.splitlines()) == 1


@pytest.mark.parametrize(("quote", "head"), [("all", '"name","key"'), ("minimal", "name,key"), ("none", "name,key")])
def test_quotes_of_csv(run, quote: str, head: str) -> None:
    """``--quote``."""
    assert run("check", "list", "-f", "csv", "--quote", quote, "-c", "name", "-c", "key").out.splitlines()[0] == head


def test_a_table_of_a_given_width(run, monkeypatch) -> None:
    """``--max-width`` folds, ``--fit-width`` asks for the width of the terminal, and neither loses a word."""
    wide = run("check", "list").out
    narrow = run("check", "list", "--max-width", "120").out
    assert max(map(len, wide.splitlines())) > 160
    assert max(map(len, narrow.splitlines())) <= 120
    assert len(narrow.splitlines()) > len(wide.splitlines())
    shown = run("check", "show", "allocation-orphan", "-f", "table", "--max-width", "100").out
    assert max(map(len, shown.splitlines())) <= 100
    assert "| severity  | warning" in shown
    monkeypatch.setenv("CLIFF_MAX_TERM_WIDTH", "120")
    assert run("check", "list").out == narrow


def test_sorting(run) -> None:
    """``--sort-column`` by heading or path, down with ``--sort-descending``; what is no column is ignored."""
    names = run("check", "list", "-f", "value", "-c", "name").out.split()
    assert run("check", "list", "-f", "value", "-c", "name", "--sort-column", "Name").out.split() == sorted(names)
    down = ("--sort-column", "name", "--sort-descending")
    assert run("check", "list", "-f", "value", "-c", "name", *down).out.split() == sorted(names, reverse=True)
    by = ("--sort-column", "severity", "--sort-column", "name", "--sort-ascending", "--sort-column", "nonsense")
    rows = [
        line.split()
        for line in run("check", "list", "-f", "value", "-c", "severity", "-c", "name", *by).out.splitlines()
    ]
    assert rows == sorted(rows)


def test_an_empty_table(run, cloud_config) -> None:
    """Nothing, or with ``--print-empty`` its head."""
    empty = run("--config", cloud_config, "run", "list")
    assert (empty.code, empty.out) == (Exit.CLEAN, "")
    assert run("--config", cloud_config, "run", "list", "--print-empty").out.splitlines()[1].startswith("| ID | Kind |")


def test_findings_sorted_and_narrowed(run, broken_cloud, cloud_config) -> None:
    """``audit`` is prose for people, and a table where somebody asks for columns or an order."""
    done = run(
        "--config", cloud_config, "audit", "--settle", "0", "-c", "check", "-c", "resource.id", "--sort-column", "check"
    )
    assert done.code == Exit.FINDINGS
    rows = [line.strip("|").split("|") for line in done.out.splitlines()[3:-1]]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    prose = run("--config", cloud_config, "audit", "--settle", "0").out
    assert "+--" not in prose
    assert all(row[0].strip() in prose for row in rows)


def test_the_same_in_the_openstack_client(openstack) -> None:
    """As a plugin, too."""
    words = ("mend", "repair", "show", "drop-stale-vif", "-f", "json", "--noindent", "-c", "name")
    assert json.loads(openstack(*words).out) == {"name": "drop-stale-vif"}
