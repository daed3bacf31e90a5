# SPDX-License-Identifier: Apache-2.0
"""Where in the code something failed, by tracebacks as services of today write them."""

from __future__ import annotations

from stackmend.engine.diagnosing.places import places
from stackmend.model.diagnosing.logs import Record

LIB = "/usr/lib/python3/dist-packages"


def failed(at: float, error: str, *frames: str, service: str = "nova-compute", **values: str) -> Record:
    """A message with the traceback of these frames, ``file:line:function``, the deepest last."""
    lines = ["Traceback (most recent call last):"]
    for frame in frames:
        file, line, function = frame.split(":")
        lines += [f'  File "{LIB}/{file}", line {line}, in {function}', "    call()"]
    return Record(at=at, text="it failed", level="ERROR", service=service, more="\n".join([*lines, error]), **values)


def found(*records: Record) -> list[str]:
    """The files, likeliest first."""
    return [place.file for place in places(records)]


def test_the_deepest_frame_of_the_first_traceback_comes_first() -> None:
    """Whatever the order in which logs were read."""
    later = failed(20, "Boom", "nova/scheduler/manager.py:10:select")
    first = failed(10, "Boom", "nova/compute/manager.py:10:build", "nova/virt/libvirt/driver.py:7:spawn")
    place = places([later, first])[0]
    assert (place.file, place.line, place.function) == ("nova/virt/libvirt/driver.py", 7, "spawn")
    assert str(place) == "nova/virt/libvirt/driver.py:7 (spawn)"


def test_code_that_passes_exceptions_on_is_not_blamed() -> None:
    """Decorators, RPC and libraries lie below what called them."""
    record = failed(
        1, "Boom", "nova/conductor/manager.py:9:build", "nova/exception_wrapper.py:65:wrapped",
        "oslo_messaging/rpc/client.py:96:cast",
    )  # fmt: skip
    assert found(record) == ["nova/conductor/manager.py"]


def test_a_client_only_repeats_what_the_other_service_said() -> None:
    """Its traceback counts less than that of the other service, even if it comes first."""
    client = failed(1, "ClientException: 500", "nova/volume/cinder.py:50:attach", "cinderclient/client.py:103:request")
    other = failed(2, "KeyError", "cinder/volume/api.py:758:attach", service="cinder-api")
    assert found(client, other)[0] == "cinder/volume/api.py"


def test_an_object_made_of_a_wrong_row_points_at_the_database() -> None:
    """What gave it the row is named first, then the object's own code."""
    record = failed(1, "KeyError: 'created_at'", "cinder/objects/volume_type.py:77:_from_db_object")
    assert found(record) == ["cinder/db/api.py", "cinder/objects/volume_type.py", "cinder/db/sqlalchemy/api.py"]


def test_the_longest_traceback_of_a_failure_tells_who_called() -> None:
    """Inner code logs only its own frames; the same failure, logged again further out, has its callers."""
    ends = (
        "nova/virt/libvirt/guest.py:3:create",
        "nova/virt/libvirt/guest.py:4:launch",
        "libvirt.py:5:createWithFlags",
    )
    inner, outer = failed(1, "Boom", *ends), failed(2, "Boom", "nova/compute/manager.py:9:build", *ends)
    assert found(inner) == ["nova/virt/libvirt/guest.py"]
    assert found(inner, outer) == ["nova/virt/libvirt/guest.py", "nova/compute/manager.py"]


def test_what_runs_programs_fails_for_what_it_was_told() -> None:
    """A wrapper of LVM's programs is not blamed, but who called it."""
    record = failed(
        1,
        "ProcessExecutionError: lvcreate",
        "cinder/volume/drivers/lvm.py:200:create",
        "cinder/brick/local_dev/lvm.py:7:make",
    )
    assert found(record) == ["cinder/volume/drivers/lvm.py"]


def test_a_traceback_that_repeats_counts_once() -> None:
    """A periodic task that fails for ever is not more likely for it."""
    again = [failed(n, "Boom", "nova/compute/resource_tracker.py:5:update") for n in range(2, 30)]
    one = failed(1, "Boom", "nova/virt/libvirt/driver.py:7:spawn")
    assert found(one, *again)[0] == "nova/virt/libvirt/driver.py"


def test_no_traceback_no_place() -> None:
    """An error without one, and a traceback of foreign code alone."""
    assert found(Record(at=1.0, text="no valid host", level="ERROR"), failed(2, "Boom", "eventlet/hubs.py:3:run")) == []
