# SPDX-License-Identifier: Apache-2.0
"""``openstack mend ...``: the real client, in processes of its own, on the cloud in SQLite files."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import jsonschema
import pytest

from stackmend.cli.commands.demo import repairable
from stackmend.cli.manager import Commands
from stackmend.cli.plugin import API_NAME
from stackmend.model.errors import Exit
from stackmend_lab.rehearsal import choices

SCHEMAS = Path(__file__).parent.parent.parent / "docs" / "schemas"
#: what only a command that runs may load; the client itself has others that take long
HEAVY = {"duckdb", "pyarrow", "sqlalchemy", "pymysql", "MySQLdb", "jinja2", "stackmend.app", "stackmend.engine"}

#: a command that says which cloud it was given, and what it would connect to
_WHICH_CLOUD = """
import sys
from cliff.commandmanager import EntryPointWrapper
from openstackclient import shell
from stackmend.cli.base import Command

class Which(Command):
    def take_action(self, parsed_args):
        config = self.config()
        region = config.client().config if config.client else None
        print(config.cloud, region and region.name, region and region.config["auth"]["username"])
        print(self.typed("audit"))

client = shell.OpenStackShell()
client.command_manager.commands["mend which"] = EntryPointWrapper("mend which", Which)
client.NAME = "openstack"
sys.exit(client.run(sys.argv[1:]))
"""

#: a shell lets what it begins in the background ignore the signal
_INTERRUPTED = _WHICH_CLOUD.replace(
    "config = self.config()",
    "import os, signal as s; s.signal(s.SIGINT, s.default_int_handler); os.kill(os.getpid(), s.SIGINT)",
)

_CLOUDS = """
clouds:
  lab: {auth: {auth_url: "http://127.0.0.1:9/v3", username: of-lab, password: x, project_name: p,
               user_domain_id: default, project_domain_id: default}}
  other: {auth: {auth_url: "http://127.0.0.1:9/v3", username: of-other, password: x, project_name: p,
                 user_domain_id: default, project_domain_id: default}}
