"""What who watches the server is told."""

from prometheus_client.parser import text_string_to_metric_families

from geodl_lab import __version__


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
    server.state.core.devices = ("cpu",)
    assert ask(server, "/health").json()["workers"] == "ready"


def test_health_says_when_the_server_stops(app, ask):
    server = app()
    server.state.stopping = True
    answer = ask(server, "/health")
    assert answer.status_code == 503 and answer.json()["status"] == "stopping"


def test_metrics_count(app, ask):
    server = app()
    tally = server.state.core.tally
    tally.note("classify", "succeeded", seconds=7.0, pixels=1000)
    tally.note("classify", "failed", seconds=1.0, pixels=500)
    tally.note("detect", "cancelled", seconds=2.0, pixels=0)
    ask(server, "/echo", key="key-of-one")
    ask(server, "/echo", "BREW")
    answer = ask(server, "/metrics")
    found = samples(answer.text)
    assert answer.headers["content-type"].startswith("text/plain")
    assert found["geodl_queue_length",] == 3
    assert found["geodl_jobs_running",] == 1
    assert found["geodl_devices",] == 0
    assert found["geodl_pixels_total",] == 1500
    assert found["geodl_jobs_total", ("kind", "classify"), ("state", "failed")] == 1
    assert found["geodl_job_seconds_count", ("kind", "classify")] == 2
    assert found["geodl_job_seconds_sum", ("kind", "classify")] == 8
    assert found["geodl_job_seconds_sum", ("kind", "detect")] == 2
    assert found["geodl_requests_total", ("method", "GET"), ("status", "200")] == 1
    assert found["geodl_requests_total", ("method", "other"), ("status", "401")] == 1
    assert "key-of-one" not in answer.text
