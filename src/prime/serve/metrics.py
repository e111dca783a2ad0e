"""What a service counts, in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

TEXT = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Requests, their time, patients, work in hand, and the process's memory and time."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "prime_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "prime_request_seconds", "Time from request to answer", ["route"], buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.patients = Counter("prime_patients", "Patients predicted", ["status"], registry=self.registry)
        self._in_hand = Gauge("prime_requests_in_hand", "Waiting or computed", registry=self.registry)

    def watch(self, in_hand: Callable[[], int]) -> None:
        """Show what is in hand whenever the metrics are read."""
        self._in_hand.set_function(in_hand)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
