# SPDX-License-Identifier: Apache-2.0
"""What becomes of a call when services, proxies and networks misbehave."""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace
from typing import Any

import pytest

from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.operations import describe
from stackmend.drivers.api.session import ApiSession
from stackmend.model.errors import ApiError, SourceError
from stackmend.model.operations import operation_of
from stackmend.model.step import ApiCall, StepState
from stackmend_lab.cloud import Cloud
from stackmend_lab.plants._volumes import attach, new_volume

from ...support.carried_out import carried_out
from .conftest import HandClock
from .fake import PASSWORD, TOKEN, Fake
from .operations import allocations, call

MARK = f"req-{uuid.uuid4()}"


@pytest.fixture
def volume(built: Cloud) -> str:
    """One that is available."""
    return new_volume(built)


def delete(volume: str) -> ApiCall:
    """A call that may be sent twice."""
    return call("block-storage", "delete-volume", volume=volume)


def detach(built: Cloud) -> ApiCall:
    """A call that may not."""
    server, volume = built.pick("active"), new_volume(built)
    attach(built, server, volume)
    return call("compute", "detach-volume", server=server.uuid, volume=volume)


@pytest.mark.parametrize("status", [429, 413])
def test_a_service_that_is_busy_is_asked_later(
    fake: Fake, executor: ApiExecutor, clock: HandClock, volume: str, status: int
) -> None:
    """As late as it says; the call is made once."""
    fake.fault("DELETE", volume, "refuse", status=status, headers={"Retry-After": "7"})
    outcome = carried_out(executor, delete(volume), MARK)
    assert (outcome.state, outcome.already, clock.slept[0]) == (StepState.DONE, False, 7.0)
    assert len(fake.sent("DELETE", volume)) == 2


def test_a_service_that_is_not_there_is_asked_again_where_nothing_was_begun(
    built: Cloud, fake: Fake, executor: ApiExecutor, clock: HandClock
) -> None:
    """503 of a proxy: even a call that may not be made twice is sent again, once the live state shows no trace."""
    step = detach(built)
    fake.fault("DELETE", "os-volume_attachments", "refuse", headers={"Retry-After": "3"})
    assert carried_out(executor, step, MARK).state is StepState.DONE
    assert len(fake.sent("DELETE", "os-volume_attachments")) == 2
    assert 3.0 in clock.slept


def test_a_service_that_stays_away_is_a_failure(fake: Fake, executor: ApiExecutor, volume: str) -> None:
    """It is not asked for ever, and the note says that nothing was taken."""
    fake.fault("DELETE", volume, "refuse", times=9)
    fake.fault("POST", volume, "refuse", times=9)
    outcome = carried_out(executor, delete(volume), MARK)
    assert outcome.state is StepState.FAILED
    assert "refused: 503" in outcome.note
    assert fake.cloud.rows("cinder", "SELECT deleted FROM volumes WHERE id = :v", {"v": volume}) == [{"deleted": 0}]


def test_a_long_pause_is_cut(fake: Fake, executor: ApiExecutor, clock: HandClock, volume: str) -> None:
    """A service may not hold a run for an hour."""
    fake.fault("DELETE", volume, "refuse", status=429, headers={"Retry-After": "3600"})
    assert carried_out(executor, delete(volume), MARK).state is StepState.DONE
    assert max(clock.slept) == 30.0


@pytest.mark.parametrize("twice", [True, False])
def test_an_answer_that_was_lost_is_looked_for(
    built: Cloud, fake: Fake, executor: ApiExecutor, volume: str, twice: bool
) -> None:
    """The request was received and done: it is not sent again, and it is ours."""
    step = delete(volume) if twice else detach(built)
    fake.fault("DELETE", "", "lose")
    outcome = carried_out(executor, step, MARK)
    assert (outcome.state, outcome.already) == (StepState.DONE, False)
    assert len(fake.sent("DELETE")) == 1


def test_a_request_that_was_lost_is_sent_again_where_that_does_no_harm(
    fake: Fake, executor: ApiExecutor, volume: str
) -> None:
    """Nothing of it can be seen, and twice is as good as once."""
    fake.fault("DELETE", volume, "drop")
    assert carried_out(executor, delete(volume), MARK).state is StepState.DONE
    assert len(fake.sent("DELETE", volume)) == 2


