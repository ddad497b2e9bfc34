"""Running a coroutine from synchronous code, even if an event loop is running, as in notebooks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


def run_coroutine(
    make: Callable[..., Coroutine[Any, Any, None]], *functions: Callable[..., Any]
) -> None:
    """Run the coroutine that `make(*functions)` returns until it is done.

    If this thread has a running loop, the coroutine runs in another thread. The functions are
    still called in this thread, because their objects may be bound to it. Ctrl-C cancels the
    coroutine; `KeyboardInterrupt` is raised after it has ended.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(make(*functions))
    else:
        _ThreadedRun(make, functions).run()


class _ThreadedRun:
    """Runs a coroutine in another thread and the functions that it calls in this one."""

    def __init__(
        self,
        make: Callable[..., Coroutine[Any, Any, None]],
        functions: tuple[Callable[..., Any], ...],
    ) -> None:
        self._make = make
        self._functions = functions
        self._calls: SimpleQueue[tuple[Callable[..., Any], Any, SimpleQueue[Any]] | None] = (
            SimpleQueue()
        )
        self._result: Future[None] = Future()
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        thread = threading.Thread(target=self._run_in_thread, name="fgbench-endpoint", daemon=True)
        thread.start()
        interrupted = False
        while True:
            try:
                call = self._calls.get()
            except KeyboardInterrupt:
                interrupted = True
                self._cancel()
                continue
            if call is None:
                break
            function, arguments, reply = call
            try:
                reply.put((function(*arguments), None))
            except BaseException as error:  # noqa: BLE001 - raised again by the caller
                reply.put((None, error))
        thread.join()
        if interrupted:
            raise KeyboardInterrupt
        self._result.result()

    def _run_in_thread(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again in the first thread
            self._result.set_exception(error)
        else:
            self._result.set_result(None)
        self._calls.put(None)

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        await self._make(*map(self._remote, self._functions))

    def _remote(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            reply: SimpleQueue[Any] = SimpleQueue()
            self._calls.put((function, arguments, reply))
            value, error = reply.get()
            if error is not None:
                raise error
            return value

        return call

    def _cancel(self) -> None:
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)
