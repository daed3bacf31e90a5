# SPDX-License-Identifier: Apache-2.0
"""``diagnose`` as an operator types it: text, JSON by its schema, a page that loads nothing, exit codes."""

from __future__ import annotations

import json
import shutil
import tarfile
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from stackmend.model.errors import Exit

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
SERVER = "05eef1bb-5356-43d9-86c9-4d9854d4d46b"
PORT = "7f3a1c02-5b7e-4d7e-9a53-20c1f0a7a1b2"
REQUEST = "req-2b8d5b1c-9c0e-4f3e-8a55-0d6f6f0f7a11"
CONTEXT = f"[None {REQUEST} admin admin - - default default]"
BAD = f"""\
2026-11-29 12:05:00.000 7 WARNING nova.virt.libvirt.driver {CONTEXT} [instance: {SERVER}] Timeout waiting for \
[('network-vif-plugged', '{PORT}')] for instance with vm_state building and task_state spawning: <b>300</b> seconds
2026-11-29 12:05:00.900 7 ERROR nova.compute.manager {CONTEXT} [instance: {SERVER}] Failed to allocate network(s): \
nova.exception.VirtualInterfaceCreateException: Virtual Interface creation failed
2026-11-29 12:05:00.900 7 ERROR nova.compute.manager [instance: {SERVER}] Traceback (most recent call last):
2026-11-29 12:05:00.900 7 ERROR nova.compute.manager [instance: {SERVER}] nova.exception.\
VirtualInterfaceCreateException: Virtual Interface creation failed
"""


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A host that waited in vain, and a guest that nothing is wrong with."""
    folder = tmp_path / "logs"
    (folder / "c01").mkdir(parents=True)
    (folder / "c01" / "nova-compute.log").write_text(BAD)
    return folder


def conforms(text: str, schema: str):
    """The document, by its schema."""
    found = json.loads(text)
    jsonschema.validate(found, json.loads((SCHEMAS / f"{schema}.json").read_text()))
    return found


def test_a_server(run, logs) -> None:
    """Its cause with the host and the port, evidence, what to do; what was read is said."""
    done = run("diagnose", "server", SERVER, "--logs", logs)
    assert done.code == Exit.FINDINGS
    assert "1. vif-plugging-timeout (certain)" in done.out
    assert f"port {PORT} was never reported as plugged" in " ".join(done.out.split())
    assert "read 1 logs" in done.out
    assert "only the logs are read" in done.err


def test_a_server_in_json(run, logs) -> None:
    """By its schema; the port and the request were followed."""
    found = conforms(run("diagnose", "server", SERVER, "--logs", logs, "-f", "json").out, "diagnosis")
    assert [cause["cause"] for cause in found["causes"]] == ["vif-plugging-timeout"]
    assert {one["id"]: one["kind"] for one in found["related"]} == {PORT: "port", REQUEST: "request"}
    assert found["timeline"][0]["at"] == "2026-11-29T12:05:00.000+00:00"


@pytest.mark.parametrize(("kind", "name"), [("port", PORT), ("request", REQUEST), ("host", "c01")])
def test_other_objects(run, logs, kind: str, name: str) -> None:
    """The same trouble from where else one may begin."""
    found = conforms(run("diagnose", kind, name, "--logs", logs, "-f", "json").out, "diagnosis")
    assert "vif-plugging-timeout" in [cause["cause"] for cause in found["causes"]]


class _Page(HTMLParser):
    """What a page has: tags that are open, ids, links, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        found = dict(attrs)
        if tag != "meta":
            self.open.append(tag)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found["href"] or ""] if "href" in found else []
        self.loads += [tag] if tag in ("script", "img", "link", "iframe") or "src" in found else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """It is closed at once, as those of SVG may be."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """It closes the last one."""
        assert self.open.pop() == tag


def test_the_page(run, logs, tmp_path) -> None:
    """Well-formed, nothing of the cloud is markup, every link leads to an entry; nothing is loaded."""
    path = tmp_path / "page.html"
    run("diagnose", "server", SERVER, "--logs", logs, "--html", path)
    text = path.read_text()
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.loads == []
    assert page.links
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert "<b>300" not in text
    assert "&lt;b&gt;300" in text
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert path.stat().st_mode & 0o077 == 0


def test_nothing_wrong(run, tmp_path) -> None:
    """Exit code 0, and what was looked at."""
    (tmp_path / "nova-api.log").write_text(f"2026-11-29 12:00:00.000 7 INFO nova.api {CONTEXT} /servers/{SERVER}\n")
    done = run("diagnose", "server", SERVER, "--logs", tmp_path / "nova-api.log")
    assert done.code == Exit.CLEAN
    assert "no cause of the catalogue fits" in done.out
    assert "nothing in what was read is an error" in done.out


def test_nothing_found_and_something_unread(run, tmp_path) -> None:
    """Exit code 7: it may be in what could not be read."""
    (tmp_path / "system.journal").write_bytes(b"LPKSHHRH" + bytes(100))
    done = run("diagnose", "server", SERVER, "--logs", tmp_path)
    assert done.code == Exit.INCOMPLETE
    assert "journalctl -o export" in done.out


def test_what_fails_most(run, logs) -> None:
    """By cause and by message; what was not in the window before is new."""
    old = f"2026-11-29 11:55:00.900 7 ERROR nova.compute.manager {CONTEXT} [instance: {SERVER}] Build of 3 failed\n"
    new = "".join(old.replace("11:55", f"12:0{n}").replace("Build of 3", f"Build of {n}") for n in range(4))
    (logs / "c02").mkdir()
    (logs / "c02" / "nova-compute.log").write_text(old + new)
    window = ("--since", "2026-11-29T12:00", "--until", "2026-11-29T12:10", "--logs", str(logs))
    found = conforms(run("diagnose", *window, "-f", "json").out, "diagnosis-summary")
    by = {group["template"]: group for group in found["groups"]}
    many = by["[instance: <id>] Build of <n> failed"]
    assert (many["count"], many["before"], many["new"], many["hosts"]) == (4, 1, False, {"c02": 4})
    assert "vif-plugging-timeout" in {group["cause"] for group in found["groups"] if group["new"]}
    done = run("diagnose", *window)
    assert done.code == Exit.FINDINGS
    assert done.out.index("Build of <n> failed") < done.out.index("vif-plugging-timeout")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("diagnose", "--since", "1h"), "no logs are given"),
        (("diagnose", "--since", "1h", "--until", "2020-01-01", "--logs", "logs"), "ends before it begins"),
        (("diagnose", "request", "7", "--logs", "logs"), "is not a request id"),
        (("diagnose", "server", "web-1", "--logs", "logs"), "no database is configured"),
        (("diagnose", "server", SERVER), "no configuration"),
        (("diagnose", "server", SERVER, "--logs", "/no/where"), "no such file or folder"),
        (("cause", "show", "imagecontentmissing"), "Did you mean image-content-missing"),
    ],
)
def test_wrong_words(run, words: tuple[str, ...], said: str, logs, monkeypatch) -> None:
    """Exit code 2, with the way out."""
    monkeypatch.chdir(logs.parent)
    done = run(*words)
    assert done.code == Exit.USAGE
    assert said in done.err


def test_the_catalogue_of_causes(run) -> None:
    """Lists and pages follow their schemas."""
    names = [one["name"] for one in conforms(run("cause", "list", "-f", "json").out, "causes")]
    assert len(names) >= 25
    assert conforms(run("cause", "show", names[0], "-f", "json").out, "cause")["name"] == names[0]


def test_logs_are_read_once_into_a_snapshot(run, logs, tmp_path) -> None:
    """A second diagnosis of the window needs the logs no more, and says the same; so does the summary."""
    before = json.loads(run("diagnose", "server", SERVER, "--logs", logs, "-f", "json").out)
    window = ("--since", "2026-11-29T12:00", "--until", "2026-11-29T13:00")
    summed = json.loads(run("diagnose", *window, "--logs", logs, "-f", "json").out)
    made = run("snapshot", "create", "--out", tmp_path / "snap", "--logs", logs, "--since", "2026-11-29T11:00")
    assert made.code == Exit.CLEAN
    assert f"diagnose server SERVER --snapshot {tmp_path / 'snap'}" in made.err
    shutil.rmtree(logs)
    done = run("diagnose", "server", SERVER, "--snapshot", tmp_path / "snap", "-f", "json")
    after = conforms(done.out, "diagnosis")
    assert done.code == Exit.FINDINGS
    for part in ("causes", "timeline", "related", "clocks"):
        assert after[part] == before[part]
    again = json.loads(run("diagnose", *window, "--snapshot", tmp_path / "snap", "-f", "json").out)
    assert again["groups"] == summed["groups"]
    early = run("diagnose", "server", SERVER, "--snapshot", tmp_path / "snap", "--since", "2026-11-28", "-f", "json")
    assert "its messages begin at 2026-11-29T11:00:00Z" in early.out


def test_a_snapshot_without_logs_is_an_error(run, logs, tmp_path) -> None:
    """It says how to make one; and a snapshot and logs cannot be mixed."""
    (tmp_path / "snap").mkdir()
    done = run("diagnose", "server", SERVER, "--snapshot", tmp_path / "snap")
    assert done.code != Exit.CLEAN
    assert "has no logs" in done.err
    assert "snapshot create --logs" in done.err
    assert "takes the place of logs" in run("diagnose", "server", SERVER, "--snapshot", tmp_path, "--logs", logs).err


def test_a_bundle_of_logs_alone(run, logs, tmp_path) -> None:
    """A sosreport without a dump is diagnosed like logs."""
    with tarfile.open(tmp_path / "sosreport-c01.tar.xz", "w:xz") as archive:
        archive.add(logs, "sosreport-c01/var/log")
    done = run("diagnose", "server", SERVER, "--bundle", tmp_path / "sosreport-c01.tar.xz", "-f", "json")
    found = conforms(done.out, "diagnosis")
    assert [cause["cause"] for cause in found["causes"]] == ["vif-plugging-timeout"]
    assert found["looked"]["unread"] == {}
