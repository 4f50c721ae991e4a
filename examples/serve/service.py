"""A bundle as an HTTP service: ``python examples/serve/service.py BUNDLE --port 8000``; the README beside it says more."""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import uvicorn
from batching import Batcher, QueueFull
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from nni_earlyexit.runtime import Bundle, OnnxPredictor, Prediction
from nni_earlyexit.runtime.preparing import Preparation
from nni_earlyexit.utils.amounts import parse_amount, parse_duration
from nni_earlyexit.utils.checks import number, positive, whole_number
from nni_earlyexit.utils.errors import Parser, exits_with_one_sentence, parsed_by
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import ClientDisconnect

EXPORTED = "exported"
"""Name of the bundle's own policy; others have their average MACs as names."""
BUDGETS = 256
"""Budgets whose policies are kept."""
JSON, RAW = "application/json", "application/octet-stream"


class Metrics:
    """The numbers of ``/metrics``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"namespace": "earlyexit", "registry": self.registry}
        self.requests = Counter("requests", "Requests to /predict", ["status"], **own)
        self.seconds = Histogram("request_seconds", "Time of a request to /predict", **own)
        self.batches = Histogram("batch_inputs", "Inputs of a batch", buckets=[2**i for i in range(10)], **own)
        self.exits = Counter("exit_inputs", "Inputs that left at an exit", ["exit"], **own)
        self.waiting = Gauge("queue_inputs", "Inputs that wait", **own)
        self.drift = Gauge("exit_drift", "Share of inputs that left at other exits than promised", ["policy"], **own)
        self.alarm = Gauge("exit_drift_alarm", "1 if that is proven to be no chance", ["policy"], **own)


class Service:
    """A predictor with its policies, its queue and its numbers."""

    def __init__(self, predictor: Any, options: argparse.Namespace) -> None:
        self.predictor, self.options, self.metrics = predictor, options, Metrics()
        self.bundle: Bundle = predictor.bundle
        self.prepared = Preparation(self.bundle.architecture.preprocessing)
        self.policies = {EXPORTED: predictor.policy}  # no more than the bundle has
        self.batcher = Batcher(self._answer, options.max_batch, options.max_wait_ms / 1e3, options.queue)
        self.metrics.waiting.set_function(lambda: self.batcher.waiting)
        self.policy_within = functools.lru_cache(BUDGETS)(self._policy_within)

    def _policy_within(self, budget: str) -> str:
        """The name of the best policy with at most ``budget`` average MACs; ``ValueError`` if there is none."""
        try:
            point = self.bundle.point_at(max_cost=parse_amount(budget))
        except ValueError as error:
            raise ValueError(f"max_avg_macs: {str(error).removeprefix('max_cost: ')}") from None
        name = repr(point.avg_cost)
        self.policies.setdefault(name, self.bundle.fit().family.policy_of(point))
        return name

    def _answer(self, policy: str, inputs: NDArray[np.float32]) -> Prediction:
        self.predictor.policy = self.policies[policy]  # one thread answers, so it is this batch's
        answers: Prediction = self.predictor(inputs)
        self.metrics.batches.observe(len(inputs))
        for exit, count in enumerate(np.bincount(answers.exits).tolist()):
            self.metrics.exits.labels(exit).inc(count)
        return answers

    async def predict(self, request: Request, max_avg_macs: str | None) -> list[dict[str, Any]]:
        """The answers to a request; ``HTTPException`` where there are none."""
        body = bytearray()
        async for part in request.stream():  # a length that a client states may be wrong or missing
            body += part
            if len(body) > self.options.max_body:
                raise HTTPException(413, f"body: more than {self.options.max_body:.0f} bytes")
        try:
            policy = EXPORTED if max_avg_macs is None else self.policy_within(max_avg_macs)
            inputs = self._inputs(request.headers.get("content-type", ""), bytes(body))
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        if len(inputs) > self.batcher.max_batch:
            raise HTTPException(
                413, f"inputs: {len(inputs)} are too many; at most {self.batcher.max_batch} are possible"
            )
        try:
            answers = await self.batcher.answers(policy, inputs)
        except QueueFull as error:
            raise HTTPException(503, str(error), {"Retry-After": "1"}) from None
        names = self.bundle.architecture.class_names
        return [
            {"class": c, "name": names[c] if names else str(c), "probability": max(probabilities), "exit": e, "macs": m}
            for c, probabilities, e, m in zip(*(column.tolist() for column in answers), strict=True)
        ]

    def _inputs(self, content_type: str, body: bytes) -> NDArray[np.float32]:
        """The batch (inputs, *input shape) of a body; ``ValueError`` if it holds none."""
        own, kind = self.bundle.architecture, content_type.partition(";")[0].strip().lower()
        if kind == RAW:
            size = math.prod(own.input_shape)
            if not body or len(body) % size:
                shape = " x ".join(map(str, own.input_shape))
                raise ValueError(f"body: {len(body)} bytes are no images of {shape} = {size} bytes")
            return self.prepared(np.frombuffer(body, np.uint8).reshape(-1, *own.input_shape))
        if kind != JSON:  # which no page of another site can send without asking
            raise HTTPException(415, f"content-type: {kind[:100]!r} is not possible; {JSON} and {RAW} are")
        try:
            images = np.array(json.loads(body)["inputs"], np.float32)
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
            raise ValueError('body: not as {"inputs": [image, ...]}, each image nested lists of numbers') from None
        if not np.isfinite(images).all():
            raise ValueError("inputs: they hold what is no finite number")
        return self.prepared(images)

    def shifts(self) -> dict[str, Any]:
        """The exits of the policies that were asked for, beside those that the bundle promises."""
        return {name: self.predictor.watch.shift(policy) for name, policy in list(self.policies.items())}


def application(service: Service) -> FastAPI:
    """The service's endpoints."""
    metrics = service.metrics

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(service.batcher.run())
        yield
        worker.cancel()  # every request has been answered

    app = FastAPI(title="nni-earlyexit", lifespan=lifespan)

    @app.post("/predict")
    async def predict(request: Request, max_avg_macs: str | None = None) -> Response:
        began, status = time.perf_counter(), 500
        try:
            answers = await asyncio.wait_for(service.predict(request, max_avg_macs), service.options.timeout)
            status = 200
            return JSONResponse({"answers": answers})
        except HTTPException as error:
            status = error.status_code
            raise
        except asyncio.TimeoutError:
            status = 504
            raise HTTPException(status, f"no answer within {service.options.timeout:g} s") from None
        except ClientDisconnect:
            status = 499
            return Response(status_code=status)
        finally:
            metrics.requests.labels(status).inc()
            metrics.seconds.observe(time.perf_counter() - began)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        shifts = service.shifts()
        return {
            "status": "shift" if any(shift.alarm for shift in shifts.values()) else "ok",
            "network": service.bundle.architecture.description,
            "policies": {name: shift._asdict() for name, shift in shifts.items()},
        }

    @app.get("/metrics")
    async def numbers() -> Response:
        for name, shift in service.shifts().items():
            away = np.abs(np.subtract(shift.seen, shift.promised)).sum() / 2 if shift.inputs else 0.0
            metrics.drift.labels(name).set(away)
            metrics.alarm.labels(name).set(shift.alarm)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def load(folder: str, threads: int) -> Any:
    """The predictor of a bundle: onnxruntime's where it has the files, PyTorch's otherwise."""
    bundle = Bundle.load(folder)
    if len(bundle.architecture.input_shape) != 3:
        raise ValueError(f"bundle: {folder!r} takes no images, for which this service is")
    try:
        return OnnxPredictor(bundle, threads=threads)
    except FileNotFoundError:
        import torch
        from nni_earlyexit.deploy import EarlyExitPredictor

        torch.set_num_threads(threads)
        return EarlyExitPredictor(bundle)


