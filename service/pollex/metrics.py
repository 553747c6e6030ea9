"""What /metrics shows; names and buckets of the first four as in the original service."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        # Series that the original does not have and nobody asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "pollex_requests_total", "HTTP requests.", ["method", "path", "status"], registry=self.registry
        )
        self.duration = Histogram(
            "pollex_polish_duration_seconds",
            "Time to polish a text, without waiting.",
            ["model"],
            buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120),
            registry=self.registry,
        )
        self.input_chars = Histogram(
            "pollex_input_chars",
            "Characters of the texts to polish.",
            buckets=(50, 100, 250, 500, 1000, 2500, 5000, 10000),
            registry=self.registry,
        )
        self.available = Gauge(
            "pollex_adapter_available",
            "Whether an upstream answers (1) or not (0).",
            ["adapter"],
            registry=self.registry,
        )
        self.waiting = Gauge(
            "pollex_queue_waiting", "Requests that wait for an upstream.", ["adapter"], registry=self.registry
        )
        self.failures = Counter(
            "pollex_upstream_failures_total", "Requests that an upstream failed.", ["adapter"], registry=self.registry
        )
        self.board_answers = Counter(
            "pollex_board_answers_total",
            "Answers that a board behind the gateway began.",
            ["board"],
            registry=self.registry,
        )
        self.board_breaks = Counter(
            "pollex_board_breaks_total",
            "Answers that broke off, by the board that had begun them; another one went on.",
            ["board"],
            registry=self.registry,
        )
        self.fallbacks = Counter(
            "pollex_fallbacks_total",
            "Texts polished by another model than was asked for.",
            ["asked", "model"],
            registry=self.registry,
        )
        self.kept = Counter(
            "pollex_blocks_kept_total",
            "Parts of texts left as they were because no good answer came.",
            ["model"],
            registry=self.registry,
        )
        self.checked = Counter(
            "pollex_check_paragraphs_total",
            "Paragraphs of LanguageTool's clients: from memory, by the model, or dropped for a newer state.",
            ["by"],
            registry=self.registry,
        )
        self.persons = Counter(
            "pollex_person_requests_total", "Requests with a person's own key.", ["person"], registry=self.registry
        )
        self.rate_limited = Counter("pollex_rate_limited_total", "Refused as too many.", registry=self.registry)
        self.queue_full = Counter("pollex_queue_full_total", "Refused by a full queue.", registry=self.registry)
