"""HTTP requests of the record transports: authorised, paced, and tried again when they fail for a while.

Here: OAuth2 client credentials (secret or signed assertion), bearer tokens and basic authorisation, the configured
pace, waits that a server asks for, retries with backoff and jitter, bodies that were cut.
Not here: what is asked for and what is made of it (`rest`, `fhir_bulk`).

What a server answers may quote a patient's record: an error names status, place and a standard code, never a body.
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from ingest.transports.endpoints import EndpointError, FhirBulkEndpoint, RestEndpoint, reveal

if TYPE_CHECKING:
    import httpx

Made = TypeVar("Made")

# How long a server may ask to be left alone before the pull ends and says so.
LONGEST_REQUESTED_WAIT = 900.0
# Throttled answers in a row: they are no failures, but a server that never lets in is one.
_MOST_THROTTLED = 60
# A token is fetched anew this long before it expires.
_TOKEN_MARGIN = 30.0
# Life of a signed assertion (SMART App Launch 2, backend services: five minutes at most).
_ASSERTION_SECONDS = 240


@dataclass(frozen=True)
class Clock:
    """Time as the client knows it; tests bring their own."""

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    epoch: Callable[[], float] = time.time
    jitter: Callable[[float, float], float] = random.uniform


class Again(Exception):
    """What was received is not whole: ask once more."""


class Refused(EndpointError):
    """The server answered with a status that no repetition will change, or that none has changed."""

    def __init__(self, message: str, status: int, response: httpx.Response) -> None:
        super().__init__(message)
        self.status = status
        self.response = response


class Client:
    """Requests to one endpoint; safe to share between threads."""

    def __init__(self, endpoint: RestEndpoint | FhirBulkEndpoint, clock: Clock) -> None:
        import httpx

        self._endpoint = endpoint
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._token_until = 0.0
        self._next_start = 0.0
        self._origin = _origin(endpoint.url)
        # Its log has whole URLs, and a parameter of one may be a patient's number.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        headers = {name: str(value) for name, value in reveal(endpoint.headers).items()}
        options = {"timeout": endpoint.timeout_seconds, "follow_redirects": True, **reveal(endpoint.options)}
        self._http = httpx.Client(headers=headers, **options)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    # ---------------------------------------------------------------- requests

    def get(
        self,
        url: str,
        make: Callable[[httpx.Response], Made],
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset({200}),
        authorise: bool | None = None,
    ) -> Made:
        """What `make` makes of the answer, whose body is not read yet; it raises `Again` where that is not whole.

        `authorise`: whether the credentials go along; None: where the URL is of the endpoint's own origin.

        Raises:
            Refused: a status neither accepted nor passing.
            EndpointError: it still fails after the endpoint's attempts, or no token is to be had.
        """
        return self._insist("GET", url, make, params or {}, headers or {}, accept, authorise)

    def delete(self, url: str, accept: frozenset[int]) -> None:
        """Delete what stands at the URL.

        Raises:
            EndpointError: as `get`.
        """
        self._insist("DELETE", url, lambda response: None, {}, {}, accept, None)

    def _insist(
        self,
        method: str,
        url: str,
        make: Callable[[httpx.Response], Made],
        params: Mapping[str, Any],
        headers: Mapping[str, str],
        accept: frozenset[int],
        authorise: bool | None,
    ) -> Made:
        import httpx

        is_authorised = _origin(url) == self._origin if authorise is None else authorise
        failures = throttled = 0
        refreshed = False
        last: httpx.Response | None = None
        while True:
            asked_to_wait: float | None = None
            last = None
            try:
                self._pace()
                sent = {**headers, **(self._authorisation() if is_authorised else {})}
                with self._stream(method, url, params, sent) as response:
                    status = response.status_code
                    if status in accept:
                        return make(response)
                    if status == 401 and is_authorised and self._endpoint.auth.token_url and not refreshed:
                        refreshed = True
                        self._forget_token()
                        continue
                    if status not in (408, 425, 429) and status < 500:
                        response.read()
                        raise Refused(self._words(f"answers {status} {_place(url)}", status), status, response)
                    asked_to_wait = retry_after(response)
                    with suppress(httpx.HTTPError):
                        response.read()
                        last = response
                    if status == 429 or (status == 503 and asked_to_wait is not None):
                        throttled += 1
                    else:
                        failures += 1
                    trouble = f"answers {status} {_place(url)}"
            except (httpx.TransportError, httpx.DecodingError, Again) as error:
                failures += 1
                trouble = f"{_broken(error)} {_place(url)}"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise EndpointError(f"{self._where}: {type(error).__name__} {_place(url)}") from None
            if failures >= self._endpoint.retry.attempts or throttled >= _MOST_THROTTLED:
                told = f"{self._where}: {trouble}, {failures + throttled} times; try again later"
                raise EndpointError(told) if last is None else Refused(told, last.status_code, last)
            if asked_to_wait is not None and asked_to_wait > LONGEST_REQUESTED_WAIT:
                raise EndpointError(
                    f"{self._where}: asks to be left alone for {asked_to_wait:.0f} seconds; pull again after that"
                )
            self._clock.sleep(self.backoff(failures + throttled) if asked_to_wait is None else asked_to_wait)

    @contextmanager
    def _stream(
        self, method: str, url: str, params: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        # Parameters join those of the URL: a next link has its own.
        request = self._http.build_request(method, url, headers=dict(headers))
        if params:
            request.url = request.url.copy_merge_params(params)
        response = self._http.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    def _pace(self) -> None:
        """Wait until the next request may start."""
        rate = self._endpoint.requests_per_second
        if not rate:
            return
        with self._lock:
            now = self._clock.monotonic()
            start = max(now, self._next_start)
            self._next_start = start + 1 / rate
        if start > now:
            self._clock.sleep(start - now)

    def backoff(self, failures: int) -> float:
        """Seconds to wait after so many failures: doubling, up to the longest, with jitter."""
        retry = self._endpoint.retry
        longest = min(retry.first_wait_seconds * 2.0 ** max(failures - 1, 0), retry.longest_wait_seconds)
        return self._clock.jitter(longest / 2, longest)

    @property
    def _where(self) -> str:
        return f"endpoint {self._endpoint.name}"

    def _words(self, told: str, status: int) -> str:
        advice = {
            401: "check the credentials",
            403: "the credentials do not allow it; ask for the scope or the permission",
            404: "there is nothing; check url and path",
        }.get(status)
        return f"{self._where}: {told}{f': {advice}' if advice else ''}"

    # ---------------------------------------------------------------- authorisation

    def _authorisation(self) -> dict[str, str]:
        import base64

        auth = self._endpoint.auth
        if auth.token_url:
            return {"Authorization": f"Bearer {self._access_token()}"}
        if auth.token is not None:
            return {"Authorization": f"Bearer {auth.token.reveal()}"}
        if auth.user is not None:
            word = auth.password.reveal() if auth.password else ""
            return {"Authorization": f"Basic {base64.b64encode(f'{auth.user}:{word}'.encode()).decode()}"}
        return {}

    def _forget_token(self) -> None:
        with self._lock:
            self._token = None

    def _access_token(self) -> str:
        """The token, fetched when there is none or it is about to expire (RFC 6749, section 4.4)."""
        with self._lock:
            if self._token is None or self._clock.monotonic() >= self._token_until:
                self._token, life = self._fetch_token()
                self._token_until = self._clock.monotonic() + max(life - _TOKEN_MARGIN, life / 2)
            return self._token

    def _fetch_token(self) -> tuple[str, float]:
        import httpx

        auth = self._endpoint.auth
        url = auth.token_url or ""
        form = {"grant_type": "client_credentials"}
        if auth.scope:
            form["scope"] = auth.scope
        client = reveal(auth.client_id) or ""
        secret = auth.client_secret.reveal() if auth.client_secret else ""
        # Most servers take the client in the header (RFC 6749, section 2.3.1), some only in the body.
        ways: list[Callable[[], dict[str, Any]]]
        if auth.private_key_file:
            ways = [lambda: {"data": form | self._assertion(client, url)}]
        else:
            ways = [
                lambda: {"data": form, "auth": (quote(client, safe=""), quote(secret, safe=""))},
                lambda: {"data": form | {"client_id": client, "client_secret": secret}},
            ]
        failures = 0
        while True:
            asked_to_wait: float | None = None
            try:
                answer = self._http.post(url, headers={"Accept": "application/json"}, **ways[0]())
                status = answer.status_code
                if status == 200:
                    says = answer.json()
                    return str(says["access_token"]), float(says.get("expires_in") or 300)
                if status in (400, 401) and len(ways) > 1:
                    ways.pop(0)
                    continue
                if status != 429 and status < 500:
                    raise EndpointError(
                        f"{self._where}: no token {_place(url)}: {status}{_oauth_error(answer)}; check client_id, its"
                        " secret or key, and scope"
                    )
                asked_to_wait = retry_after(answer)
                trouble = f"no token {_place(url)}: {status}"
            except (httpx.TransportError, httpx.DecodingError) as error:
                trouble = f"no token {_place(url)}: {_broken(error)}"
            except (ValueError, KeyError, TypeError):
                trouble = f"no token {_place(url)}: the answer holds none"
            failures += 1
            if failures >= self._endpoint.retry.attempts:
                raise EndpointError(f"{self._where}: {trouble}, {failures} times; try again later")
            wait = self.backoff(failures) if asked_to_wait is None else min(asked_to_wait, LONGEST_REQUESTED_WAIT)
            self._clock.sleep(wait)

    def _assertion(self, client: str, url: str) -> dict[str, str]:
        """A signed statement of who asks (RFC 7523; SMART App Launch 2.2, backend services)."""
        import jwt

        auth = self._endpoint.auth
        try:
            key = Path(auth.private_key_file or "").expanduser().read_bytes()
        except OSError as error:
            raise EndpointError(f"{self._where}: private_key_file cannot be read: {error.strerror}") from None
        claims = {
            "iss": client,
            "sub": client,
            "aud": url,
            "jti": str(uuid.uuid4()),
            "exp": int(self._clock.epoch()) + _ASSERTION_SECONDS,
        }
        try:
            signed = jwt.encode(
                claims, key, algorithm=auth.algorithm, headers={"kid": auth.key_id} if auth.key_id else None
            )
        except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
            raise EndpointError(
                f"{self._where}: private_key_file holds no unencrypted PEM key for {auth.algorithm}"
            ) from None
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signed,
        }


def whole_json(response: httpx.Response) -> Any:
    """The body as JSON, numbers as `Number` with every digit.

    Raises:
        Again: it ends before it is whole, or is no JSON.
    """
    return parse_json(response.read())


class Number(str):
    """A JSON number, exactly as it stood there."""

    __slots__ = ()


def parse_json(body: bytes) -> Any:
    """JSON whose numbers keep their digits.

    Raises:
        Again: it is not whole.
    """
    try:
        return json.loads(body, parse_float=Number, parse_int=Number, parse_constant=Number)
    except (ValueError, RecursionError):
        raise Again("JSON that is not whole") from None


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, section 10.2.3); a date counts from the server's own clock."""
    said = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", said):
        return float(said)
    try:
        then, now = parsedate_to_datetime(said), parsedate_to_datetime(response.headers["Date"])
        return max((then - now).total_seconds(), 0.0)
    except (ValueError, TypeError, KeyError):
        return None


def _broken(error: Exception) -> str:
    import httpx

    if isinstance(error, Again):
        return f"sends {error}"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "cannot be reached"
    if isinstance(error, httpx.TimeoutException):
        return "does not answer in time"
    return "breaks off"


def _oauth_error(answer: httpx.Response) -> str:
    """The standard error code of an authorisation server (RFC 6749, section 5.2), when it is one."""
    try:
        code = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return ""
    return f" {code}" if re.fullmatch(r"[a-z_]{1,40}", code) else ""


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _place(url: str) -> str:
    """Host and the fixed part of the path: what follows a `?` or looks like an identifier may be a person's."""
    parts = urlsplit(url)
    steps = [step if re.fullmatch(r"[A-Za-z$_.-]*|v\d+|R4", step) else "*" for step in parts.path.split("/")]
    return f"at {parts.hostname}{'/'.join(steps)}"
