# SPDX-License-Identifier: Apache-2.0
"""Small clouds: with a terminal, for the tests of requests, and with the parts behind the commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.config.settings import load
from stackmend_lab.cloud import Cloud, build

from ..support.repair_stage import Stage
from ..support.requests import Desk


@pytest.fixture(scope="module")
def asked_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Path]]:
    """One small cloud for the module."""
    folder = tmp_path_factory.mktemp("requests")
    cloud = build(folder / "cloud", servers=120, seed=41)
    cloud.save()
    toml = folder / "stackmend.toml"
    toml.write_text(cloud.toml(), encoding="utf-8")
    yield cloud, toml
    cloud.close()


@pytest.fixture
def desk(asked_cloud: tuple[Cloud, Path], capsys: pytest.CaptureFixture[str]) -> Desk:
    """The cloud, healthy again, and a terminal."""
    asked_cloud[0].reset()
    return Desk(*asked_cloud, capsys)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One small cloud for the module."""
    folder = tmp_path_factory.mktemp("repairs")
    cloud = build(folder / "cloud", servers=250, seed=7)
    cloud.save()
    toml = folder / "stackmend.toml"
    toml.write_text(cloud.toml(), encoding="utf-8")
    yield Stage(cloud, load(str(toml)))
    cloud.close()


@pytest.fixture
def stage(ground: Stage) -> Stage:
    """That cloud, healthy again."""
    ground.cloud.reset()
    return ground
