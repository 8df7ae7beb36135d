"""The metrics of a server."""

from __future__ import annotations

import asyncio
import gc

import pytest
from clawdbot_servicekit import metrics as module
from clawdbot_servicekit.metrics import Metrics

from tests.support.conditions import until


def sample(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_calls_are_counted_by_method_and_status():
    metrics = Metrics()
    for seconds in (0.002, 0.2):
        metrics.record_call("/a.B/C", "OK", seconds)
    metrics.record_call("/a.B/C", "NOT_FOUND", 0.1)
    ok = {"rpc_method": "a.B/C", "rpc_response_status_code": "OK"}
    assert sample(metrics, "rpc_server_call_duration_seconds_count", **ok) == 2
    assert sample(metrics, "rpc_server_call_duration_seconds_sum", **ok) == pytest.approx(0.202)
    assert sample(metrics, "rpc_server_call_duration_seconds_bucket", **ok, le="0.0025") == 1
    assert (
        sample(
            metrics,
            "rpc_server_call_duration_seconds_count",
            **{**ok, "rpc_response_status_code": "NOT_FOUND"},
        )
        == 1
    )


def test_two_servers_in_one_process_have_separate_metrics():
    one, other = Metrics(), Metrics()
    one.set_ready("dialogue", ready=True)
    assert sample(one, "clawdbot_application_ready", application="dialogue") == 1
    assert sample(other, "clawdbot_application_ready", application="dialogue") is None


async def test_event_loop_garbage_collection_and_calls_in_flight_are_sampled(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_INTERVAL", 0.01)
    metrics, before = Metrics(), list(gc.callbacks)
    sampling = asyncio.ensure_future(metrics.sample(lambda: 3))
    await asyncio.sleep(0)
    gc.collect()
    await until(lambda: sample(metrics, "rpc_server_calls_in_flight") == 3)
    assert sample(metrics, "clawdbot_gc_longest_pause_seconds") > 0
    assert sample(metrics, "clawdbot_event_loop_lag_seconds") >= 0
    sampling.cancel()
    await asyncio.gather(sampling, return_exceptions=True)
    assert gc.callbacks == before
