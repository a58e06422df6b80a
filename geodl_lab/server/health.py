"""How the server is: ``/health`` for who watches it, ``/metrics`` for Prometheus; its version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from geodl_lab._version import __version__
from geodl_lab.jobs.job import State
from geodl_lab.jobs.meters import Meters
from geodl_lab.server.arcgis.web import NO_STORE

SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
JOBS_METRICS = (
    ("geodl_jobs", "Jobs that are kept, by state."),
    ("geodl_queue_length", "Jobs that wait."),
)
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")

router = APIRouter(tags=["server"])


class Watched(Protocol):
    """What of the core is looked at."""

    @property
    def meters(self) -> Meters:
        """What the runner counts."""
        ...

    @property
    def workers_ready(self) -> bool:
        """Whether all workers have started."""
        ...

    def counts(self) -> Mapping[State, int]:
        """Return how many jobs are in each state."""
        ...


class Metrics:
    """Counters of requests, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "geodl_requests", "Answers to requests.", ("method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "geodl_request_seconds", "Seconds to answer a request.", buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip

    def count_request(self, method: str, status: int, seconds: float) -> None:
        """Count an answer; a status of 0 is one that broke off."""
        self._requests.labels(method if method in METHODS else "other", str(status)).inc()
        self._seconds.observe(seconds)


@router.get("/health", response_model=None, responses={503: {"description": "It is stopping."}})
async def health(request: Request) -> Response:
    """Tell whether the server answers: 200, or 503 while it stops. Workers may still start."""
    state = request.app.state
    workers = "ready" if state.core.workers_ready else "starting"
    answer = {
        "status": "stopping" if state.stopping else "ok",
        "version": __version__,
        "workers": workers,
    }
    return JSONResponse(answer, 503 if state.stopping else 200, headers=NO_STORE)


@router.get("/ping", response_class=PlainTextResponse)
def ping() -> str:
    """Tell that the server is there."""
    return "pong"


@router.get("/version", response_class=PlainTextResponse)
def version() -> str:
    """Tell the version of the package."""
    return __version__


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    """Return counters and gauges in the text format of Prometheus."""
    state = request.app.state
    jobs = CollectorRegistry()
    jobs.register(_Jobs(state.core.counts()))
    text = b"".join(
        map(generate_latest, (jobs, state.core.meters.registry, state.metrics.registry))
    )
    return Response(text, headers={**NO_STORE, "Content-Type": CONTENT_TYPE_LATEST})


class _Jobs(Collector):
    """The jobs by state, as they are now."""

    def __init__(self, counts: Mapping[State, int]) -> None:
        self.counts = counts

    def collect(self) -> Iterable[Metric]:
        """Yield the gauges."""
        kept, waiting = JOBS_METRICS
        gauge = GaugeMetricFamily(*kept, labels=["state"])
        for state in State:
            gauge.add_metric([state], self.counts.get(state, 0))
        yield gauge
        yield GaugeMetricFamily(*waiting, value=self.counts.get(State.PENDING, 0))
