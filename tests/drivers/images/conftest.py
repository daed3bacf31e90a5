# SPDX-License-Identifier: Apache-2.0
"""Two nodes of Glance with stores of their own, over HTTP and as folders of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackmend.cli.shell import main
from stackmend_lab.cloud import Cloud, build

from ...support.glance_nodes import GlanceFake, GlanceNode, serving_nodes
from ..api.serving import serving


@dataclass
class Site:
    """The services, the nodes, and an account."""

    fake: GlanceFake
    one: GlanceNode
    two: GlanceNode
    folder: Path
    rows: bool = True  #: whether Glance's database is configured
    named: bool = True  #: whether [images] names the stores
    more: str = ""  #: lines of the configuration

    @property
    def toml(self) -> Path:
        """Databases if they are to be there, API, a way to the two stores, and a journal of its own."""
        path = self.folder / "stackmend.toml"
        databases = self.fake.cloud.toml().partition("[state]")[0] if self.rows else ""
        images = f"[images]\nstores = {json.dumps(self.stores)}\n" if self.named else ""
        path.write_text(
            f'{databases}[state]\ndirectory = "{self.folder}/state"\n'
            f'[api]\ncloud = "fake"\nclouds = "{self.fake.clouds_yaml()}"\ntimeout = 5\n'
            f'[hosts]\nlocal = ["g1", "g2"]\n{images}{self.more}',
            encoding="utf-8",
        )
        return path

    @property
    def stores(self) -> tuple[str, str]:
        """As --store names them."""
        return f"g1:{self.one.folder}", f"g2:{self.two.folder}"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The two APIs, as words."""
        return ("--endpoint", self.one.url, "--endpoint", self.two.url)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account of the machine's own."""
    for name in ("OS_CLOUD", "OS_AUTH_URL", "OS_CLIENT_CONFIG_FILE", "STACKMEND_CONFIG", "STACKMEND_STATE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A small cloud, without images."""
    cloud = build(tmp_path_factory.mktemp("glance") / "cloud", servers=20)
    cloud.delete("glance", "image_locations", {"deleted": 0})
    cloud.delete("glance", "images", {"deleted": 0})
    cloud.save()
    yield cloud
    cloud.close()


@pytest.fixture
def site(built: Cloud, tmp_path: Path) -> Iterator[Site]:
    """Two nodes with nothing in their stores."""
    built.reset()
    account = tmp_path / "account"
    account.mkdir()
    with serving(GlanceFake(built, account)) as fake:
        assert isinstance(fake, GlanceFake)
        one, two = (GlanceNode(fake, tmp_path / name / "images") for name in ("g1", "g2"))
        with serving_nodes(one, two):
            yield Site(fake, one, two, tmp_path)


@pytest.fixture
def typed(site: Site, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command: exit code, output, messages."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--config", str(site.toml), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