def test_a_request_that_was_lost_is_in_doubt_where_twice_would_do_harm(
    built: Cloud, fake: Fake, executor: ApiExecutor, clock: HandClock
) -> None:
    """It may still be on its way: nobody sends it again before somebody has looked."""
    step = detach(built)
    fake.fault("DELETE", "os-volume_attachments", "drop")
    outcome = carried_out(executor, step, MARK)
    assert outcome.state is StepState.IN_DOUBT
    assert "the answer was lost" in outcome.note
    assert len(fake.sent("DELETE", "os-volume_attachments")) == 1
    assert sum(clock.slept) >= 30
    assert executor.probe(step) is StepState.PLANNED


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_service_that_breaks_down_leaves_doubt(built: Cloud, fake: Fake, executor: ApiExecutor, status: int) -> None:
    """Nobody knows how far it came."""
    fake.fault("DELETE", "os-volume_attachments", "refuse", status=status)
    outcome = carried_out(executor, detach(built), MARK)
    assert outcome.state is StepState.IN_DOUBT
    assert str(status) in outcome.note
    assert len(fake.sent("DELETE", "os-volume_attachments")) == 1


def test_a_service_that_breaks_down_over_what_may_be_repeated_is_a_failure(
    fake: Fake, executor: ApiExecutor, volume: str
) -> None:
    """Nothing of it can be seen, and a new plan may ask for it again: that need not stop an undo of the rest."""
    fake.fault("DELETE", volume, "refuse", status=500, body={"computeFault": {"message": "it hurts"}})
    fake.fault("POST", volume, "refuse", status=500)
    outcome = carried_out(executor, delete(volume), MARK)
    assert outcome.state is StepState.FAILED
    assert "500 it hurts; no effect is visible after 30 s" in outcome.note


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "needs the role admin"), (409, "the server is locked"), (400, "the server is locked")],
)
def test_a_refusal_is_a_failure_in_the_services_own_words(
    built: Cloud, fake: Fake, executor: ApiExecutor, status: int, words: str
) -> None:
    """With the status, what the service says, and what to do about it."""
    body = {"conflictingRequest": {"message": "the server is locked", "code": status}}
    fake.fault("DELETE", "os-volume_attachments", "refuse", status=status, body=body)
    outcome = carried_out(executor, detach(built), MARK)
    assert outcome.state is StepState.FAILED
    assert f"refused: {status}" in outcome.note
    assert words in outcome.note
    assert "req-" in outcome.note


def test_a_conflict_after_which_the_guard_does_not_hold_is_stale(
    built: Cloud, fake: Fake, executor: ApiExecutor
) -> None:
    """Somebody was faster between the look and the call: that is no failure."""
    server = built.pick("active").uuid
    before = executor.ready().look(allocations(server))
    step = allocations(server, before).call({"generation": before["generation"]})
    fake.fault("PUT", server, "refuse", status=409, body={"errors": [{"detail": "consumer generation conflict"}]})
    fake.after("PUT", lambda: fake.cloud.update("placement", "consumers", {"uuid": server}, generation=77))
    outcome = carried_out(executor, step, MARK)
    assert outcome.state is StepState.STALE
    assert "generation is 77" in outcome.note


def test_a_concurrent_update_is_tried_again(built: Cloud, fake: Fake, executor: ApiExecutor) -> None:
    """Placement lost a race over a provider: the guard still holds, so the call is sent again."""
    server = built.pick("active").uuid
    step = allocations(server, executor.ready().look(allocations(server))).call()
    body = {"errors": [{"detail": "Inventory and/or allocations changed", "code": "placement.concurrent_update"}]}
    fake.fault("PUT", server, "refuse", status=409, body=body)
    assert carried_out(executor, step, MARK).state is StepState.DONE
    assert len(fake.sent("PUT", server)) == 2


def test_an_event_that_is_refused_in_a_good_answer_is_a_failure(
    built: Cloud, fake: Fake, executor: ApiExecutor
) -> None:
    """Nova says 207, and 422 inside of it."""
    server = built.pick("active")
    mac = built.rows("neutron", "SELECT mac_address FROM ports WHERE id = :p", {"p": server.ports[0]})[0]["mac_address"]
    fake.fault("POST", "events", "refuse", status=207, body={"events": [{"code": 422}]})
    outcome = carried_out(
        executor, call("compute", "vif-deleted", port=server.ports[0], server=server.uuid, mac=mac), MARK
    )
    assert outcome.state is StepState.FAILED
    assert "refused the event (422)" in outcome.note


def test_the_outcome_is_waited_for(fake: Fake, executor: ApiExecutor, volume: str) -> None:
    """A volume that is deleting is not deleted."""
    fake.slow = 4
    assert carried_out(executor, delete(volume), MARK).state is StepState.DONE
    assert len(fake.sent("GET", volume)) >= 4


def test_what_takes_too_long_is_in_doubt_and_can_be_waited_for_again(
    fake: Fake, executor: ApiExecutor, clock: HandClock, volume: str
) -> None:
    """The limit of the operation is kept; begun again, it is waited for and not sent a second time."""
    fake.slow = 10_000
    outcome = carried_out(executor, delete(volume), MARK)
    assert outcome.state is StepState.IN_DOUBT
    assert "accepted, but not done after 600 s" in outcome.note
    assert sum(clock.slept) >= 600
    fake.slow = 3
    assert executor.probe(delete(volume)) is StepState.INTENT
    assert carried_out(executor, delete(volume), MARK).state is StepState.DONE
    assert len(fake.sent("DELETE", volume)) == 1


