# SPDX-License-Identifier: Apache-2.0
"""A session with the services of a cloud: openstacksdk finds endpoints and authenticates, keystoneauth sends.

Nothing is sent twice here. The caller has to know whether a failed request may have been received, so keystoneauth's
retries are off and a failure is one of two: :class:`UnsentError` or :class:`LostError`.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackmend.drivers.database.patience import waiting
from stackmend.model.api import ApiAccount, Request, Response, segment
from stackmend.model.errors import ConfigError, LostError, UnsentError
from stackmend.model.events import Events

_EVENTS = Events(__name__)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from keystoneauth1.adapter import Adapter
    from openstack.config.cloud_region import CloudRegion

__all__ = ["ApiSession", "LostError", "Request", "Response", "UnsentError", "configured", "segment", "session_words"]

#: headers with the request id; Nova and Cinder send two with the same id
_IDS = ("x-openstack-request-id", "x-compute-request-id")
#: major versions of the services that have several
_MAJOR = {
    "compute": ("2.0", "2.latest"),
    "block-storage": ("3.0", "3.latest"),
    "identity": ("3.0", "3.latest"),
    "image": ("2.0", "2.latest"),
}
_LONGEST = 300  #: maximum number of characters quoted from a service
#: secret parts of the account
_SECRET = ("password", "token", "secret", "passcode", "passwd")
_MARKUP = re.compile(r"<[^>]+>|\s+")


#: seconds for one request: longer than a service waits for another one, 60 s (rpc_response_timeout), because its error
#: is more informative than an abandoned connection
TIMEOUT = 75.0

#: authentication types that need a password
_BY_PASSWORD = ("password", "v3password", "v3oidcpassword")


class ApiSession:
    """The services of one cloud, as one account sees them. ``timeout`` is for one request, in seconds."""

    def __init__(self, region: CloudRegion, name: str, timeout: float) -> None:
        self._region, self.name, self._timeout = region, name, timeout
        self._secrets = tuple(_secrets(region))
        self._clients: dict[str, Adapter] = {}
        self._endpoints: dict[str, str] = {}

    @classmethod
    def open(cls, cloud: str | None, clouds: Path | None = None, timeout: float = TIMEOUT) -> ApiSession:
        """Read the account and log in. ``cloud`` is a name in clouds.yaml (or in the file ``clouds``); None: OS_*.

        ConfigError if the account is missing or incomplete, ApiError if the cloud rejects it.
        """
        from keystoneauth1 import exceptions as keystone
        from openstack import config
        from openstack import exceptions as sdk
        from yaml import YAMLError

        name = cloud or "of the environment"
        try:
            # openstacksdk prints deprecation warnings about its configuration for every account
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # a configured file takes precedence over OS_CLIENT_CONFIG_FILE
                named: dict[str, Any] = {"config_files": [str(clouds)], "load_envvars": False} if clouds else {}
                found = config.OpenStackConfig(**named)
                region = found.get_one(cloud=cloud)
                region.get_session()
        except sdk.SDKException as problem:
            raise ConfigError(
                f"the account of cloud {name} cannot be used: {_plain(str(problem))}", "Check [api] and clouds.yaml."
            ) from None
        except OSError as problem:
            raise ConfigError(f"{problem.filename} cannot be read: {problem.strerror}", "See [api] clouds.") from None
        except (keystone.ClientException, YAMLError) as problem:
            raise ConfigError(
                f"the account of cloud {name} cannot be used: {session_words(problem)}", "Check [api] and clouds.yaml."
            ) from None
        return cls.of(region, name, timeout)

    @classmethod
    def beside(cls, connect: Callable[[], Any], name: str, timeout: float = TIMEOUT) -> ApiSession:
        """Log in with the account of the openstacksdk connection that ``connect`` creates; ApiError if that fails."""
        from keystoneauth1 import exceptions as keystone
        from openstack import exceptions as sdk

        try:
            region = connect().config
        except (keystone.ClientException, sdk.SDKException) as problem:
            raise UnsentError(
                f"could not log in to cloud {name}: {session_words(problem)}", "Check the client's own options."
            ) from None
        return cls.of(region, name, timeout)

    @classmethod
    def of(cls, region: CloudRegion, name: str, timeout: float = TIMEOUT) -> ApiSession:
        """Log in with an account; ApiError if the cloud rejects it."""
        # keystoneauth raises a generic exception for that
        if region.config.get("auth_type") in _BY_PASSWORD and not region.config.get("auth", {}).get("password"):
            raise UnsentError(
                f"could not log in to cloud {name}: no password is given", "Set OS_PASSWORD or an equivalent."
            )
        session = cls(region, name, timeout)
        region.get_session().timeout = timeout
        with session._failing("log in", sent=False):
            region.get_session().get_token()
        return session

    def send(self, request: Request, mark: str = "") -> Response:
        """Send it once. ``mark`` is our own request id (``req-<uuid>``), which the services log with theirs.

        UnsentError if it was certainly not received, LostError if that is unknown.
        """
        client, endpoint = self.client(request.service)
        options: dict[str, Any] = {"microversion": request.microversion} if request.microversion else {}
        if request.body is not None:
            options["json"] = request.body
        if mark:
            options["global_request_id"] = mark
        headers = {"Accept": "application/json"}
        if request.revision is not None:
            headers["If-Match"] = f"revision_number={request.revision}"
        what = f"{request.method} {request.path}"
        with (
            _EVENTS.timed(
                "request", service=request.service, method=request.method, path=request.path, mark=mark
            ) as facts,
            self._failing(what),
            waiting(f"the service {request.service}", what, self._timeout),
        ):
            answer = client.request(
                request.path,
                request.method,
                endpoint_override=request.endpoint or endpoint,
                raise_exc=False,
                redirect=False,
                connect_retries=0,
                status_code_retries=0,
                log=False,
                timeout=self._timeout,
                headers=headers,
                **options,
            )
            found = self._answer(answer)
            facts |= {"status": found.status, "ids": found.ids}
        return found

    @contextmanager
    def download(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
        """The answer to a GET of a full URL with the account's token, its content not read yet.

        The node is not necessarily in the catalog. UnsentError or LostError as :meth:`send`, and LostError if the
        content breaks off.
        """
        import requests

        answer: requests.Response | None = None
        try:
            with self._failing(f"GET {url}"):
                answer = self._region.get_session().request(
                    url, "GET", raise_exc=False, redirect=False, connect_retries=0, status_code_retries=0, log=False,
                    stream=True, headers={"Accept": "*/*", **(headers or {})},
                )  # fmt: skip
            yield answer
        except requests.RequestException as problem:
            raise LostError(f"GET {url} broke off: {self._clean(str(problem))}") from None
        finally:
            if answer is not None:
                answer.close()

    def endpoints(self, service: str) -> list[str]:
        """Every URL that the catalog has of a service, of any interface, without a version; [] if there is none."""
        from keystoneauth1.identity.base import BaseIdentityPlugin

        session = self._region.get_session()
        if not isinstance(session.auth, BaseIdentityPlugin):
            return [self.client(service)[1]]  # no catalog, but one URL
        with self._failing("read the catalog", sent=False):
            kind = self._region.get_service_type(service)
            found = session.auth.get_access(session).service_catalog.get_endpoints(service_type=kind)
        urls = [str(one["url"]).rstrip("/") for some in found.values() for one in some if one]
        return list(dict.fromkeys(re.sub(r"/v\d[\d.]*$", "", url) for url in urls))

    def client(self, service: str) -> tuple[Adapter, str]:
        """(an adapter of the service, its endpoint with the version). UnsentError if the catalog has none."""
        if service not in self._clients:
            with self._failing(f"find the service {service}", sent=False):
                client = self._adapter(service)
                endpoint = client.get_endpoint()
            if not endpoint:
                raise UnsentError(f"cloud {self.name} has no service {service}", "Check its catalog, and region_name.")
            if service == "network" and not str(endpoint).rstrip("/").endswith("/v2.0"):
                endpoint = f"{str(endpoint).rstrip('/')}/v2.0"  # its catalog entry is the root URL, in every release
            self._clients[service], self._endpoints[service] = client, str(endpoint).rstrip("/")
        return self._clients[service], self._endpoints[service]

    def _adapter(self, service: str) -> Adapter:
        from keystoneauth1.adapter import Adapter

        region = self._region
        low, high = _MAJOR.get(service, (None, None))
        return Adapter(
            session=region.get_session(),
            service_type=region.get_service_type(service),
            service_name=region.get_service_name(service),
            interface=region.get_interface(service),
            region_name=region.get_region_name(service),
            endpoint_override=region.get_endpoint(service),
            min_version=low,
            max_version=high,
        )

    def versions(self, service: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """(lowest, highest) microversion that the service offers; None if it has none."""
        client, _ = self.client(service)
        with self._failing(f"ask {service} for its versions", sent=False):
            found = client.get_endpoint_data()
        if found is None or not found.max_microversion:
            return None
        low = found.min_microversion or found.max_microversion
        return (int(low[0]), int(low[1])), (int(found.max_microversion[0]), int(found.max_microversion[1]))

    def account(self) -> ApiAccount:
        """The account the services know us by."""
        session = self._region.get_session()
        with self._failing("ask who we are", sent=False):
            return ApiAccount(str(session.get_user_id() or ""), str(session.get_project_id() or ""))

    def close(self) -> None:
        """Close its connections."""
        inner = self._region.get_session().session
        if inner is not None:
            inner.close()

    @contextmanager
    def _failing(self, what: str, *, sent: bool = True) -> Iterator[None]:
        """Turn failures into errors without secrets. ``sent``: the request itself may have been received."""
        from keystoneauth1 import exceptions as keystone
        from openstack import exceptions as sdk

        try:
            yield
        except (keystone.ConnectFailure, keystone.UnknownConnectionError) as problem:
            never = not sent or _never_sent(problem)
            kind = UnsentError if never else LostError
            raise kind(
                f"{'no connection' if never else 'the answer was lost'} to {what} in cloud {self.name}:"
                f" {self._clean(session_words(problem))}",
                "Check that the service is running and reachable from here.",
            ) from None
        except keystone.Unauthorized:
            raise UnsentError(f"cloud {self.name} rejects this account", "Check its password and project.") from None
        except (keystone.ClientException, sdk.SDKException) as problem:
            raise UnsentError(
                f"could not {what} in cloud {self.name}: {self._clean(session_words(problem))}",
                "Check clouds.yaml and the catalog of the cloud.",
            ) from None

    def _answer(self, answer: requests.Response) -> Response:
        try:
            body = answer.json() if answer.content else None
        except ValueError:
            body = None
        ids = dict.fromkeys(value for name in _IDS if (value := answer.headers.get(name)))
        words = "" if 200 <= answer.status_code < 300 else self._clean(_words(body) or answer.text or "")
        after = _after(answer.headers.get("retry-after"))
        modified = answer.headers.get("last-modified", "")
        return Response(answer.status_code, body, tuple(ids), after, words, _code(body), modified)

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _plain(text)


def configured(cloud: str | None) -> bool:
    """Whether an account is given by the configuration or the environment."""
    return bool(cloud or os.environ.get("OS_AUTH_URL"))


def session_words(problem: BaseException) -> str:
    """The text of a failure of keystoneauth or openstacksdk, short."""
    return _plain(str(problem) or type(problem).__name__)


def _plain(text: str) -> str:
    """One short line without markup."""
    line = _MARKUP.sub(" ", text).strip().rstrip(".")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _words(body: Any) -> str:
    """A service's reason for a refusal; each service wraps it differently."""
    if not isinstance(body, Mapping):
        return ""
    if isinstance(errors := body.get("errors"), list) and errors and isinstance(errors[0], Mapping):
        return str(errors[0].get("detail") or errors[0].get("title") or "")
    for value in body.values():
        if isinstance(value, Mapping) and value.get("message"):
            return str(value["message"])
        if isinstance(value, str):
            return value
    return ""


def _code(body: Any) -> str:
    errors = body.get("errors") if isinstance(body, Mapping) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return str(first.get("code") or "") if isinstance(first, Mapping) else ""


def _after(header: str | None) -> float | None:
    """Seconds of a Retry-After header; dates are ignored."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None


def _never_sent(problem: BaseException) -> bool:
    """Whether not even a connection was established."""
    import requests
    import urllib3

    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, requests.exceptions.ConnectTimeout | urllib3.exceptions.NewConnectionError):
            return True
        if isinstance(cause, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
            return True
        reason = cause.args[0] if cause.args else None
        inner = getattr(reason, "reason", None) or getattr(cause, "reason", None)
        cause = inner if isinstance(inner, BaseException) else cause.__context__
    return False


def _secrets(region: CloudRegion) -> Iterator[str]:
    """The secret values of the account, longest first."""
    account = region.config.get("auth") or {}
    found = {
        str(value)
        for name, value in account.items()
        if any(word in name for word in _SECRET) and isinstance(value, str) and len(value) > 2
    }
    yield from sorted(found, key=len, reverse=True)
