# SPDX-License-Identifier: Apache-2.0
"""Whatever a verdict tells an operator to type exists."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from stackmend.app.diagnosing import Asked, diagnose
from stackmend.cli.shell import Shell
from stackmend.config.settings import Config
from stackmend.engine.auditing import catalogue

from .test_cases import EVERY, NAMES

SHELL = Shell(sys.stdout, sys.stderr)


def test_every_command_of_a_remedy_parses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In every verdict of the cases, stackmend commands parse with their options, and named checks exist."""
    lines = set()
    for number, case in enumerate(case for case in EVERY if case.guilty):
        for name, text in case.files.items():
            path = tmp_path / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        kind, _, about = case.facts.get("about", f"server {NAMES['S']}").partition(" ")
        found = diagnose(Config(), Asked(kind=kind, text=about, logs=(str(tmp_path / str(number)),)))
        for blamed in found.blamed:
            lines |= {text for text in blamed.verdict.remedies if text.startswith("stackmend ")}
    assert len(lines) > 15
    for line in sorted(lines):
        argv = shlex.split(line, comments=True)[1:]
        factory, name, rest = SHELL.command_manager.find_command(argv)
        try:
            parsed = factory(SHELL, None, cmd_name=name).get_parser(name).parse_args(rest)
        except SystemExit:
            pytest.fail(f"{line}: {capsys.readouterr().err}")
        assert set(getattr(parsed, "check", None) or []) <= set(catalogue.every_check()), line
