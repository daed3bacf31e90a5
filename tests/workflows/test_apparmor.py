# SPDX-License-Identifier: Apache-2.0
"""A guest's AppArmor profile, read from a tree that stands in for its host: no kernel is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from stackmend.app import runs, workflows
from stackmend.app.objects import confinement
from stackmend.config.settings import Config, load
from stackmend.hosts import apparmor
from stackmend.hosts.apparmor import Verdict
from stackmend.model.errors import ConfigError, Exit, HostUnreachable, SourceError, UsageError
from stackmend.model.journal import RunResult
from stackmend.model.plan import Plan
from stackmend.model.step import HostCommand
from stackmend.report.objects.confinement import confined
from stackmend_lab.cloud import Server, build
from stackmend_lab.plants._networks import new_port

from ..drivers.api.serving import serving
from .apparmor_tree import OTHER, UUID, Tree
from .instances import here
from .services import Services

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/apparmor.json").read_text())


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A host with one guest that has a NIC."""
    made = Tree(tmp_path / "host")
    monkeypatch.setenv("PATH", f"{made.root}/bin:{os.environ['PATH']}")
    made.guest(OTHER, "instance-0000000b", '"/dev/vhost-net" rw,', '"/dev/net/tun" rw,')
    return made


def look(tree: Tree) -> apparmor.Profile:
    """The profile of the guest."""
    return apparmor.look(here("c1"), "c1", UUID, str(tree.root))


def test_a_guest_that_started_without_a_nic(tree: Tree) -> None:
    """Denied: the rule that it lacks is shown, and nothing that differs by the guest's name or disk."""
    tree.guest(UUID, "instance-0000000a", '"/dev/net/tun" rw,')
    tree.denied(UUID)
    found = look(tree)
    assert found.verdict is Verdict.DENIED
    assert (found.only_there, found.only_here) == (("/dev/vhost-net rw,",), ())
    assert found.other == f"/etc/apparmor.d/libvirt/libvirt-{OTHER}.files"
    assert "DENIED" in found.denied[0]


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ('  "/dev/vhost-net" rw,', Verdict.ALLOWED),
        (f"{apparmor.RULE}\n{apparmor.LOADED}", Verdict.ALLOWED),
        (apparmor.RULE, Verdict.WRITTEN),
        ("/dev/vhost-net rwk,", Verdict.WRITTEN),
    ],
)
def test_a_rule_in_quotes_or_not(tree: Tree, line: str, verdict: Verdict) -> None:
    """Both are rules; a denial of before is history then. What libvirt wrote it has loaded, others may not have."""
    file = tree.guest(UUID, "instance-0000000a")
    tree.denied(UUID)
    assert look(tree).verdict is Verdict.DENIED
    file.write_text(file.read_text() + line + "\n")
    assert look(tree).verdict is verdict


@pytest.mark.parametrize("line", ['  "/dev/vhost-net" rw,', apparmor.RULE])
def test_when_the_kernel_was_given_the_profile(tree: Tree, line: str) -> None:
    """Before the rule was written: it enforces what it was given then. After: the rule, whoever wrote it."""
    file = tree.guest(UUID, "instance-0000000a", line.strip())
    tree.kernel(UUID, file.stat().st_mtime - 60)
    assert look(tree).verdict is Verdict.WRITTEN
    tree.kernel(UUID, file.stat().st_mtime + 0.001)
    assert look(tree).verdict is Verdict.ALLOWED


def test_a_rule_for_every_guest_that_came_later(tree: Tree) -> None:
    """A guest that runs since before has a profile without it; it is loaded, and counts, when the guest starts anew."""
    file = tree.guest(UUID, "instance-0000000a")
    rule = tree.write("etc/apparmor.d/local/abstractions/libvirt-qemu", "/dev/vhost-net rw,\n")
    os.utime(rule, (0, file.stat().st_mtime + 60))
    assert look(tree).verdict is Verdict.WRITTEN
    os.utime(rule, (0, file.stat().st_mtime - 60))
    assert look(tree).verdict is Verdict.ALLOWED
    tree.kernel(UUID, file.stat().st_mtime - 120)
    assert look(tree).verdict is Verdict.WRITTEN


@pytest.mark.parametrize(
    "line", ["# /dev/vhost-net rw,", "deny /dev/vhost-net rw,", "/dev/vhost-net r,", "/dev/vhost rw,"]
)
def test_what_is_no_rule(tree: Tree, line: str) -> None:
    """A comment, a denial, half a rule and another device do not open it."""
    tree.guest(UUID, "instance-0000000a", line)
    assert look(tree).verdict is Verdict.LACKING


