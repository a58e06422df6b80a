"""What who watches the server is told."""

from prometheus_client.parser import text_string_to_metric_families

from geodl_lab import __version__
from geodl_lab.jobs.job import State
from geodl_lab.jobs.works import Done


def samples(text):
    """All numbers of a text of metrics by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_health_does_not_wait_for_workers(app, ask):
    server = app()
    assert ask(server, "/health").json() == {
        "status": "ok", "version": __version__, "workers": "starting",
    }  # fmt: skip
    server.state.core.workers_ready = True
    assert ask(server, "/health").json()["workers"] == "ready"


def test_health_says_when_the_server_stops(app, ask):
    server = app()
    server.state.stopping = True
    answer = ask(server, "/health")
    assert answer.status_code == 503 and answer.json()["status"] == "stopping"


def test_metrics_count(app, ask):
    server = app()
    server.state.core.meters.step(Done(1000, 2.0))
    server.state.core.meters.step(Done(500, 1.0))
    server.state.core.meters.job("classify", State.SUCCEEDED, 7.0)
    ask(server, "/echo", key="key-of-one")
    ask(server, "/echo", "BREW")
    answer = ask(server, "/metrics")
    found = samples(answer.text)
    assert answer.headers["content-type"].startswith("text/plain")
    assert found["geodl_queue_length",] == 3
    assert found["geodl_jobs", ("state", "running")] == 1
    assert found["geodl_jobs", ("state", "failed")] == 0
    assert found["geodl_pixels_total",] == 1500
    assert found["geodl_steps_total",] == 2
    assert found["geodl_step_seconds_total",] == 3
    labels = (("kind", "classify"), ("state", "succeeded"))
    assert found["geodl_job_seconds_count", *labels] == 1
    assert found["geodl_job_seconds_sum", *labels] == 7
    assert found["geodl_requests_total", ("method", "GET"), ("status", "200")] == 1
    assert found["geodl_requests_total", ("method", "other"), ("status", "401")] == 1
    assert "key-of-one" not in answer.text