def test_a_service_that_stops_answering_while_it_is_waited_for(fake: Fake, executor: ApiExecutor, volume: str) -> None:
    """Looks that fail say nothing; those after them do."""
    fake.slow = 3
    step = delete(volume)
    fake.after("DELETE", lambda: fake.fault("GET", volume, "refuse", times=6))
    assert carried_out(executor, step, MARK).state is StepState.DONE


def test_a_service_that_does_not_answer_at_first_gets_nothing(fake: Fake, executor: ApiExecutor, volume: str) -> None:
    """What cannot be looked at is not changed."""
    fake.fault("GET", volume, "drop", times=9)
    outcome = carried_out(executor, delete(volume), MARK)
    assert (outcome.state, fake.sent("DELETE")) == (StepState.FAILED, [])
    assert "nothing was sent" in outcome.note


def test_a_cloud_that_is_too_old_says_what_it_lacks(fake: Fake, executor: ApiExecutor, built: Cloud) -> None:
    """The microversion, the release, and what the cloud offers instead."""
    fake.highest["placement"] = "1.20"
    with pytest.raises(ApiError, match=r"needs microversion 1\.28 of placement .* offers 1\.0 to 1\.20"):
        carried_out(executor, allocations(built.pick("active").uuid).call(), MARK)


def test_the_lowest_microversion_that_will_do_is_asked_for(fake: Fake, executor: ApiExecutor, built: Cloud) -> None:
    """Train speaks it, and no newer behaviour is asked for by accident."""
    executor.ready().look(allocations(built.pick("active").uuid))
    name = "openstack-api-version"  # which the question for the versions themselves does not have
    found = {s.path.split("/")[1]: s.headers[name] for s in fake.seen if s.method == "GET" and name in s.headers}
    assert (found["placement"], found["compute"]) == ("placement 1.28", "compute 2.1")


def test_our_own_name_of_a_request_goes_with_it(fake: Fake, executor: ApiExecutor, volume: str) -> None:
    """So that the request is found in the services' logs though its answer was lost."""
    carried_out(executor, delete(volume), MARK)
    assert fake.sent("DELETE", volume)[0].headers["x-openstack-request-id"] == MARK


def test_nothing_secret_is_in_notes_errors_and_logs(
    fake: Fake, executor: ApiExecutor, volume: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where a service sends the password back."""
    caplog.set_level(logging.DEBUG)
    said: list[Any] = []
    fake.fault("DELETE", volume, "refuse", status=400, body={"badRequest": {"message": f"{PASSWORD} is no name"}})
    fake.fault("POST", volume, "refuse", status=400, body={"badRequest": {"message": f"nor is {PASSWORD}"}})
    said.append(carried_out(executor, delete(volume), MARK))
    fake.fault("GET", volume, "refuse", times=9, status=500, body={"computeFault": {"message": PASSWORD}})
    with pytest.raises(SourceError) as caught:
        executor.ready().look(delete(volume).operation)
    said += [caught.value.message, caught.value.hint, caplog.text]
    again = ApiSession.open("fake", fake.clouds_yaml())
    again.close()
    text = f"{said} {caplog.text} {again!r}"
    assert "is no name" in text
    assert PASSWORD not in text
    assert TOKEN not in text


def test_a_call_reads_as_what_is_sent() -> None:
    """Method, path, body and microversion; a second request by its condition; guards as what must be so."""
    step = replace(delete("v-1"), expect={"status": "error", "attachments": 0})
    assert describe(step) == (
        '[block-storage API] DELETE /volumes/v-1; if that is refused: POST /volumes/v-1/action {"os-force_delete": {}}'
        ' (microversion 3.0) if status = "error", attachments = 0'
    )
    assert describe(call("compute", "await-heal", server="s", macs=["m"])) == (
        "[compute API] wait until Nova shows ['m'] as addresses of server s (microversion 2.1)"
    )
    assert describe(operation_of("compute", "unheard-of", {"a": 1}).call()) == "[compute API] unheard-of(a=1)"


def test_what_comes_from_a_row_stays_in_its_place(fake: Fake, executor: ApiExecutor) -> None:
    """An id with a slash or a question mark in it is one segment of the path."""
    assert executor.probe(call("network", "delete-port", port="../networks/x?y")) is StepState.DONE
    assert fake.seen[-1].path == "/network/v2.0/ports/..%2Fnetworks%2Fx%3Fy"