def test_what_is_not_the_profile(tree: Tree) -> None:
    """A rule for every guest, a denial of another guest or device, a guest that is off, complain mode, no AppArmor."""
    assert look(tree).verdict is Verdict.NONE
    tree.guest(UUID, "instance-0000000a")
    tree.denied(OTHER)
    tree.denied(UUID, "/etc/gss/mech.d/")
    assert look(tree).verdict is Verdict.LACKING
    tree.every()
    assert look(tree).verdict is Verdict.ALLOWED
    tree.loaded.clear()
    tree.guest(UUID, "instance-0000000a", mode="complain")
    assert look(tree).verdict is Verdict.NONE
    tree.write("sys/module/apparmor/parameters/enabled", "N\n")
    assert look(tree).verdict is Verdict.OFF


def test_the_commands_do_what_they_say(tree: Tree) -> None:
    """Typed on the host, with its apparmor_parser: the file has the rule, and the profile is loaded again."""
    file = tree.guest(UUID, "instance-0000000a")
    tree.parser()
    typed = "; ".join(apparmor.by_hand(UUID, Verdict.DENIED)).replace("/etc/", f"{tree.root}/etc/")
    assert here("c1").run("c1", ("sh", "-c", typed)).code == 0
    assert file.read_text().endswith("  /dev/vhost-net rw,\n")
    assert (tree.root / "parsed").read_text() == f"-r {tree.root}/etc/apparmor.d/libvirt/libvirt-{UUID}\n"
    tree.kernel(UUID, file.stat().st_mtime + 1)
    assert look(tree).verdict is Verdict.ALLOWED


def test_a_rule_that_only_has_to_be_loaded(tree: Tree, standing: tuple[Server, Services], tmp_path: Path) -> None:
    """That is all there is to type: it is not written a second time."""
    server, services = standing
    tree.guest(server.uuid, "instance-0000000a", "/dev/vhost-net rw,")
    found = confinement.look(configured(tmp_path, services, f'local = ["{server.host}"]'), server.uuid, str(tree.root))
    assert found.commands == (f"apparmor_parser -r /etc/apparmor.d/libvirt/libvirt-{server.uuid}",)
    assert "is not known to be loaded" in confined(found).text


def test_what_is_no_server() -> None:
    """Nothing but a uuid gets into a command."""
    with pytest.raises(SourceError, match="not the UUID of a server"):
        apparmor.look(here("c1"), "c1", "$(reboot)", "")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Services]]:
    """A server, and Nova."""
    folder = tmp_path_factory.mktemp("apparmor")
    cloud = build(folder / "cloud", servers=60)
    services = Services(cloud, folder)
    with serving(services):
        yield cloud.pick("active"), services
    cloud.close()


def configured(folder: Path, services: Services, hosts: str) -> Config:
    """The API, and these hosts."""
    path = folder / "stackmend.toml"
    path.write_text(f'[state]\ndirectory = "{folder}/state"\n{services.toml()}[hosts]\n{hosts}\n')
    return load(str(path))


def test_what_nova_says_and_what_the_host_says(standing: tuple[Server, Services], tree: Tree, tmp_path: Path) -> None:
    """One page: the failed attach, the profile, what to type."""
    server, services = standing
    config = configured(tmp_path, services, f'local = ["{server.host}"]')
    tree.guest(server.uuid, "instance-0000000a")
    tree.denied(server.uuid)
    found = confinement.look(config, server.uuid, str(tree.root))
    document = confined(found)
    jsonschema.validate(document.data, SCHEMA)
    assert found.kept
    assert f"AppArmor on {server.host} has denied it /dev/vhost-net" in document.text
    assert f"apparmor_parser -r /etc/apparmor.d/libvirt/libvirt-{server.uuid}" in document.text
    tree.every()
    assert confinement.look(config, server.uuid, str(tree.root)).commands == ()


