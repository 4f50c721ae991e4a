"""Micro-batching: requests that wait are answered together, in a thread of their own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from nni_earlyexit.runtime import Prediction
from numpy.typing import NDArray

Answer = Callable[[str, NDArray[np.float32]], Prediction]
"""Answers a batch under the policy of a name."""


class QueueFull(Exception):
    """There is no room for another request now."""


@dataclass(eq=False)
class Request:
    """Inputs that want to be answered under one policy; ``due`` once they have waited for others for long enough."""

    policy: str
    inputs: NDArray[np.float32]
    answers: asyncio.Future[Prediction]
    due: bool = False


class Batcher:
    """Collects requests, and answers those of one policy together.

    Parameters
    ----------
    answer
        Called with one batch at a time, outside the event loop.
    max_batch
        Most inputs of a batch.
    max_wait_s
        Seconds that a request waits for others at most while nothing else is being answered.
    max_waiting
        Most inputs that wait.
    """

    def __init__(self, answer: Answer, max_batch: int, max_wait_s: float, max_waiting: int) -> None:
        self._answer, self._thread = answer, ThreadPoolExecutor(1)
        self.max_batch, self._max_wait_s, self._max_waiting = max_batch, max_wait_s, max_waiting
        self._requests: deque[Request] = deque()
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Inputs that wait."""
        return sum(len(request.inputs) for request in self._requests)

    async def answers(self, policy: str, inputs: NDArray[np.float32]) -> Prediction:
        """The answers to ``inputs``, at most ``max_batch``; :class:`QueueFull` if they cannot wait here."""
        if self.waiting + len(inputs) > self._max_waiting:
            raise QueueFull(f"queue: {self.waiting} inputs wait already, of at most {self._max_waiting}")
        loop = asyncio.get_running_loop()
        request = Request(policy, inputs, loop.create_future())
        self._requests.append(request)
        loop.call_later(self._max_wait_s, self._no_longer, request)
        if self._due():
            self._wake.set()
        try:
            return await request.answers
        except asyncio.CancelledError:  # nobody wants the answer any more
            with suppress(ValueError):
                self._requests.remove(request)
            raise

    def stop_waiting(self) -> None:
        """From now on no request waits for others, because no more will come."""
        self._max_wait_s = 0.0
        for request in self._requests:
            request.due = True
        self._wake.set()

    async def run(self) -> None:
        """Answer requests until cancelled."""
        loop = asyncio.get_running_loop()
        while await self._wake.wait():
            self._wake.clear()
            while self._due():
                batch = self._next()
                inputs = np.concatenate([request.inputs for request in batch])
                try:
                    whole = await loop.run_in_executor(self._thread, self._answer, batch[0].policy, inputs)
                except Exception as error:  # whatever it is, those who wait must hear of it, and the next batch may do
                    for request in batch:
                        if not request.answers.done():
                            request.answers.set_exception(error)
                    continue
                start = 0
                for request in batch:
                    own = slice(start, start := start + len(request.inputs))
                    if not request.answers.done():
                        request.answers.set_result(Prediction(*(column[own] for column in whole)))

    def _no_longer(self, request: Request) -> None:
        request.due = True
        self._wake.set()

    def _due(self) -> bool:
        """``True`` if the oldest request has waited for long enough, or its batch is full."""
        if not self._requests:
            return False
        oldest = self._requests[0]
        same = (len(request.inputs) for request in self._requests if request.policy == oldest.policy)
        return oldest.due or sum(same) >= self.max_batch

    def _next(self) -> list[Request]:
        """The oldest request and those of its policy that fit into a batch with it, taken out of the queue."""
        policy, room, batch, others = self._requests[0].policy, self.max_batch, [], deque()
        for request in self._requests:
            fits = request.policy == policy and len(request.inputs) <= room
            room -= len(request.inputs) if fits else 0
            (batch if fits else others).append(request)
        self._requests = others
        return batch
