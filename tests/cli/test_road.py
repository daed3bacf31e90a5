# SPDX-License-Identifier: Apache-2.0
"""Audit, plan, apply, resume, undo, by the commands an operator types, on a cloud in SQLite files."""

from __future__ import annotations

import csv
import html
import io
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from stackmend.cli.commands.demo import repairable
from stackmend.model.errors import Exit
from stackmend.report.clean import printable
from stackmend.report.table import columns
from stackmend_lab.rehearsal import choices

from .conftest import SOME

SCHEMAS = Path(__file__).parent.parent.parent / "docs" / "schemas"


def conforms(text, name):
    """The document, once it is known to follow its schema."""
    document = json.loads(text)
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    return document


@pytest.fixture
def stackmend(run, cloud_config):
    """Run a command on the cloud."""
    return lambda *argv: run("--config", cloud_config, *argv)


def planned(stackmend, path, checks=()):
    """A plan for everything that is wrong, or for what these checks find, in a file."""
    words = [word for name in choices(repairable()) for word in ("--repair", name)]
    words += [word for name in sorted(checks) for word in ("--check", name)]
    done = stackmend("plan", "create", "--allow-db", *words, "--out", path)
    assert done.code == Exit.FINDINGS
    return path


@pytest.fixture
def plan(broken_cloud, stackmend, tmp_path):
    """A plan for the broken cloud."""
    return planned(stackmend, tmp_path / "plan.json", SOME)


@pytest.fixture
def whole_plan(ruined_cloud, stackmend, tmp_path):
    """A plan with each repair there is."""
    return planned(stackmend, tmp_path / "plan.json")


@pytest.fixture
def applied(plan, stackmend):
    """The id of a run that has mended everything."""
    done = stackmend("plan", "apply", plan, "--yes", "--accept", "all", "-f", "json")
    assert done.code == Exit.REPAIRED
    return conforms(done.out, "result")["run"]


def test_a_healthy_cloud_is_clean(stackmend):
    """No finding, exit 0, and nothing on stdout in a table."""
    done = stackmend("audit")
    assert (done.code, done.out) == (Exit.CLEAN, "")
    assert "no findings in" in done.err


def test_findings_in_json(broken_cloud, stackmend):
    """One JSON array, as documented, and exit 3."""
    done = stackmend("audit", "-f", "json")
    assert done.code == Exit.FINDINGS
    found = conforms(done.out, "findings")
    assert {finding["state"] for finding in found} == {"confirmed"}
    assert len({finding["check"] for finding in found}) > 3


def test_findings_as_yaml_csv_and_value(broken_cloud, stackmend):
    """Every format says the same, and -c goes into the objects."""
    found = json.loads(stackmend("audit", "-f", "json").out)
    again = yaml.safe_load(stackmend("audit", "-f", "yaml").out)
    assert [f["fingerprint"] for f in again] == [f["fingerprint"] for f in found]
    rows = list(csv.DictReader(io.StringIO(stackmend("audit", "-f", "csv").out)))
    assert [row["fingerprint"] for row in rows] == [f["fingerprint"] for f in found]
    lines = stackmend("audit", "-f", "value", "-c", "resource.id").out.splitlines()
    assert lines == [f["resource"]["id"] for f in found]


@pytest.mark.parametrize("form", ["text", "table"])
def test_people_see_each_finding_and_what_is_next(ruined_cloud, stackmend, cloud_config, form):
    """The findings are on stdout, as text or as a table; the summary and the next command on stderr."""
    found = json.loads(stackmend("audit", "-f", "json").out)
    done = stackmend("audit", "-f", form)
    assert done.code == Exit.FINDINGS
    assert [f["fingerprint"] in done.out for f in found] == [True] * len(found)
    assert f"next: stackmend --config {cloud_config} plan create --allow-db --out plan.json" in done.err


def test_what_is_next_is_about_the_same(broken_cloud, stackmend):
    """An audit of one check suggests a plan of that check, not of everything."""
    check = json.loads(stackmend("audit", "-f", "json").out)[0]["check"]
    assert f"plan create --check {check} --allow-db --out plan.json" in stackmend("audit", "--check", check).err


def test_an_audit_for_people_names_servers_and_projects(ruined_cloud, stackmend):
    """Grouped by check, worst first; each object with its name, project and host."""
    done = stackmend("audit", "--group-by", "project")
    assert done.out.startswith("ERROR    project ")
    assert "by project: " in done.err
    assert_fits(done.out)