@pytest.mark.parametrize(
    ("events", "attach", "words"),
    [
        (
            {"details": f"Failed to attach network adapter device to {UUID}"},
            "failed",
            f"failed in the hypervisor: Failed to attach network adapter device to {UUID}",
        ),
        (
            {
                "traceback": '  File "manager.py", line 8680, in _attach_interface\n'
                "    raise exception.InterfaceAttachFailed(\n"
            },
            "failed",
            "failed in the hypervisor: raise exception.InterfaceAttachFailed(",
        ),
        ({"details": f"Port {OTHER} is still in use."}, "refused", f"failed, and not in the hypervisor: Port {OTHER}"),
        ({}, "failed", "recorded failed\n"),
    ],
)
def test_what_the_last_attach_failed_with(
    standing: tuple[Server, Services], tree: Tree, tmp_path: Path, events: dict[str, str], attach: str, words: str
) -> None:
    """Nova's words tell what the hypervisor could not do from what Nova or Neutron would not."""
    server, services = standing
    tree.guest(server.uuid, "instance-0000000a")
    tree.denied(server.uuid)
    services.acted(server.uuid, "attach_interface", "Error", **events)
    found = confinement.look(configured(tmp_path, services, f'local = ["{server.host}"]'), server.uuid, str(tree.root))
    document = confined(found)
    jsonschema.validate(document.data, SCHEMA)
    assert found.attach == attach
    assert f"the last attach of a NIC that Nova {words if words.startswith('recorded') else f'recorded {words}'}" in (
        document.text
    )


def test_what_nova_compute_logged(tree: Tree) -> None:
    """Of this guest alone: that QEMU was handed no descriptor is how it looks from libvirt."""
    tree.guest(UUID, "instance-0000000a")
    for server in (OTHER, UUID):
        tree.failed(server)
    found = look(tree)
    said = "libvirt.libvirtError: internal error: unable to execute QEMU command 'getfd'"
    assert [line.partition("] ")[2] for line in found.log] == [
        f"attaching network adapter failed.: {said}",
        f"{said}: No file descriptor supplied via SCM_RIGHTS",
    ]
    assert all(UUID in line for line in found.log)


def test_a_host_that_cannot_be_asked(standing: tuple[Server, Services], tmp_path: Path) -> None:
    """No way to any host is an error of the configuration, none to this one is no answer."""
    server, services = standing
    with pytest.raises(ConfigError, match="no access to hosts"):
        confinement.look(configured(tmp_path, services, ""), server.uuid)
    with pytest.raises(HostUnreachable):
        confinement.look(configured(tmp_path, services, 'local = ["c9999"]'), server.uuid)


class Mending:
    """A guest whose profile is to be mended."""

    def __init__(self, server: Server, services: Services, tree: Tree, folder: Path) -> None:
        self.server, self.services, self.tree = server, services, tree
        self.config = configured(folder, services, f'local = ["{server.host}"]')
        self.file = tree.guest(server.uuid, "instance-0000000a")
        tree.denied(server.uuid)
        tree.parser()
        self.before = self.file.read_text()

    def plan(self, port: str = "") -> Plan:
        """The plan of the workflow."""
        asked = {"server": self.server.uuid, "root": str(self.tree.root), "port": port}
        return workflows.plan(self.config, "permit-vhost-net", asked)

    def apply(self, plan: Plan | None = None) -> RunResult:
        """Carry it out."""
        return runs.apply(self.config, plan or self.plan())


@pytest.fixture
def mending(standing: tuple[Server, Services], tree: Tree, tmp_path: Path) -> Mending:
    """It runs on its host, and was denied the device."""
    return Mending(*standing, tree, tmp_path)


def test_the_rule_is_added_loaded_and_taken_back(mending: Mending) -> None:
    """Once: applied again nothing is done; undo gives the file back byte by byte, and loads that."""
    plan = mending.plan()
    result = mending.apply(plan)
    assert (result.exit, result.done, result.failed) == (Exit.REPAIRED, 1, 0), result.notes
    assert mending.file.read_text() == f"{mending.before}{apparmor.RULE}\n{apparmor.LOADED}\n"
    assert f"{apparmor.RULE}\n" in (mending.tree.root / "kernel").read_text()
    assert apparmor.look(here("c"), "c", mending.server.uuid, str(mending.tree.root)).verdict is Verdict.ALLOWED
    parsed = (mending.tree.root / "parsed").read_text()
    mending.apply(plan)
    assert (mending.tree.root / "parsed").read_text() == parsed
    assert not mending.plan().runnable
    assert runs.undo(mending.config, result.run).exit is Exit.CLEAN
    assert mending.file.read_text() == mending.before == (mending.tree.root / "kernel").read_text()


def test_the_port_is_attached_and_detached(mending: Mending) -> None:
    """By Nova, once the rule is loaded; undo detaches it, keeps it, and removes the rule."""
    cloud = mending.services.cloud
    free = new_port(cloud, mending.server, "", cloud.ago(3600), device_owner="")
    result = mending.apply(mending.plan(free))
    assert (result.exit, result.done, result.failed) == (Exit.REPAIRED, 1, 0), result.notes
    port = mending.services.port(free)
    assert (port["device_id"], port["host"]) == (mending.server.uuid, mending.server.host)
    assert runs.undo(mending.config, result.run).exit is Exit.CLEAN
    assert mending.services.port(free)["device_id"] == ""
    assert mending.file.read_text() == mending.before


