# SPDX-License-Identifier: Apache-2.0
"""Signing in: from clouds.yaml or the environment, and what is said when that does not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackmend.app import apis
from stackmend.app.session import CloudSession
from stackmend.config.settings import Config, load
from stackmend.drivers.api.reading import ApiReading
from stackmend.drivers.api.session import ApiSession, LostError, Request, UnsentError
from stackmend.model.errors import ApiError, ConfigError, SourceError, StackmendError

from .conftest import HandClock
from .fake import PASSWORD, Fake


def refused(kind: type[StackmendError], cloud: str | None, clouds: Path | None) -> StackmendError:
    """The error that signing in is; it shows no password and says what to do."""
    with pytest.raises(kind) as caught:
        ApiSession.open(cloud, clouds, timeout=2)
    assert PASSWORD not in f"{caught.value.message} {caught.value.hint} {caught.value!r}"
    assert caught.value.hint
    return caught.value


def test_an_account_of_a_file(fake: Fake) -> None:
    """Every service is found through its catalogue; network endpoints get the version that they never have."""
    session = ApiSession.open("fake", fake.clouds_yaml())
    assert session.client("network")[1] == f"{fake.url}/network/v2.0"
    assert session.versions("network") is None
    assert session.versions("compute") == ((2, 1), (2, 85))
    assert session.versions("block-storage") == ((3, 0), (3, 59))
    assert session.versions("placement") == ((1, 0), (1, 36))
    session.close()


def test_a_file_that_is_named_is_that_file(fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the environment names beside it: nothing may be changed in another cloud."""
    (tmp_path / "clouds.yaml").write_text("clouds: {fake: {auth: {auth_url: http://127.0.0.1:9/other}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    monkeypatch.setenv("OS_PASSWORD", "another")
    session = ApiSession.open("fake", fake.clouds_yaml())
    assert session.client("compute")[1].startswith(fake.url)
    session.close()


def test_an_account_of_the_environment(fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OS_AUTH_URL and the like, as every client reads them."""
    monkeypatch.chdir(tmp_path)
    account = {"AUTH_URL": f"{fake.url}/identity/v3", "USERNAME": "admin", "PASSWORD": PASSWORD}
    account |= {"PROJECT_NAME": "admin", "USER_DOMAIN_ID": "default", "PROJECT_DOMAIN_ID": "default"}
    for name, value in account.items():
        monkeypatch.setenv(f"OS_{name}", value)
    (tmp_path / "x.toml").write_text("")
    session = apis.sign_in(load(str(tmp_path / "x.toml")))
    assert session.send(Request(service="compute", method="GET", path="/os-services", microversion="2.53")).good
    session.close()


def test_a_client_that_cannot_connect(tmp_path: Path) -> None:
    """As a plugin of the ``openstack`` client: its failure is one of ours, with a hint."""
    from keystoneauth1.exceptions import DiscoveryFailure

    def connect() -> object:
        raise DiscoveryFailure("Failed to discover available identity versions")

    (tmp_path / "x.toml").write_text("")
    with pytest.raises(ApiError, match="Failed to discover") as caught:
        apis.sign_in(load(str(tmp_path / "x.toml"), client=connect))
    assert caught.value.hint


def test_no_account_at_all(tmp_path: Path) -> None:
    """It is said where one may be named."""
    (tmp_path / "x.toml").write_text("")
    with pytest.raises(ConfigError, match="no API is configured") as caught:
        apis.sign_in(load(str(tmp_path / "x.toml")))
    assert "[api] cloud" in caught.value.hint


def test_a_cloud_that_the_file_does_not_have(fake: Fake) -> None:
    """By its name."""
    assert "nowhere" in refused(ConfigError, "nowhere", fake.clouds_yaml()).message


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    """It is an error of the configuration."""
    path = tmp_path / "clouds.yaml"
    path.write_text("clouds: [\n")
    assert "fake" in refused(ConfigError, "fake", path).message


def test_an_account_that_is_not_whole(fake: Fake, tmp_path: Path) -> None:
    """What it lacks is named."""
    path = tmp_path / "clouds.yaml"
    path.write_text(f"clouds: {{fake: {{auth: {{username: admin, password: {PASSWORD}}}}}}}")
    assert "auth_url" in refused(ConfigError, "fake", path).message


def test_a_password_that_is_wrong(fake: Fake) -> None:
    """Keystone says 401, and the password is not shown."""
    fake.fault("POST", "/auth/tokens", "refuse", status=401, body={"error": {"message": "no", "code": 401}})
    assert "rejects this account" in refused(ApiError, "fake", fake.clouds_yaml()).message


@pytest.mark.parametrize("how", ["drop", "refuse"])
def test_a_keystone_that_does_not_answer(fake: Fake, how: str) -> None:
    """Nothing is sent without a token."""
    fake.fault("POST", "/auth/tokens", how, times=9)
    assert "log in" in refused(UnsentError, "fake", fake.clouds_yaml()).message


def test_a_port_that_nobody_listens_on(fake: Fake, session: ApiSession) -> None:
    """The connection is refused: what was to be sent was surely not received."""
    session.client("compute")
    session._endpoints["compute"] = "http://127.0.0.1:9"
    with pytest.raises(UnsentError, match="no connection"):
        session.send(Request(service="compute", method="DELETE", path="/servers/x"))
    assert fake.sent("DELETE") == []


def test_a_connection_that_breaks_in_between(fake: Fake, session: ApiSession) -> None:
    """The request may have been received: that is another thing."""
    fake.fault("DELETE", "/servers", "drop")
    with pytest.raises(LostError, match="the answer was lost"):
        session.send(Request(service="compute", method="DELETE", path="/servers/x"))


def test_a_service_that_the_catalogue_does_not_have(session: ApiSession) -> None:
    """By its name, with the cloud's."""
    with pytest.raises(UnsentError, match="service key-manager in cloud fake"):
        session.client("key-manager")


def test_a_read_is_repeated_while_a_service_starts(fake: Fake, session: ApiSession, clock: HandClock) -> None:
    """As late as it says, and not for ever."""
    reading = ApiReading(session, clock)
    fake.fault("GET", "/os-services", "refuse", headers={"Retry-After": "2"})
    fake.fault("GET", "/os-services", "drop")
    assert reading.get("compute", "/os-services")["services"]
    assert clock.slept == [2.0, 1.0]
    fake.fault("GET", "/os-services", "refuse", times=9)
    with pytest.raises(SourceError, match="answered 503 to GET /os-services"):
        reading.get("compute", "/os-services")


def test_what_is_not_there_is_none_and_what_is_refused_is_an_error(
    fake: Fake, session: ApiSession, clock: HandClock
) -> None:
    """404 is an answer; 403 is not one, and never "nothing"."""
    reading = ApiReading(session, clock)
    assert reading.get("compute", "/servers/none", "2.1") is None
    fake.fault("GET", "/servers", "refuse", status=403, body={"forbidden": {"message": "Policy doesn't allow it"}})
    with pytest.raises(SourceError, match="Policy doesn't allow it") as caught:
        reading.get("compute", "/servers/none", "2.1")
    assert "role admin" in caught.value.hint


def test_a_collection_is_read_page_by_page(fake: Fake, session: ApiSession, clock: HandClock) -> None:
    """The links of the service are followed, though it names itself otherwise than the catalogue does."""
    reading = ApiReading(session, clock)
    link = {"rel": "next", "href": "http://inside:8774/v2.1/os-services?marker=1"}
    first = {"services": [{"id": 1}], "services_links": [link]}
    fake.fault("GET", "/os-services", "refuse", status=200, body=first)
    fake.fault("GET", "/os-services?marker=1", "refuse", status=200, body={"services": [{"id": 2}]})
    assert list(reading.every("compute", "/os-services", "services")) == [{"id": 1}, {"id": 2}]
    assert len(fake.sent("GET", "/os-services")) == 2


def test_the_cloud_of_the_api_is_that_of_the_databases(config: Config, session: ApiSession, clock: HandClock) -> None:
    """A conductor of Nova's is in both."""
    known = CloudSession.of(config)
    apis.same_cloud(ApiReading(session, clock), known)
    assert known.databases.cells_known


def test_another_cloud_is_refused(config: Config, fake: Fake, session: ApiSession, clock: HandClock) -> None:
    """OS_CLOUD may name any cloud: nothing is changed in one that the databases are not of."""
    fake.fault("GET", "/os-services", "refuse", status=200, body={"services": [{"id": "somebody-elses"}]})
    with pytest.raises(ApiError, match="belong to different clouds"):
        apis.same_cloud(ApiReading(session, clock), CloudSession.of(config))


def test_a_service_without_microversions_is_not_taken_at_its_word(
    fake: Fake, session: ApiSession, clock: HandClock
) -> None:
    """Nova's older API ignores which one is asked for: ids would be other ids, and clouds would seem different."""
    fake.highest["compute"] = ""
    reading = ApiReading(session, clock)

    with pytest.raises(SourceError, match=r"compute of cloud .* has no microversions: GET /os-services needs 2\.53"):
        reading.get("compute", "/os-services?binary=nova-conductor", "2.53")
    with pytest.raises(SourceError, match=r"no microversions: GET /os-keypairs/mine needs 2\.10"):
        reading.get("compute", "/os-keypairs/mine?user_id=another", "2.10")  # 404
    assert not reading.offers("compute", "2.1")