def test_quiet_says_nothing_but_the_document(broken_cloud, run, cloud_config):
    """`-q` leaves stderr empty when all is well with the audit itself."""
    done = run("-q", "--config", cloud_config, "audit", "-f", "json")
    assert (done.code, done.err) == (Exit.FINDINGS, "")


def test_one_check_and_one_server(broken_cloud, stackmend):
    """An audit can be narrowed to a check."""
    found = json.loads(stackmend("audit", "--check", "allocation-orphan", "-f", "json").out)
    assert {f["check"] for f in found} == {"allocation-orphan"}


def assert_fits(text: str) -> None:
    """No line is longer than 80 columns, unless it is one word: an identifier is never broken."""
    assert [line for line in text.splitlines() if columns(line) > 80 and len(line.split()) > 1] == []


def test_the_plan_file_and_its_text(whole_plan, stackmend):
    """The file follows its schema; its text has every row that changes, the risks and the limits."""
    document = conforms(whole_plan.read_text(), "plan-file")
    assert whole_plan.stat().st_mode & 0o777 == 0o600
    done = stackmend("plan", "show", whole_plan)
    literal = stackmend("plan", "show", whole_plan, "--sql")
    assert done.code == literal.code == Exit.CLEAN
    for action in document["plan"]["actions"]:
        assert f"{action['id']}  {action['repair']}" in done.out
        assert action["resource_id"] in done.out
        for statement in action["statements"]:
            assert printable(statement.splitlines()[0]) in literal.out
    assert_fits(done.out)
    assert len(done.out) < len(literal.out)
    assert "UNSAFE" in done.out
    assert "what may be lost: " in done.out
    assert "limits: " in done.out
    conforms(stackmend("plan", "show", whole_plan, "-f", "json").out, "plan")


def test_a_plan_for_a_healthy_cloud_is_empty(stackmend):
    """Nothing to do is exit 0."""
    done = stackmend("plan", "create", "--allow-db", "-f", "json")
    assert done.code == Exit.CLEAN
    assert conforms(done.out, "plan")["actions"] == []


def test_planning_writes_nothing(broken_cloud, stackmend):
    """Audit, plan and show leave every row alone."""
    before = broken_cloud.dump()
    stackmend("audit")
    stackmend("plan", "create", "--allow-db")
    assert broken_cloud.dump() == before


def test_apply_wants_yes(broken_cloud, plan, stackmend):
    """Without --yes nothing happens, and the whole command to type is shown."""
    before = broken_cloud.dump()
    done = stackmend("plan", "apply", plan)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "error: nothing was changed: --yes is missing" in done.err
    assert f"plan apply {plan} --yes --accept " in done.err
    assert broken_cloud.dump() == before


def test_what_lacks_consent_is_left_out(broken_cloud, plan, stackmend):
    """Without their names unsafe repairs are left out and listed, exit 5; with them the rest is done."""
    actions = json.loads(plan.read_text())["plan"]["actions"]
    unsafe = [action["id"] for action in actions if action["risk"] == "unsafe"]
    done = stackmend("plan", "apply", plan, "--yes", "-f", "json")
    assert done.code == Exit.STOPPED, done.err
    result = conforms(done.out, "result")
    assert result["left_out"] == unsafe
    assert (result["done"], result["left"]) == (sum(action["risk"] == "safe" for action in actions), 0)
    assert f"skipped without consent: {', '.join(unsafe)}" in done.err
    assert "--accept detach-volume" in done.err
    again = stackmend("plan", "apply", plan, "--yes", "--accept", "all", "-f", "json")
    assert (again.code, json.loads(again.out)["left_out"]) == (Exit.REPAIRED, [])


def test_apply_wants_consent_by_name(broken_cloud, plan, stackmend):
    """Where nothing is left to do without consent, it is refused."""
    actions = json.loads(plan.read_text())["plan"]["actions"]
    unsafe = next(action for action in actions if action["risk"] == "unsafe")
    before = broken_cloud.dump()
    done = stackmend("plan", "apply", plan, "--yes", "--only", unsafe["id"])
    assert done.code == Exit.USAGE
    assert "requires consent by name" in done.err
    assert f"--only {unsafe['id']} --accept {unsafe['repair']}" in done.err
    assert broken_cloud.dump() == before


