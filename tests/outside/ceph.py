# SPDX-License-Identifier: Apache-2.0
"""A cluster of Ceph on this machine, where its programs are installed: one monitor, and one OSD that is in memory."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Debian's python3-rbd is for Debian's Python
_PYTHON = "/usr/bin/python3"
#: opens an image, and tries to write once a second until it is killed: argv are configuration, account, pool, image
_CLIENT = """
import sys, time, rados, rbd
conf, account, pool, name = sys.argv[1:]
cluster = rados.Rados(conffile=conf, rados_id=account)
cluster.connect()
image = rbd.Image(cluster.open_ioctx(pool), name)
while True:
    try:
        image.write(b"x" * 512, 0)
        print("written", flush=True)
    except Exception as problem:
        print("refused", flush=True)
    time.sleep(1)
"""
_CONF = """[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{port}
keyring = {folder}/keyring
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = 268435456
osd_class_dir = {libraries}/rados-classes
plugin_dir = {libraries}/ceph
erasure_code_dir = {libraries}/ceph/erasure-code
mon_data = {folder}/mon
osd_data = {folder}/osd
run_dir = {folder}
admin_socket =
log_file = {folder}/$name.log
"""


def installed() -> bool:
    """Whether it can be started here."""
    programs = ("ceph", "rbd", "ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool")
    if not all(map(shutil.which, programs)):
        return False
    return subprocess.run([_PYTHON, "-c", "import rados, rbd"], capture_output=True, check=False).returncode == 0


@dataclass
class Client:
    """A process that has an image open and writes to it."""

    process: subprocess.Popen[str]

    def becomes(self, word: str, within: float = 90.0) -> None:
        """Wait until its newest write was "written" or "refused"."""
        assert self.process.stdout is not None
        until = time.monotonic() + within
        while self.process.stdout.readline().strip() != word:
            assert time.monotonic() < until, f"not {word} in time"

    def kill(self) -> None:
        """As a loss of power does."""
        self.process.kill()
        self.process.communicate()


@dataclass
class Ceph:
    """The cluster; stop it in the end."""

    folder: Path
    fsid: str = field(default_factory=lambda: str(uuid.uuid4()))
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def conf(self) -> str:
        """Its configuration."""
        return str(self.folder / "ceph.conf")

    def start(self) -> None:
        """One monitor and one OSD."""
        where = shutil.which("ceph-mon")
        assert where is not None
        (libraries,) = Path(where).parent.parent.glob("lib/*/rados-classes")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        text = _CONF.format(fsid=self.fsid, port=port, folder=self.folder, libraries=libraries.parent)
        Path(self.conf).write_text(text)
        keys = str(self.folder / "keyring")
        self._key("mon.", "--create-keyring", "--cap", "mon", "allow *")
        self._key("client.admin", *(w for of in ("mon", "osd", "mgr") for w in ("--cap", of, "allow *")))
        self._key("osd.0", "--cap", "mon", "allow profile osd", "--cap", "osd", "allow *")
        monitors, address = str(self.folder / "monmap"), f"[v2:127.0.0.1:{port}]"
        subprocess.run(
            ["monmaptool", "--create", "--addv", "a", address, "--fsid", self.fsid, monitors],
            check=True, capture_output=True,
        )  # fmt: skip
        (self.folder / "osd").mkdir()
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", keys)
        self._daemon("ceph-mon", "-i", "a", "--public-addr", f"127.0.0.1:{port}")
        own = str(uuid.uuid4())
        self.ceph("osd", "new", own)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", own)
        self._daemon("ceph-osd", "-i", "0")

    def stop(self) -> None:
        """End what was started."""
        for daemon in reversed(self.daemons):
            with suppress(ProcessLookupError):
                daemon.send_signal(signal.SIGKILL)
            daemon.wait()

    def pool(self, name: str) -> None:
        """A pool for images."""
        self.ceph("osd", "pool", "create", name, "8", "8")
        self.rbd("pool", "init", name)

    def account(self, name: str, **caps: str) -> None:
        """An account with these capabilities."""
        words = [word for of, what in caps.items() for word in (of, what)]
        key = self.ceph("auth", "get-or-create", f"client.{name}", *words)
        with (self.folder / "keyring").open("ab") as keyring:
            keyring.write(b"\n" + key)

    def ceph(self, *words: str) -> bytes:
        """As its administrator."""
        return self._run("ceph", *words)

    def rbd(self, *words: str) -> bytes:
        """As its administrator."""
        return self._run("rbd", *words)

    def answer(self, *words: str) -> Any:
        """What rbd prints as JSON."""
        return json.loads(self.rbd(*words, "--format", "json"))

    def client(self, account: str, pool: str, image: str) -> Client:
        """Open an image and write to it."""
        words = [_PYTHON, "-c", _CLIENT, self.conf, account, pool, image]
        return Client(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))

    def forgotten(self, pool: str, image: str) -> None:
        """Wait until a client that was killed is no watcher any more: 30 seconds."""
        until = time.monotonic() + 120
        while self.answer("status", f"{pool}/{image}")["watchers"]:
            assert time.monotonic() < until
            time.sleep(1)

    def _key(self, name: str, *words: str) -> None:
        keys = str(self.folder / "keyring")
        subprocess.run(["ceph-authtool", keys, "--gen-key", "-n", name, *words], check=True, capture_output=True)

    def _run(self, program: str, *words: str) -> bytes:
        argv = [program, "--conf", self.conf, *words]
        return subprocess.run(argv, check=True, capture_output=True, timeout=120).stdout

    def _daemon(self, program: str, *words: str) -> None:
        with (self.folder / f"{program}.out").open("wb") as out:
            argv = [program, "--conf", self.conf, "-f", *words]
            self.daemons.append(subprocess.Popen(argv, stdout=out, stderr=out))
