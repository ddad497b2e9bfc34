"""Run stages on this machine, in this process or in several others."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Annotated

from pydantic import Field

from fgbench import ConfigurationError, Executor, WorkerSetup, release_resident, run_stage


class LocalExecutor(Executor):
    """`jobs` processes; with one, stages run in the calling process."""

    jobs: Annotated[int, Field(ge=1, le=1024)] = 1

    def open(self, worker: WorkerSetup) -> None:
        self._worker = worker._replace(keep_residents=self.jobs == 1)
        self._pool = self._new_pool() if self.jobs > 1 else None

    @property
    def slots(self) -> int:
        # One more than the number of workers keeps them busy while results are read.
        return 1 if self._pool is None else self.jobs + 1

    def submit(self, stage: str) -> Future[str]:
        if self._pool is not None:
            with _interrupt_held_back(), _main_held_back():
                try:
                    return self._pool.submit(run_stage, self._worker, stage)
                except BrokenExecutor:
                    self._pool.shutdown(wait=False)
                    self._pool = self._new_pool()
                    return self._pool.submit(run_stage, self._worker, stage)
        future: Future[str] = Future()
        future.set_result(run_stage(self._worker, stage))
        return future

    def close(self, *, cancel: bool) -> None:
        if self._pool is None:
            release_resident()
            return
        if cancel:
            # Nothing is left half-written: artifacts are stored whole or not at all.
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=cancel)

    def _new_pool(self) -> ProcessPoolExecutor:
        try:
            return ProcessPoolExecutor(
                self.jobs,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
            )
        except (OSError, ImportError) as error:  # of semaphores
            raise ConfigurationError(
                f"This machine has no shared memory for several processes ({error}): use --jobs 1 "
                "(jobs=1), or give a container a writable /dev/shm."
            ) from error


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Block Ctrl-C in this thread while workers start; they inherit the blocked signal.

    A worker that is still importing cannot ignore it yet and would end with a traceback. Other
    threads of this process still receive it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    multiprocessing.resource_tracker.ensure_running()  # starting it unblocks Ctrl-C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:  # undone even if the blocking call itself is interrupted
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _main_held_back() -> Iterator[None]:
    """Start workers without the main module of this process.

    They need nothing of it. Otherwise a script without `if __name__ == "__main__":` would run again
    in each worker, and a script on standard input has no file that could be imported.
    """
    main = sys.modules.get("__main__")
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        if main is not None:
            sys.modules["__main__"] = main


def _start_worker() -> None:
    """Leave Ctrl-C and standard output to the parent, and exit when it does, for any reason."""
    sys.stdout = sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