def test_some_actions_of_a_plan(broken_cloud, plan, stackmend):
    """``--only`` does these and no others; an id that the plan does not have is an error."""
    safe = [a["id"] for a in json.loads(plan.read_text())["plan"]["actions"] if a["risk"] == "safe"][:2]
    wrong = stackmend("plan", "apply", plan, "--yes", "--only", f"{safe[0]},a999")
    assert (wrong.code, "no action 'a999'" in wrong.err) == (Exit.USAGE, True)
    done = stackmend("plan", "apply", plan, "--yes", "--only", ",".join(safe), "-f", "json")
    result = conforms(done.out, "result")
    assert (done.code, result["done"], result["left_out"]) == (Exit.REPAIRED, 2, [])
    shown = conforms(stackmend("run", "show", result["run"], "-f", "json").out, "run")
    assert {step["action"] for step in shown["steps"]} == set(safe)


def test_consent_to_a_repair_that_is_not_in_the_plan_is_a_typo(plan, stackmend):
    """A misspelt consent is refused, not ignored."""
    done = stackmend("plan", "apply", plan, "--yes", "--accept", "detach-volumes")
    assert done.code == Exit.USAGE
    assert "error: the plan has no repair 'detach-volumes'" in done.err


def test_an_edited_plan_is_refused(broken_cloud, plan, stackmend):
    """One letter changed, and the hash does not match."""
    before = broken_cloud.dump()
    text = plan.read_text()
    plan.write_text(text.replace('"created_at": "2', '"created_at": "3', 1))
    done = stackmend("plan", "apply", plan, "--yes", "--accept", "all")
    assert done.code == Exit.USAGE
    assert "was changed after it was made" in done.err
    assert broken_cloud.dump() == before


def test_apply_mends_and_undo_gives_every_row_back(ruined_cloud, whole_plan, stackmend):
    """Clean after apply; to the byte as before after undo; the same findings again."""
    before = ruined_cloud.dump()
    prints = [f["fingerprint"] for f in json.loads(stackmend("audit", "-f", "json").out)]
    done = stackmend("plan", "apply", whole_plan, "--yes", "--accept", "all", "-f", "json")
    result = conforms(done.out, "result")
    assert done.code == Exit.REPAIRED
    assert (result["stale"], result["failed"], result["in_doubt"]) == (0, 0, 0)
    assert result["done"] == len(json.loads(whole_plan.read_text())["plan"]["actions"])
    assert f"run undo {result['run']} --yes" in done.err
    assert stackmend("audit").code == Exit.CLEAN
    undone = stackmend("run", "undo", result["run"], "--yes", "-f", "json")
    assert undone.code == Exit.CLEAN
    conforms(undone.out, "result")
    assert ruined_cloud.dump() == before
    assert [f["fingerprint"] for f in json.loads(stackmend("audit", "-f", "json").out)] == prints


def test_runs_are_listed_and_shown(applied, stackmend):
    """The journal tells what was done, step by step."""
    listed = conforms(stackmend("run", "list", "-f", "json").out, "runs")
    assert [run["id"] for run in listed] == [applied]
    shown = conforms(stackmend("run", "show", applied, "-f", "json").out, "run")
    assert {step["state"] for step in shown["steps"] if step["kind"] in ("update", "insert", "delete")} == {"done"}
    assert shown["progress"]["done"] == shown["progress"]["total"] > 0
    text = stackmend("run", "show", applied).out
    assert f"run {applied}: apply, done" in text
    assert f"steps: {shown['progress']['total']} of {shown['progress']['total']} done in" in text
    for given, there in (
        (("--limit", "1"), True), (("--state", "done"), True), (("--state", "cut off"), False),
        (("--kind", "undo"), False), (("--since", "1d"), True), (("--since", "2999-01-01"), False),
    ):  # fmt: skip
        assert bool(json.loads(stackmend("run", "list", *given, "-f", "json").out)) is there, given


def test_a_plan_and_a_run_are_shown_with_names(applied, plan, broken_cloud, stackmend, tmp_path):
    """Of servers, volumes and projects; narrowed to one action; and as a report in a file or on stdout."""
    sql, known = "SELECT * FROM instances WHERE uuid = :u", {"u": _server(plan)}
    (server,) = [row for cell in ("cell:cell1", "cell:cell2") for row in broken_cloud.rows(cell, sql, known)]
    shown = stackmend("plan", "show", plan, "--action", "a1")
    assert f"  {server['display_name']}  {server['uuid']}\n    project " in shown.out
    assert "a2  " not in shown.out
    assert server["display_name"] not in stackmend("plan", "show", plan, "--action", "a1", "--no-names").out
    assert stackmend("plan", "show", plan, "--action", "a999").code == Exit.USAGE
    page = tmp_path / "run.html"
    done = stackmend("run", "show", applied, "--report", page)
    assert (done.code, done.out) == (Exit.CLEAN, "")
    assert page.stat().st_mode & 0o777 == 0o600
    assert server["display_name"] in html.unescape(page.read_text())
    words = stackmend("run", "show", applied, "--report", "-", "--repair", "rebuild-info-cache").out
    assert words.startswith(f"# `run {applied}: apply, done`")
    assert "UPDATE `instance_info_caches`" in words
    assert "drop-stale-bdm" not in words
    wrong = stackmend("run", "show", applied, "--report", tmp_path / "run.docx")
    assert wrong.code == Exit.USAGE
    assert ".html or .htm or .md" in wrong.err
    assert stackmend("run", "show", applied, "--report", tmp_path / "no" / "run.md").code == Exit.USAGE


