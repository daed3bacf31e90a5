# SPDX-License-Identifier: Apache-2.0
"""The recipes of packages: the one of Debian is built, looked into, installed on a copy of this machine, and purged."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREFIX = "./opt/venvs/stackmend"
#: what is to be run where it is installed: every program, page and file that it promises
TRIED = """
stackmend --version
man -w stackmend stackmend.toml >/dev/null
bash -c '. /usr/share/bash-completion/completions/stackmend; complete -p stackmend'
stat -c '%a %n' /etc/stackmend /var/lib/stackmend
stackmend audit || echo "exit code $?"
printf '[databases]\\nnova_api = "sqlite:////nowhere.db"\\n' >/etc/stackmend/stackmend.toml
chmod 600 /etc/stackmend/stackmend.toml
stackmend config systemd | grep -e ^ExecStart -e ^Environment -e ^ReadWrite
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by make deb."""
    if not shutil.which("dpkg-deb") or not Path("/usr/bin/python3").exists():
        pytest.skip("packages of Debian are built on Debian")
    folder = tmp_path_factory.mktemp("deb")
    subprocess.run(["make", "-C", str(ROOT), "deb", f"OUT={folder}"], check=True, timeout=3000)
    (found,) = folder.glob("stackmend_*.deb")
    return found


def said(*argv: str | Path) -> str:
    """What a program prints."""
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=900).stdout


@pytest.mark.long
def test_a_package_has_all_it_needs_and_belongs_to_root(package: Path) -> None:
    """The virtual environment, man pages, completion, units and documents; nothing that others may write to."""
    lines = [line.split(maxsplit=5) for line in said("dpkg-deb", "-c", package).splitlines()]
    there = {line[5].partition(" -> ")[0]: (line[0], line[1]) for line in lines}
    for wanted in (
        f"{PREFIX}/bin/stackmend", "./usr/bin/stackmend", "./usr/share/man/man1/stackmend.1.gz",
        "./usr/share/man/man5/stackmend.toml.5.gz", "./usr/share/bash-completion/completions/stackmend",
        "./usr/share/zsh/vendor-completions/_stackmend", "./usr/share/fish/vendor_completions.d/stackmend.fish",
        "./lib/systemd/system/stackmend-audit.service", "./lib/systemd/system/stackmend-audit.timer",
        "./usr/share/doc/stackmend/copyright", "./usr/share/doc/stackmend/README.Debian",
    ):  # fmt: skip
        assert wanted in there
    assert {owner for _, owner in there.values()} == {"root/root"}
    assert not [name for name, (mode, _) in there.items() if mode[0] != "l" and "w" in mode[4:]]
    assert not [name for name in there if name.endswith("direct_url.json")]
    assert re.search(r"^ Depends: python3 \(>= 3\.\d+\), python3 \(<< 3\.\d+\)", said("dpkg-deb", "-I", package), re.M)


@pytest.mark.long
def test_a_package_is_installed_works_and_leaves_nothing(package: Path) -> None:
    """Version, pages, completion; without a configuration the way out is named; a purge leaves the journal alone."""
    if os.geteuid():
        pytest.skip("only root installs packages")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    told = said(ROOT / "packaging" / "debian" / "try.sh", package, TRIED)
    assert told.startswith("stackmend ")
    assert "complete -F _stackmend stackmend" in told
    assert "750 /etc/stackmend\n700 /var/lib/stackmend" in told
    assert "exit code 2" in told
    assert "stackmend --config /etc/stackmend/stackmend.toml audit --nice" in told
    assert "Environment=STACKMEND_STATE=/var/lib/stackmend" in told
    assert told.count("/var/lib/stackmend is kept: it has the journal") == 1
    assert told.endswith("nothing is left\n")


def test_what_the_container_file_copies_is_there() -> None:
    """And it makes the same virtual environment as the package of Debian."""
    text = (ROOT / "packaging" / "Containerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.M)
    assert all((ROOT / one).exists() for one in copied)
    assert "packaging/virtualenv.sh /stage /opt/venvs/stackmend" in text
    assert (ROOT / "scripts" / "uv.txt").exists()
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not {"packaging", "scripts", "src", "lab", "uv.lock"} & set(ignored)
