# SPDX-License-Identifier: Apache-2.0
"""A small cloud, a fake of its services that speaks HTTP, and a clock without real waiting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stackmend.config.settings import Config, load
from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.session import ApiSession
from stackmend_lab.cloud import Cloud, build

from .fake import Fake
from .serving import serving


@dataclass
class HandClock:
    """Time that passes only while somebody sleeps; ``then`` is called after that many sleeps."""

    moment: datetime = datetime(2026, 11, 21, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove any account in the machine's environment."""
    for name in ("OS_CLOUD", "OS_AUTH_URL", "OS_CLIENT_CONFIG_FILE", "STACKMEND_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A healthy cloud in files, one for each test file, as tests leave damage behind."""
    cloud = build(tmp_path_factory.mktemp("services") / "cloud", servers=100, seed=33)
    yield cloud
    cloud.close()


@pytest.fixture(scope="module")
def served(built: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    """Its services."""
    with serving(Fake(built, tmp_path_factory.mktemp("account"))) as fake:
        yield fake


@pytest.fixture
def fake(served: Fake) -> Fake:
    """Its services, reset, with no requests received yet."""
    served.seen.clear()
    served.faults.clear()
    served.then.clear()
    served.highest.clear()
    served.stubborn, served.slow = False, 0
    return served


@pytest.fixture
def session(fake: Fake) -> Iterator[ApiSession]:
    """An authenticated session."""
    opened = ApiSession.open("fake", fake.clouds_yaml(), timeout=5)
    fake.seen.clear()
    yield opened
    opened.close()


@pytest.fixture
def clock() -> HandClock:
    """A simulated clock."""
    return HandClock()


@pytest.fixture
def executor(session: ApiSession, clock: HandClock) -> ApiExecutor:
    """The executor of calls."""
    return ApiExecutor(lambda: session, clock)


@pytest.fixture
def config(built: Cloud, fake: Fake, tmp_path: Path) -> Config:
    """Databases and API of one cloud, with its own journal."""
    accounts = f'[api]\ncloud = "fake"\nclouds = "{fake.clouds_yaml()}"\ntimeout = 5\n'
    toml = tmp_path / "stackmend.toml"
    text = built.toml().partition("[state]")[0] + f'[state]\ndirectory = "{tmp_path / "state"}"\n' + accounts
    toml.write_text(text, encoding="utf-8")
    return load(str(toml))