def _server(plan):
    """The server of its first action."""
    return json.loads(plan.read_text())["plan"]["actions"][0]["resource_id"]


def test_undo_shows_its_plan_first(applied, broken_cloud, stackmend):
    """Without --yes undo shows what it would do and what has moved on, changes nothing, says what to type."""
    volume = conforms(stackmend("run", "show", applied, "-f", "json").out, "run")["steps"]
    volume = next(s["resource"]["id"] for s in volume if s["repair"] == "roll-detaching")
    broken_cloud.update("cinder", "volumes", {"id": volume}, status="error", updated_at=broken_cloud.now)
    before = broken_cloud.dump()
    done = stackmend("run", "undo", applied)
    assert done.code == Exit.USAGE
    assert f"run undo {applied} --yes" in done.err
    assert "row changed (~)" in done.out
    assert "UPDATE" in stackmend("run", "undo", applied, "--dry-run", "--sql").out
    assert "its rows have changed since: left alone" in " ".join(done.out.split())
    dry = stackmend("run", "undo", applied, "--dry-run", "-f", "json")
    document = conforms(dry.out, "plan")
    assert dry.code == Exit.FINDINGS
    assert [left["resource_id"] for left in document["not_repaired"]] == [volume]
    assert f"1 of {len(document['actions'])} have changed since and are left alone: volume 1" in dry.err
    assert broken_cloud.dump() == before
    undone = stackmend("run", "undo", applied, "--yes")
    assert undone.code == Exit.STOPPED
    assert "have changed since and are left alone: volume 1" in undone.err


def test_undo_of_a_run_that_is_not_there(cloud, stackmend):
    """An unknown run is a usage error."""
    done = stackmend("run", "undo", "nope", "--yes")
    assert done.code == Exit.USAGE
    assert "nope" in done.err


def test_a_row_that_moved_on_makes_the_apply_stop(broken_cloud, plan, stackmend):
    """A plan whose rows have changed is stale there: exit 5, and that row is left as it is now."""
    actions = json.loads(plan.read_text())["plan"]["actions"]
    volume = next(a["target"]["volume"] for a in actions if a["repair"] == "roll-detaching")
    broken_cloud.update("cinder", "volumes", {"id": volume}, status="error", updated_at=broken_cloud.now)
    done = stackmend("plan", "apply", plan, "--yes", "--accept", "all", "-f", "json")
    assert done.code == Exit.STOPPED
    assert conforms(done.out, "result")["stale"] == 1
    row = broken_cloud.rows("cinder", "SELECT status FROM volumes WHERE id = :id", {"id": volume})
    assert row == [{"status": "error"}]


def test_snapshots(broken_cloud, stackmend, tmp_path):
    """A snapshot can be listed, shown, audited and compared."""
    one = conforms(stackmend("snapshot", "create", "--out", tmp_path / "one", "-f", "json").out, "snapshot")
    assert one["complete"] is True
    shown = conforms(stackmend("snapshot", "show", tmp_path / "one", "-f", "json").out, "snapshot")
    assert shown["rows"] == one["rows"]
    done = stackmend("audit", "--snapshot", tmp_path / "one", "-f", "json")
    assert done.code == Exit.FINDINGS
    assert {f["state"] for f in conforms(done.out, "findings")} == {"candidate"}
    conforms(stackmend("snapshot", "list", "-f", "json").out, "snapshots")
    stackmend("snapshot", "create", "--out", tmp_path / "two")
    assert (
        conforms(stackmend("snapshot", "diff", tmp_path / "one", tmp_path / "two", "-f", "json").out, "difference")
        == []
    )


