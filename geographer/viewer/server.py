"""Viewer server: a web server on loopback that answers who knows the token, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from geographer.base.errors import StorageError
from geographer.storage.database.connection import interrupt_queries
from geographer.viewer.access import HEADERS, LOOPBACK, is_known_host, is_token, make_token
from geographer.viewer.answers import ViewerAnswer, ViewerAnswers, make_json_answer
from geographer.viewer.session import ViewerSession

logger = logging.getLogger(__name__)
logging.getLogger("tornado.access").setLevel(logging.ERROR)

_TILE_THREADS: Final = 3
_READ_THREADS: Final = 3
_FORBIDDEN: Final = "This address needs the token that geographer view printed. Open that address."
_UNEXPECTED: Final = "An unexpected error; the terminal of geographer view shows it. Please report it."


class ViewerServer:
    """The web server of one session, which listens from the beginning."""

    def __init__(self, session: ViewerSession, port: int = 0, token: str | None = None) -> None:
        """Listen on a port of loopback; 0: a free one.

        Raises:
            StorageError: another program uses the port, or it may not be used.
        """
        self._session = session
        self._tiles = ThreadPoolExecutor(_TILE_THREADS, "geographer-tiles")
        self._reads = ThreadPoolExecutor(_READ_THREADS, "geographer-reads")
        self.token = token or make_token()
        self._socket = _listen_on_loopback(port)
        self.port: int = self._socket.getsockname()[1]

    @property
    def page_address(self) -> str:
        """The address of the page, which has the token."""
        return f"http://{LOOPBACK}:{self.port}/{self.token}/"

    def run(self, on_started: Callable[[], None] = lambda: None, *, handle_signals: bool = True) -> None:
        """Answer requests until Ctrl-C, SIGTERM, or `stop_serving`."""
        asyncio.run(self._serve_page(on_started, handle_signals=handle_signals))

    def stop_serving(self) -> None:
        """End `run`; any thread may call it."""
        with suppress(RuntimeError):  # It has ended.
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve_page(self, on_started: Callable[[], None], *, handle_signals: bool) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        answers = ViewerAnswers(self._session)
        settings = {"server": self, "answers": answers}
        server = HTTPServer(Application([(r"/(.*)", _ViewerHandler, settings)], log_function=_ignore_request))
        server.add_socket(self._socket)
        if handle_signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._loop.add_signal_handler(number, self._stopped.set)
        self._session.begin_reading()
        on_started()
        await self._stopped.wait()
        server.stop()
        await self._loop.run_in_executor(None, self._end_threads)
        await server.close_all_connections()

    def _end_threads(self) -> None:
        for pool in (self._tiles, self._reads):
            pool.shutdown(wait=False, cancel_futures=True)
        interrupt_queries()
        for pool in (self._tiles, self._reads):
            pool.shutdown(wait=True)

    def submit(self, path: str, task: Callable[[], ViewerAnswer]) -> Future[ViewerAnswer]:
        """Answer in another thread; tiles do not wait for other reads."""
        return (self._tiles if path.startswith("tiles/") else self._reads).submit(task)


class _ViewerHandler(RequestHandler):
    """Checks who asks; answers in another thread."""

    SUPPORTED_METHODS = ("GET",)

    def initialize(self, server: ViewerServer, answers: ViewerAnswers) -> None:
        self._server, self._viewer_answers = server, answers
        self._task: Future[ViewerAnswer] | None = None

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse requests by another name of this machine, by another page, or without the token."""
        token = self.request.path.removeprefix("/").partition("/")[0]
        headers = self.request.headers
        # A link elsewhere may lead here, as it has the token; what another page loads may not.
        is_foreign = headers.get("Sec-Fetch-Site") == "cross-site" and headers.get("Sec-Fetch-Mode") != "navigate"
        is_allowed = is_known_host(self.request.host, self._server.port) and is_token(token, self._server.token)
        if is_foreign or not is_allowed:
            self._send_answer(make_json_answer({"error": _FORBIDDEN}, 403))

    async def get(self, path: str) -> None:
        """Answer a request."""
        _, slash, rest = path.partition("/")
        if not slash:
            self.redirect(f"/{self._server.token}/")
            return
        parameters = {name: self.get_query_arguments(name, strip=False) for name in self.request.query_arguments}
        self._task = self._server.submit(rest, lambda: self._viewer_answers.answer_request(rest, parameters))
        try:
            answer = await asyncio.wrap_future(self._task)
        except asyncio.CancelledError:
            return
        self._send_answer(answer)

    def on_connection_close(self) -> None:
        """Do not begin what the page no longer waits for, such as a tile that has left the map."""
        if self._task is not None:
            self._task.cancel()

    def write_error(self, status_code: int, **_: Any) -> None:
        """Answer errors that no code expects, and other methods than GET, as JSON."""
        texts = {405: "The viewer only reads: use GET.", 500: _UNEXPECTED}
        if status_code == 405:
            self.set_header("Allow", "GET")
        self._send_answer(make_json_answer({"error": texts.get(status_code, self._reason)}, status_code))

    def _send_answer(self, answer: ViewerAnswer) -> None:
        self.set_status(answer.status)
        self.set_header("Content-Type", answer.type)
        self.finish(answer.content)


def _listen_on_loopback(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise StorageError(
            f"cannot listen on port {port} of {LOOPBACK} ({error.strerror}). Pass another --port, or none."
        ) from error
    return listener


def _ignore_request(_handler: RequestHandler) -> None:
    """Print nothing about a request: the address has the token."""
