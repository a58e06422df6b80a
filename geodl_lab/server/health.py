"""How the server is: ``/health`` for who watches it, ``/metrics`` for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from geodl_lab._version import __version__
from geodl_lab.jobs.figures import Figures
from geodl_lab.server.arcgis.web import NO_STORE
from geodl_lab.server.context import core_of

SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")

router = APIRouter(tags=["server"])


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
    stopping = request.app.state.stopping
    answer = {
        "status": "stopping" if stopping else "ok",
        "version": __version__,
        "workers": "ready" if core_of(request).devices else "starting",
    }
    return JSONResponse(answer, 503 if stopping else 200, headers=NO_STORE)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    """Return counters and gauges in the text format of Prometheus; nothing names a user."""
    jobs = CollectorRegistry()
    jobs.register(_Jobs(core_of(request).figures))
    text = generate_latest(jobs) + generate_latest(request.app.state.metrics.registry)
    return Response(text, headers={**NO_STORE, "Content-Type": CONTENT_TYPE_LATEST})


class _Jobs(Collector):
    """The figures of the core as Prometheus has them."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures

    def collect(self) -> Iterable[Metric]:
        """Yield all of them."""
        now = self.figures
        yield GaugeMetricFamily("geodl_queue_length", "Jobs that wait.", now.pending)
        yield GaugeMetricFamily("geodl_jobs_running", "Jobs that are under way.", now.running)
        yield GaugeMetricFamily("geodl_devices", "What computes.", len(now.devices))
        yield CounterMetricFamily("geodl_pixels", "Pixels that were computed.", now.pixels)
        ended = CounterMetricFamily("geodl_jobs", "Jobs that ended.", labels=["kind", "state"])
        took = SummaryMetricFamily("geodl_job_seconds", "How long jobs ran.", labels=["kind"])
        for (kind, state), count in now.ended.items():
            ended.add_metric([kind, state], count)
        for kind, seconds in now.seconds.items():
            count = sum(number for (one, _), number in now.ended.items() if one == kind)
            took.add_metric([kind], count, seconds)
        yield from (ended, took)