def test_a_waived_finding_does_not_count_until_it_is_taken_back(broken_cloud, stackmend):
    """Waived: still listed, with the reason, and the audit is clean but for the rest; unwaived: it counts again."""
    first = json.loads(stackmend("audit", "--check", "allocation-orphan", "-f", "json").out)
    given = ("finding", "waive", "--check", "allocation-orphan", "--reason", "known, ticket 4711", "--until", "2d")
    waiver = conforms(stackmend(*given, "-f", "json").out, "waiver")
    assert conforms(stackmend("finding", "waivers", "-f", "json").out, "waivers") == [waiver]
    done = stackmend("audit", "--check", "allocation-orphan", "-f", "json")
    assert (done.code, [f["waiver"] for f in conforms(done.out, "findings")]) == (
        Exit.CLEAN,
        ["known, ticket 4711"] * len(first),
    )
    assert conforms(stackmend("finding", "unwaive", waiver["id"], "-f", "json").out, "waivers") == []
    assert stackmend("audit", "--check", "allocation-orphan").code == Exit.FINDINGS


@pytest.mark.parametrize("when", ["tomorrow", "30", "2026-13-01"])
def test_a_waiver_until_no_time(stackmend, when):
    """An end that is no time is refused with how to write one."""
    done = stackmend("finding", "waive", "1f0c", "--reason", "x", "--until", when)
    assert done.code == Exit.USAGE
    assert "write 30d, 2027-01-31, or never" in done.err


def test_the_catalogue_in_json(run):
    """Lists and pages of checks and repairs follow their schemas."""
    names = [check["name"] for check in conforms(run("check", "list", "-f", "json").out, "checks")]
    assert conforms(run("check", "show", names[0], "-f", "json").out, "check")["name"] == names[0]
    repairs = [repair["name"] for repair in conforms(run("repair", "list", "-f", "json").out, "repairs")]
    assert conforms(run("repair", "show", repairs[0], "-f", "json").out, "repair")["name"] == repairs[0]


def test_the_ports_of_a_server(cloud, stackmend):
    """Each port says whether it dies with its server."""
    kept, made = cloud.pick("premade_port"), cloud.pick("active")
    done = stackmend("port", "list", "--server", kept.uuid, "-f", "json")
    (port,) = conforms(done.out, "ports")
    assert (port["port"], port["fate"]) == (kept.ports[0], "kept")
    done = stackmend("port", "list", "--server", made.uuid, "-f", "json")
    assert {port["fate"] for port in conforms(done.out, "ports")} == {"deleted"}
    assert "would be deleted with the server" in done.err


def test_a_request_shows_its_plan_and_changes_nothing(cloud, stackmend):
    """A request without --yes prints its plan and the command that would do it."""
    server = cloud.pick("volume_backed")
    before = cloud.dump()
    done = stackmend("volume", "detach", server.volumes[0], "--allow-db")
    assert cloud.dump() == before
    assert done.code in (Exit.FINDINGS, Exit.STOPPED)
    assert done.err


def test_a_request_wants_allow_db(broken_cloud, stackmend):
    """Without consent to change databases a request says what to add."""
    found = json.loads(stackmend("audit", "--check", "info-cache-empty", "-f", "json").out)
    done = stackmend("server", "cache", "rebuild", found[0]["key"]["server"])
    assert done.code == Exit.STOPPED
    assert "hint: Add --allow-db" in done.err


def test_the_program_itself(broken_cloud, program, cloud_config):
    """The installed program, in a process of its own, does the same as main()."""
    done = program("--config", cloud_config, "audit", "-f", "json")
    assert done.code == Exit.FINDINGS
    conforms(done.out, "findings")


def test_the_demo(run, tmp_path):
    """Every step of the demo comes out as it should, and each is a command that was really run."""
    done = run("demo", "--servers", "150", "-f", "json")
    assert done.code == Exit.CLEAN
    steps = conforms(done.out, "demo")
    assert [step["exit"] for step in steps] == [step["expected"] for step in steps]
    assert sum(step["command"].startswith("stackmend ") for step in steps) == 8


def test_the_demo_of_one_check(run, tmp_path):
    """Nothing else is broken; a check that no repair mends is refused by its name."""
    done = run("demo", "--servers", "150", "--check", "volume-stuck-detaching")
    assert done.code == Exit.CLEAN
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith("  broken: ")] == [
        "volume-stuck-detaching"
    ]
    refused = run("demo", "--check", "domain-on-two-hosts")
    assert (refused.code, "domain-on-two-hosts" in refused.err) == (Exit.USAGE, True)
    mistyped = run("demo", "--check", "volume-stuck-detachin")
    assert (mistyped.code, "volume-stuck-detaching" in mistyped.err) == (Exit.USAGE, True)