class Server(uvicorn.Server):
    """Answers at SIGTERM what waits, and ends."""

    def __init__(self, service: Service, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        asyncio.get_running_loop().call_soon_threadsafe(self.service.batcher.stop_waiting)


@exits_with_one_sentence
def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("bundle", help="folder of the bundle")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; this machine only by default")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=1, help="threads of a batch (1)")
    parser.add_argument("--max-batch", type=int, default=64, help="most inputs of a batch, and of a request (64)")
    parser.add_argument("--max-wait-ms", type=float, default=0, help="time that a request waits for others (0)")
    parser.add_argument("--queue", type=int, default=256, help="most inputs that wait; 503 beyond (256)")
    parser.add_argument("--max-body", type=parsed_by(parse_amount), default=1e6, help="most bytes of a body; 413 (1M)")
    parser.add_argument("--timeout", type=parsed_by(parse_duration), default=10.0, help="time for a request; 504 (10s)")
    options = parser.parse_args()
    for name in ("threads", "max_batch", "queue"):
        whole_number(1)(name, getattr(options, name))
    number(0)("max_wait_ms", options.max_wait_ms)
    whole_number(1, 65535)("port", options.port)
    positive("bytes")("max_body", options.max_body)
    predictor = load(options.bundle, options.threads)
    predictor.measure(options.max_batch)
    service = Service(predictor, options)
    config = uvicorn.Config(
        application(service),
        host=options.host,
        port=options.port,
        access_log=False,
        timeout_graceful_shutdown=math.ceil(options.timeout),
    )
    Server(service, config).run()


if __name__ == "__main__":
    main()
