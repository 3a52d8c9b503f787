"""Link: the worker's calls to the server, one method for each endpoint.

Sends each call once; when to try again is for the callers to say, who know what a lost answer means to them.

Life of a run, this module's part::

    worker/poller -> claim -> Assignment ...            Outcome -> worker/reporter -> report -> server
"""

from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from oncue.protocol import work
from oncue.protocol.errors import ConnectionFailed, ServerError
from oncue.protocol.logs import LogsKept, LogsRequest
from oncue.sdk import answers, connections, requests
from oncue.sdk.settings import Settings

T = TypeVar("T")

_MARGIN_S: Final = 15.0
"""How much longer than promised a server may take to answer before it is taken for dead."""

_IDLE_S: Final = 4.0
"""Below the 5 s after which common servers close an idle connection, so that no request meets one being closed."""

_encode: Final = msgspec.json.Encoder().encode
_welcome: Final = msgspec.json.Decoder(work.Welcome)
_claimed: Final = msgspec.json.Decoder(work.ClaimResponse)
_reported: Final = msgspec.json.Decoder(work.OutcomesResponse)
_results: Final = msgspec.json.Decoder(work.BatchResults)
_logged: Final = msgspec.json.Decoder(LogsKept)
_anything: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()


class Link:
    """A server, as a worker sees it.

    Every method raises ``ApiError``: what the server answered, or ``ConnectionFailed`` where it did not.
    """

    def __init__(self, where: Settings) -> None:
        self._where = where
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {
            "Authorization": f"Bearer {self._where.secret_key}",
            "Content-Type": "application/json",
            "User-Agent": f"oncue-worker/{requests.version()}",
        }
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S)
        self._session = aiohttp.ClientSession(headers=headers, connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def announce(self, announcement: work.Announcement) -> work.Welcome:
        """Say that the worker is there, and what it can run."""
        return await self._post("announce", announcement, _welcome)

    async def claim(self, request: work.ClaimRequest) -> work.ClaimResponse:
        """Ask for runs and notices; returns within ``request.wait_ms`` or so."""
        return await self._post("claim", request, _claimed, wait_s=request.wait_ms / 1000)

    async def report(self, request: work.OutcomesRequest) -> work.OutcomesResponse:
        """Say how runs ended."""
        return await self._post("outcomes", request, _reported, wait_s=_MARGIN_S)

    async def leave(self, worker_id: str) -> None:
        """Say good-bye; whatever the worker still holds goes back in line."""
        await self._post("leave", work.Farewell(worker_id), _anything)

    async def bring_logs(self, request: LogsRequest) -> LogsKept:
        """Store lines that tasks logged."""
        return await self._post("logs", request, _logged, wait_s=_MARGIN_S)

    async def batch_results(self, batch_id: str, after: int, limit: int) -> list[work.ChildResult]:
        """Read a page of a batch's results.

        Args:
            batch_id: The batch.
            after: How many results to pass over, in item order.
            limit: Results of a page, 1 to 1,000.

        Returns:
            At most ``limit`` results in item order; empty after the last.
        """
        path = f"batches/{quote(batch_id, safe='')}/results?after={after}&limit={limit}"
        return (await self._send("GET", path, None, _results, wait_s=_MARGIN_S)).items

    async def _post(self, path: str, body: msgspec.Struct, read: msgspec.json.Decoder[T], *, wait_s: float = 0.0) -> T:
        return await self._send("POST", path, _encode(body), read, wait_s=wait_s)

    async def _send(
        self, method: str, path: str, body: bytes | None, read: msgspec.json.Decoder[T], *, wait_s: float
    ) -> T:
        assert self._session is not None
        url = f"{self._where.api_url}/api/v1/work/{path}"
        timeout = aiohttp.ClientTimeout(total=wait_s + _MARGIN_S)
        try:
            async with self._session.request(method, url, data=connections.sendable(body), timeout=timeout) as response:
                text = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ConnectionFailed(f"no answer from {self._where.api_url} ({reason})") from error
        if response.status >= 400:  # noqa: PLR2004 - the class of statuses, as HTTP has it
            headers = {name.lower(): value for name, value in response.headers.items()}
            raise answers.refusal(answers.Answer(response.status, headers, text, 0.0), self._where)
        try:
            return read.decode(text)
        except msgspec.MsgspecError as error:
            raise ServerError(f"the answer of {url} cannot be read: {error}") from error
