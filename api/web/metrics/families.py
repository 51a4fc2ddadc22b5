"""Metrics in the shapes of prometheus-client: a snapshot in, families out, so that a label lives as long as its row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from api.web.metrics import catalogue
from api.web.metrics.catalogue import Kind, Metric

Sample: TypeAlias = tuple[Sequence[str], float]
# What a monitor tells, and under which name in what it tells.
COUNTED = {
    catalogue.CHECKS_IN_FLIGHT: "checks_in_flight",
    catalogue.DISCOVERIES_IN_FLIGHT: "discoveries_in_flight",
    catalogue.RESULTS_WAITING: "results_waiting",
    catalogue.RESULTS_DROPPED: "results_dropped",
    catalogue.HISTORY_PAGES: "history_pages",
    catalogue.HISTORY_LOST: "history_pages_lost",
    catalogue.VERDICTS_HELD: "verdicts_held",
    catalogue.ISOLATED: "isolated",
    catalogue.MONITOR_RECONNECTS: "listener_reconnects",
}
SPREAD = {
    catalogue.START_LAG: "start_lag_seconds",
    catalogue.BATCH_RECORDS: "batch_records",
    catalogue.BATCH_SECONDS: "batch_seconds",
    catalogue.LOOP_LAG: "loop_lag_seconds",
}


def one(metric: Metric, value: float) -> Family:
    """Return a metric that has no labels."""
    return many(metric, [((), value)])


def many(metric: Metric, samples: Iterable[Sample]) -> Family:
    """Return a gauge or counter with a sample for each set of labels."""
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def histogram(metric: Metric, spread: Iterable[tuple[Sequence[str], Mapping[str, Any]]]) -> Family:
    """Return a histogram of the documents that distributions make of themselves."""
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, document in spread:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip([*document["bounds"], "+Inf"], document["counts"], strict=True):
            total += count
            buckets.append((str(bound), total))
        family.add_metric(labels, buckets, document["sum"])
    return family


def of_monitor(stats: Mapping[str, Any]) -> Iterator[Family]:
    """Yield what a monitor counted; one of another version may lack some of it."""
    for metric, name in COUNTED.items():
        if name in stats:
            yield one(metric, float(stats[name]))
    for metric, name in SPREAD.items():
        if name in stats:
            yield histogram(metric, [((), stats[name])])
    yield many(catalogue.CHECKS, (((reason,), count) for reason, count in stats.get("checks", {}).items()))