def test_a_port_that_somebody_has(mending: Mending) -> None:
    """It is not taken from him, nor one that is not there; nothing is done on the host."""
    own = mending.services.need("Port", "neutron", "SELECT id FROM ports WHERE device_id = :s", s=mending.server.uuid)[
        "id"
    ]
    plan = mending.plan(own)
    assert not plan.runnable
    assert f"port {own} belongs to {mending.server.uuid}" in plan.not_repaired[0].reason
    with pytest.raises(UsageError, match="there is no port"):
        mending.plan(UUID)


def test_a_compute_service_that_is_down(mending: Mending) -> None:
    """The plan says so: Nova would attach nothing. The rule alone needs no nova-compute."""
    cloud, host = mending.services.cloud, mending.server.host
    free = new_port(cloud, mending.server, "", cloud.ago(3600), device_owner="")
    where = {"host": host, "binary": "nova-compute"}
    cloud.update(mending.server.database, "services", where, forced_down=1)
    try:
        plan = mending.plan(free)
        assert not plan.runnable
        assert "nova-compute on its host is down" in plan.not_repaired[0].reason
        assert mending.plan().runnable
    finally:
        cloud.update(mending.server.database, "services", where, forced_down=0)


@pytest.mark.attack("kills the run between writing the rule and loading the profile")
def test_killed_before_the_profile_is_loaded(mending: Mending) -> None:
    """It is not called allowed; applied again it is loaded, and written once."""
    mending.tree.kernel(mending.server.uuid, mending.file.stat().st_mtime)
    mending.tree.parser(kills=True)
    step = mending.plan().actions[0].steps[0]
    assert isinstance(step, HostCommand)
    assert here(step.host).run(step.host, step.argv, limit=10).code != 0
    assert mending.file.read_text() == f"{mending.before}{apparmor.RULE}\n"
    root = str(mending.tree.root)
    assert apparmor.look(here("c"), "c", mending.server.uuid, root).verdict is Verdict.WRITTEN
    mending.tree.parser()
    result = mending.apply()
    assert (result.exit, result.done) == (Exit.REPAIRED, 1), result.notes
    assert mending.file.read_text() == f"{mending.before}{apparmor.RULE}\n{apparmor.LOADED}\n"
    assert apparmor.look(here("c"), "c", mending.server.uuid, root).verdict is Verdict.ALLOWED


def test_a_profile_that_does_not_load_is_put_back(mending: Mending) -> None:
    """The step has failed, and the file is as it was."""
    mending.tree.parser(code=1)
    result = mending.apply()
    assert (result.done, result.failed) == (0, 1)
    assert mending.file.read_text() == mending.before


def test_a_file_that_libvirt_has_written_since(mending: Mending) -> None:
    """A disk was attached meanwhile: nothing is written, and the note says why."""
    plan = mending.plan()
    mending.file.write_text(mending.before + '  "/dev/sdb" rwk,\n')
    result = mending.apply(plan)
    assert result.failed == 1
    assert "it has changed since the plan was made" in " ".join(result.notes)
    assert mending.file.read_text() == mending.before + '  "/dev/sdb" rwk,\n'


def test_a_step_that_broke_off_before_the_profile_was_loaded(mending: Mending) -> None:
    """The rule is there, and nobody has loaded it: it is not taken for done."""
    plan = mending.plan()
    mending.file.write_text(f"{mending.before}{apparmor.RULE}\n")
    result = mending.apply(plan)
    assert (result.exit, result.done) == (Exit.REPAIRED, 1), result.notes
    assert mending.file.read_text() == f"{mending.before}{apparmor.RULE}\n{apparmor.LOADED}\n"


def test_a_guest_that_has_stopped_meanwhile(mending: Mending) -> None:
    """libvirt has removed its file: nothing is made, and undo has nothing to take back."""
    plan = mending.plan()
    result = mending.apply(plan)
    mending.file.unlink()
    assert runs.undo(mending.config, result.run).exit is Exit.CLEAN
    assert not mending.file.exists()
    again = mending.apply(plan)
    assert again.failed == 1
    assert not mending.file.exists()


def test_a_file_that_is_a_link(mending: Mending) -> None:
    """Nothing is written through it."""
    plan = mending.plan()
    target = mending.file.rename(mending.file.with_suffix(".away"))
    mending.file.symlink_to(target)
    assert mending.apply(plan).failed == 1
    assert target.read_text() == mending.before