"""


def conforms(text: str, name: str) -> object:
    """The document, once it is known to follow its schema."""
    document = json.loads(text)
    jsonschema.validate(document, json.loads((SCHEMAS / f"{name}.json").read_text()))
    return document


def test_the_installed_package_names_every_command() -> None:
    """The entry points are exactly the commands that there are, each with its class, and the plugin itself."""
    points = importlib.metadata.distribution("stackmend").entry_points
    commands = {point.name: point.load() for point in points.select(group=f"openstack.{API_NAME}.v1")}
    there = {f"mend_{name.replace(' ', '_')}": entry.load() for name, entry in Commands()}
    assert commands == there, "the installed package is older than its commands: 'uv sync' installs it again"
    (plugin,) = points.select(group="openstack.cli.extension")
    assert (plugin.name, plugin.load().API_NAME) == (API_NAME, API_NAME)


def test_the_client_loads_nothing_heavy_for_its_own_help(openstack) -> None:
    """A plugin that slows down every start of ``openstack`` is removed soon."""
    code = (
        "import sys\nfrom openstackclient import shell\n"
        "try:\n    shell.main(sys.argv[1:])\nfinally:\n    print(*sys.modules, sep='\\n', file=sys.stderr)\n"
    )
    done = openstack("--help", program=(sys.executable, "-c", code))
    assert "mend audit" in done.out
    assert "--mend-config" in done.out
    assert sorted(set(done.err.split()) & HEAVY) == []
    short = openstack("--version", program=(sys.executable, "-c", code))
    ours = {name for name in short.err.split() if name.partition(".")[0] == "stackmend"}
    assert ours == {"stackmend", "stackmend.cli", "stackmend.cli.plugin"}


def test_an_audit_prints_what_stackmend_prints(openstack, broken_cloud, cloud_config, run) -> None:
    """The same document, the same summary, the same exit code; no authentication, even with a cloud given."""
    ours = run("--config", cloud_config, "audit", "-f", "json")
    done = openstack("--mend-config", cloud_config, "mend", "audit", "-f", "json", OS_AUTH_URL="http://127.0.0.1:9/v3")
    assert done.code == ours.code == Exit.FINDINGS
    findings = conforms(done.out, "findings")
    assert [f["fingerprint"] for f in findings] == [f["fingerprint"] for f in json.loads(ours.out)]
    assert f"next: openstack --mend-config {cloud_config} mend plan create" in done.err


def test_from_the_plan_to_the_undo(openstack, broken_cloud, cloud_config, tmp_path) -> None:
    """Plan, apply and undo, each with its own exit code, the configuration from the environment."""
    config = {"STACKMEND_CONFIG": str(cloud_config)}
    path = tmp_path / "plan.json"
    chosen = [word for name in choices(repairable()) for word in ("--repair", name)]
    planned = openstack("mend", "plan", "create", "--allow-db", *chosen, "--out", path, **config)
    assert planned.code == Exit.FINDINGS
    assert f"next: openstack mend plan apply {path}" in planned.err
    refused = openstack("mend", "plan", "apply", path, "--accept", "all", **config)
    assert refused.code == Exit.USAGE
    applied = openstack("mend", "plan", "apply", path, "--yes", "--accept", "all", "-f", "json", **config)
    assert applied.code == Exit.REPAIRED
    run = conforms(applied.out, "result")["run"]
    assert openstack("mend", "audit", **config).code == Exit.CLEAN
    assert openstack("mend", "run", "undo", run, "--yes", **config).code == Exit.CLEAN


def test_an_error_has_its_hint_and_its_exit_code(openstack, tmp_path) -> None:
    """What is wrong is two lines on stderr; nothing on stdout, no traceback."""
    done = openstack("--mend-config", tmp_path / "nowhere.toml", "mend", "audit")
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert done.err.splitlines() == [
        f"error: configuration file {tmp_path}/nowhere.toml does not exist",
        "hint: Check --mend-config or STACKMEND_CONFIG.",
    ]
    assert openstack("mend", "audit", "--bogus").code == Exit.USAGE
    quiet = openstack("-q", "mend", "snapshot", "list", STACKMEND_CONFIG=str(_empty(tmp_path)))
    assert (quiet.code, quiet.err) == (Exit.CLEAN, "")


def _empty(folder: Path) -> Path:
    path = folder / "empty.toml"
    path.write_text("")
    return path


def test_an_interruption_says_where_to_look(openstack) -> None:
    """Ctrl-C ends with 130, and with the words of ``stackmend``."""
    done = openstack("mend", "which", program=(sys.executable, "-c", _INTERRUPTED))
    assert done.code == 130
    assert done.err.splitlines() == [
        "error: interrupted",
        "hint: 'openstack mend run list' shows whether a run was started, and its state.",
    ]


def test_help_and_completion(openstack) -> None:
    """``openstack help mend ...`` shows examples as one types them there; completion has the commands and options."""
    done = openstack("help", "mend", "audit")
    assert done.code == 0
    assert "\n  $ openstack mend audit\n" in done.out
    assert "$ stackmend" not in done.out
    words = openstack("complete").out
    assert "cmds_mend_plan='apply create show'" in words
    assert "--accept" in words


@pytest.mark.parametrize(
    ("argv", "toml", "says"),
    [
        (["--os-cloud", ""], "", ["None None None", "openstack --mend-config {config} mend audit"]),
        ([], "", ["other other of-other", "openstack --mend-config {config} mend audit"]),
        (["--os-cloud", "lab"], "", ["lab lab of-lab", "openstack --os-cloud lab --mend-config {config} mend audit"]),
        (["--os-cloud", "lab"], '[api]\ncloud = "named"\n', ["named None None"]),
    ],
    ids=["none", "environment", "option", "configured"],
)
def test_the_clients_cloud_is_ours_where_none_is_configured(openstack, tmp_path, argv, toml, says) -> None:
    """``--os-cloud`` counts unless the configuration names a cloud; a next step repeats it."""
    config = tmp_path / "api.toml"
    config.write_text(toml)
    (tmp_path / "clouds.yaml").write_text(_CLOUDS)
    program = (sys.executable, "-c", _WHICH_CLOUD)
    env = {} if "" in argv else {"OS_CLOUD": "other"}
    done = openstack(*argv, "--mend-config", config, "mend", "which", program=program, **env)
    assert done.err == ""
    assert done.out.splitlines()[: len(says)] == [line.format(config=config) for line in says]
