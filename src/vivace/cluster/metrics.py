"""Metrics of all workers on one page, told apart by the label `worker`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


class _Merged(Collector):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def describe(self) -> list[Metric]:
        """Name nothing beforehand."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family once, with the samples of all workers."""
        families: dict[str, Metric] = {}
        for worker, text in sorted(self._texts.items()):
            for family in text_string_to_metric_families(text):
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    merged.add_sample(sample.name, {**sample.labels, "worker": worker}, sample.value)
        yield from families.values()


def merged_metrics(texts: Mapping[str, str]) -> tuple[bytes, str]:
    """Return the text of all workers' metrics, given by worker, and its media type."""
    registry = CollectorRegistry()
    registry.register(_Merged(texts))
    return generate_latest(registry), CONTENT_TYPE_LATEST
