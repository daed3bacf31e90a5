# SPDX-License-Identifier: Apache-2.0
"""Ports that outlive their servers, and ports taken from them: the same tests on the fake and on the real services."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Protocol

import pytest

from stackmend.model.errors import Exit

from .typed import Typed

Shown = dict[str, Any]
ALL = ("--allow-db", "--yes", "--accept", "all")


class Site(Protocol):
    """Nova and Neutron, with their databases."""

    toml: Path

    def server(self) -> tuple[str, str]:
        """(a server that is active and idle for long, the port that Nova made for it)."""
        ...

    def delete(self, server: str) -> None:
        """Have Nova delete it, and wait until it is gone."""
        ...

    def lose(self, server: str) -> None:
        """Take the server away, and leave its ports."""
        ...

    def started_without_nics(self, server: str) -> None:
        """Empty its cache, and have its ports be down: a hard reboot met the empty cache."""
        ...

    def port(self, port: str) -> Shown | None:
        """id, device_id, device_owner, host, addresses and dns_name; None where Neutron has none."""
        ...

    def rest(self, server: str) -> None:
        """Let the last thing that was done with the server be long ago."""
        ...


class Keeping(Typed):
    """What holds on each; ``site`` is a fixture of its own."""

    @pytest.mark.parametrize("kept", [True, False], ids=["kept", "released"])
    def test_the_deletion_of_the_server(self, site: Site, typed: Any, kept: bool) -> None:
        """After 'port keep' it leaves the port with its address, after 'port release' it does not."""
        server, port = site.server()
        before = site.port(port)
        assert before is not None
        code, _, err = typed("port", "keep", port, *ALL)
        assert code == Exit.REPAIRED, err
        assert "preserve_on_delete" in err
        if not kept:
            code, _, err = typed("port", "release", port, *ALL)
            assert code == Exit.REPAIRED, err
        site.delete(server)
        after = site.port(port)
        if kept:
            assert after is not None
            assert (after["device_id"], after["device_owner"]) == ("", "")
            assert after["addresses"] == before["addresses"]
        else:
            assert after is None

    def test_a_port_that_nova_would_delete(self, site: Site, typed: Any) -> None:
        """Is not detached, unless it may be kept first; then it is there, and undo attaches it again."""
        _, port = site.server()
        before = site.port(port)
        assert before is not None
        code, _, err = typed("port", "detach", port, "--yes", "--accept", "detach-port")
        assert code == Exit.STOPPED, err
        assert f"Nova deletes port {port} when it is detached" in err
        assert site.port(port) == before
        code, out, err = typed("port", "detach", port, *ALL, "-f", "json")
        assert code == Exit.REPAIRED, err
        after = site.port(port)
        assert after is not None
        assert (after["device_id"], after["device_owner"], after["host"]) == ("", "", "")
        assert after["addresses"] == before["addresses"]
        again, _, err = typed("port", "detach", port, *ALL)
        assert (again, f"port {port} is on no server" in err) == (Exit.CLEAN, True), err
        run = json.loads(out)["run"]
        assert typed("run", "undo", run, "--yes")[0] == Exit.CLEAN
        assert site.port(port) == before

    def test_a_port_that_is_to_end(self, site: Site, typed: Any) -> None:
        """Nova deletes it; nothing takes that back, and the plan says so."""
        _, port = site.server()
        code, out, err = typed("port", "detach", port, "--delete", "-f", "json")
        assert code == Exit.FINDINGS, err
        assert "are deleted with it" in " ".join(json.loads(out)["actions"][0]["evidence"])
        code, _, err = typed("port", "detach", port, "--delete", "--yes", "--accept", "detach-port")
        assert code == Exit.REPAIRED, err
        assert "none of it can be undone" in err
        assert site.port(port) is None

    def test_ports_that_are_attached_again(self, site: Site, typed: Any, tmp_path: Path) -> None:
        """As the default plan says: the guest has its NIC again, the audit is clean; undo takes it all back."""
        server, port = site.server()
        before = site.port(port)
        site.started_without_nics(server)
        audit = ("audit", "--check", "info-cache-empty", "--server", server)
        assert typed(*audit)[0] == Exit.FINDINGS
        plan, words = str(tmp_path / "plan.json"), ("plan", "create", *audit[1:], "--allow-db", "-f", "json")
        _, out, err = typed(*words)
        (action,) = json.loads(out)["actions"]
        assert action["repair"] == "rebuild-info-cache", err
        again, anew = (found.split() for found in re.findall("'stackmend ([^']+)'", " ".join(action["evidence"])))
        assert anew == ["server", "recreate", server, "--keep-ports"]
        _, out, err = typed(*again, "-f", "json", "--out", plan)
        assert [one["repair"] for one in json.loads(out)["actions"]] == ["reattach-ports"], err
        code, out, err = typed("plan", "apply", plan, "--yes", "--accept", "reattach-ports", "-f", "json")
        assert code == Exit.REPAIRED, err
        run = json.loads(out)["run"]
        assert site.port(port) == before
        assert typed(*audit)[0] == Exit.CLEAN
        _, out, _ = typed("port", "list", "--server", server, "-f", "json")
        assert [(one["port"], one["fate"]) for one in json.loads(out)] == [(port, "kept")]
        code, out, err = typed("plan", "apply", plan, "--yes", "--accept", "reattach-ports", "-f", "json")
        assert json.loads(out)["steps"] == 0, err
        code, _, err = typed("run", "undo", run, "--yes")
        assert code == Exit.CLEAN, err
        assert site.port(port) == before
        site.rest(server)
        assert typed(*audit)[0] == Exit.FINDINGS

    def test_a_server_that_is_gone(self, site: Site, typed: Any) -> None:
        """Neutron lets go of the port, and of its server's name in DNS; undo gives it device and name back."""
        server, port = site.server()
        site.lose(server)
        before = site.port(port)
        assert before is not None
        assert before["dns_name"]
        code, out, err = typed("port", "detach", port, *ALL, "-f", "json")
        assert code == Exit.REPAIRED, err
        after = site.port(port)
        assert after is not None
        assert after["dns_name"] == ""
        assert (after["device_id"], after["device_owner"], after["host"]) == ("", "", "")
        assert after["addresses"] == before["addresses"]
        assert typed("run", "undo", json.loads(out)["run"], "--yes")[0] == Exit.CLEAN
        assert site.port(port) == before
