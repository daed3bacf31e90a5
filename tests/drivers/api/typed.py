# SPDX-License-Identifier: Apache-2.0
"""Commands typed at a site: for tests that run the same on rows that speak HTTP and on the real services."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest

from stackmend.cli.shell import main


class Configured(Protocol):
    """A site that commands can be run against."""

    toml: Path


class Typed:
    """A base for tests with a fixture ``site``."""

    @pytest.fixture
    def typed(self, site: Configured, capsys: pytest.CaptureFixture[str]) -> Any:
        """Run a command: exit code, output, messages."""

        def run(*words: str) -> tuple[int, str, str]:
            capsys.readouterr()
            code = main(["--config", str(site.toml), *words])
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        return run
