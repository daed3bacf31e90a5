# SPDX-License-Identifier: Apache-2.0
"""What may come next on a command line, and the scripts of the shells that ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from stackmend.model.errors import Exit

from .conftest import PROGRAM


@pytest.fixture
def next_words(run):
    """The words that may come next, in their order."""

    def complete(*line):
        done = run("complete", "--line", *line)
        assert (done.code, done.err) == (Exit.CLEAN, "")
        return [word.partition("\t")[0] for word in done.out.splitlines()]

    return complete


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["pl"], ["plan"]),
        (["plan", ""], ["apply", "create", "show"]),
        (["server", "ca"], ["cache"]),
        (["help", "plan", "s"], ["show"]),
        (["plan", "show", "--re"], ["--repair", "--require-signature"]),
        (["plan", "show", ""], [":files"]),
        (["plan", "create", "--out", "p"], [":files"]),
        (["--config", ""], [":files"]),
        (["--conf"], ["--config"]),
        (["--layout", "k"], ["kolla"]),
        (["--layout", "kolla", "aud"], ["audit"]),
        (["audit", "--check", "allocation-w"], ["allocation-wrong-provider"]),
        (["audit", "--area", "p"], ["placement"]),
        (["check", "list", "--severity", "w"], ["warning"]),
        (["check", "show", "allocation-w"], ["allocation-wrong-provider"]),
        (["plan", "apply", "p.json", "--accept", "detach-v"], ["detach-volume"]),
        (["repair", "show", "detach"], ["detach-port", "detach-volume"]),
        (["run", "list", "--state", "cu"], ["'cut off'"]),
        (["plan", "show", "p.json", "--sq"], ["--sql"]),
        (["no", "such", "command", ""], []),
        (["complete", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_what_may_come_next(next_words, line, expected):
    """Commands word by word, options, and what an option or an argument takes."""
    assert next_words(*line) == expected


def test_hosts_and_runs_come_from_the_cloud(next_words, run, broken_cloud, cloud_config, tmp_path):
    """Hosts from the databases, runs from the journal, newest first."""
    front = ("--config", str(cloud_config))
    hosts = next_words(*front, "host", "status", "")
    assert hosts == sorted({row["host"] for cell in ("cell1", "cell2") for row in _computes(broken_cloud, cell)})
    assert next_words(*front, "host", "drain", "--to", hosts[0]) == [hosts[0]]
    assert next_words(*front, "run", "show", "") == []
    plan = tmp_path / "plan.json"
    run(*front, "plan", "create", "--check", "allocation-orphan", "--allow-db", "--out", plan)
    assert run(*front, "plan", "apply", plan, "--yes").code == Exit.REPAIRED
    (one,) = next_words(*front, "run", "undo", "")
    assert one in run(*front, "run", "list").out


def _computes(cloud, cell):
    return cloud.rows(f"cell:{cell}", "SELECT host FROM services WHERE \"binary\" = 'nova-compute' AND deleted = 0")


@pytest.mark.attack("the name of a host is a command for the shell in which somebody presses TAB")
def test_names_from_the_cloud_are_plain_words(next_words, cloud, cloud_config):
    """What a shell would take apart, or run, is not offered."""
    front = ("--config", str(cloud_config))
    before = next_words(*front, "host", "status", "")
    (row,) = cloud.rows("cell:cell1", "SELECT id FROM services WHERE \"binary\" = 'nova-compute' LIMIT 1")
    for evil in ("$(touch x)", "a b", "`id`", "x;id", "-rf", "a\nb", "a\u202eb", "x'y"):
        cloud.update("cell:cell1", "services", {"id": row["id"]}, host=evil)
        assert len(next_words(*front, "host", "status", "")) == len(before) - 1, evil


def test_without_a_configuration_nothing_is_offered_and_nothing_is_said(next_words):
    """What cannot be read is no word, and no error in the middle of somebody's line."""
    assert next_words("--config", "none.toml", "host", "status", "") == []
    assert next_words("--config", "none.toml", "run", "show", "") == []


def _shell(words, program):
    return subprocess.run(
        program,
        input=words,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"},
    ).stdout.splitlines()


def test_bash_asks(program):
    """The function that bash calls fills in what it may complete to."""
    script = program("complete", "bash").out
    ask = 'COMP_WORDS=(stackmend plan s); COMP_CWORD=2; _stackmend; printf "%s\\n" "${COMPREPLY[@]}"\n'
    assert _shell(script + ask, ["bash", "-s"]) == ["show"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_asks(program):
    """The words of fish come with what they are."""
    script = program("complete", "fish").out
    assert _shell(script + "complete -C 'stackmend plan sh'\n", ["fish"]) == [
        "show\tShow a plan file: the old and new values of each repair, its risks, and what is not repaired and why."
    ]
    assert _shell(script + "complete -C 'stackmend --layout kolla plan '\n", ["fish"])[0].startswith("apply\t")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_asks(program):
    """The function of zsh hands compadd the words that it was given."""
    script = program("complete", "zsh").out
    ask = (
        "compdef() {}\ncompadd() { print -rl -- $found }\n"
        + script
        + "words=(stackmend plan s); CURRENT=3; _stackmend\n"
    )
    assert _shell(ask, ["zsh", "-f", "-s"]) == ["show"]
