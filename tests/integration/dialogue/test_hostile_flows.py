"""Whatever flow a caller sends, and whatever is said to it: nothing is INTERNAL, and nobody else waits."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from pathlib import Path

import grpc
import pytest
from clawdbot.dialogue.v1 import flow_service_pb2 as pb
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceStub
from clawdbot_dialogue.core import flow_admin
from clawdbot_servicekit.limited_process import Limits

from tests.support.conditions import until
from tests.support.dialogue_service import scripted_peers, serving
from tests.support.processes import process

MAX_CHARACTERS = 16_384
"""Up to this size a source is checked in the service's own process."""
GENEROUS = 30.0
"""Seconds; each takes well under 1 on an idle machine. What is guarded against takes minutes."""
END = "states: {a: {say: h}}\n"
HUGE = r"(\p{L}{1,40}\w{1,40}){1,9}"
TO_B = "{to: b}]}\n b: {end: true}\n"


def full(head, line, tail):
    """The largest source of numbered lines that is checked in the service's own process."""
    source, at = f"flow: hostile\nversion: 1\ndescription: d\n{head}", 0
    while len(source) + len(line(at)) + len(tail) <= MAX_CHARACTERS:
        source += line(at)
        at += 1
    return source + tail


def slots(declaration):
    return full("slots:\n", lambda at: f"  n{at}: {declaration(at)}\n", END)


def guards(guard):
    head = "slots: {s: {type: string, ask: q}}\nstates:\n a: {collect: [s], next: ["
    return full(head, lambda at: f"{{if: '{guard(at)}', to: b}},", TO_B)


def pattern(text):
    return lambda at: f"{{type: string, ask: q, pattern: '{text}{at}'}}"


def matches(text):
    return lambda at: rf'slots.s.matches(r"{text}{at}")'


def nested(depth, inner):
    return "".join(f"[1, 2].all(x{at}, " for at in range(depth)) + inner + ")" * depth


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "nested counted repeats of Unicode classes": slots(pattern(HUGE)),
    "nested counted repeats": slots(pattern("((a{1,10}){1,10}){1,10}")),
    "repeats that multiply beyond what RE2 allows": slots(pattern("((a{1,100}){1,100}){1,100}")),
    "many alternatives": slots(pattern(f"({'|'.join(map(str, range(100)))}){{1,100}}")),
    "many Unicode classes": slots(pattern(r"\pL" * 150)),
    "Unicode classes without case": slots(pattern(r"(?i)" + r"[\pL\PL]" * 50)),
    "Unicode classes that vanish": slots(pattern(r"(\pL{1000}){0}" * 30)),
    "many small patterns": slots(pattern("")),
    "patterns of fields": slots(lambda at: f"{{type: object, fields: {{f: {pattern(HUGE)(at)}}}}}"),
    "patterns of items": slots(lambda at: f"{{type: list, items: {{type: string, pattern: '{HUGE}{at}'}}}}"),
    "invalid patterns": slots(pattern(r"\pL\pL\pL\pL(")),
    "large patterns in guards": guards(matches(HUGE)),
    "small patterns in guards": guards(matches("")),
    "Unicode classes in guards": guards(matches(r"(?i)" + r"[\pL\PL]" * 50)),
    "patterns in loops": guards(lambda at: rf'[1, 2].all(x, slots.s.matches(r"{HUGE}{at}"))'),
    "loops in each other": guards(lambda at: nested(8, f"x0 > {at}")),
    "three loops in each other": guards(lambda at: nested(3, f"x0 > {at}")),
    "loops one after the other": guards(lambda at: f"[[{at}]]{'.map(x, x)' * 8} == []"),
    "loops behind comments": guards(lambda at: f"[{at}]" + ".//\n\nmap(x, [x, x])" * 20 + " == []"),
    "a deep expression": guards(lambda at: "(" * 300 + f"{at} == 1" + ")" * 300),
    "a slot of many values": full("slots:\n n: {type: enum, values: [", "v{},".format, f"]}}\n{END}"),
    "many synonyms": full("slots:\n n: {type: enum, values: {", "v{0}: [w{0}],".format, f"}}}}\n{END}"),
    "many hints": full("slots:\n n: {type: string, hints: [", "h{},".format, f"]}}\n{END}"),
    "long hints": full("slots:\n n: {type: string, hints: [", lambda at: f"{'a ' * 50}{at},", f"]}}\n{END}"),
    "many triggers": full("triggers: [", "t{},".format, f"]\n{END}"),
    "bounds that are no dates": slots(lambda at: f"{{type: date, min: today+{'9' * 50}d, max: '{at}-99'}}"),
    "bounds that are no durations": slots(lambda at: f"{{type: duration, min: {'9' * 300}h}}"),
    "an endless timer": full("states:\n", lambda at: f" s{at}: {{wait: {'9' * 100}d, next: s{at}}}\n", ""),
    "a version of many digits": f"flow: f\nversion: {'9' * 16_000}\n{END}",
    "a version of sixties": f"flow: f\nversion: 1{':59' * 5_000}\n{END}",
    "many regions": full(
        "states:\n p:\n  next: z\n  parallel:\n",
        "   r{}: {{states: {{a: {{end: true}}}}}}\n".format,
        " z: {end: true}\n",
    ),
    "many states in each other": full("states: ", lambda _: "{a: {states: ", ""),
    "many brackets": full("states: ", lambda _: "[", ""),
    "a bomb of aliases": BOMB,
    "an anchor within itself": "a: &a [*a]",
    "many tags": "!!python/object:os.system " * 600,
    "many escapes": f'flow: "{chr(92)}ud800{chr(92)}x41"' + "\n" * 9000,
}  # fmt: skip


@pytest.fixture
async def served(tmp_path, monkeypatch):
    patient = Limits(seconds=4 * GENEROUS, memory=1024**3, processes=2)
    monkeypatch.setattr(flow_admin, "CHECK_LIMITS", patient)
    async with serving(tmp_path) as served:
        yield served


async def slowest_while(served, pending):
    """The longest that another call took until all of these were done, in seconds."""
    slowest = 0.0
    while not all(each.done() for each in pending):
        before = time.monotonic()
        await served.flows.GetFlow(pb.GetFlowRequest(name="faq"), timeout=60)
        slowest = max(slowest, time.monotonic() - before)
        await asyncio.sleep(0.01)
    return slowest


async def rests(pid):
    """Whether a process and those that it started need next to nothing of the processor."""
    before = processor_seconds(pid)
    await asyncio.sleep(1)
    return processor_seconds(pid) - before < 0.5


async def code_of(call):
    return await call.code()


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_flow_is_answered_and_others_are_served_meanwhile(served, source):
    calls = [
        served.flows.ValidateFlow(pb.ValidateFlowRequest(source=source), timeout=60),
        served.flows.DeployFlow(pb.DeployFlowRequest(source=source), timeout=60),
    ]
    before = time.process_time()
    pending = [asyncio.ensure_future(code_of(call)) for call in calls]
    assert await slowest_while(served, pending) < GENEROUS
    validated, deployed = await asyncio.gather(*pending)
    assert validated is grpc.StatusCode.OK
    assert deployed in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
    assert time.process_time() - before < 2 * GENEROUS
    if deployed is grpc.StatusCode.OK:
        session = await served.open("hostile")
        turns = [
            asyncio.ensure_future(served.send(session, text)) for text in ("a" * 2000, "1 or 2 tomorrow")
        ]
        assert await slowest_while(served, turns) < GENEROUS
        for turn in await asyncio.gather(*turns, return_exceptions=True):
            if isinstance(turn, grpc.aio.AioRpcError):
                assert turn.code() is not grpc.StatusCode.INTERNAL


LARGE_SLOT = f"slots:\n  n: {{type: string, pattern: '{HUGE}'}}\n{END}"
LARGE_GUARD = (
    "slots:\n  s: {type: string}\nstates:\n  a: {collect: [s], next: [\n"
    f"    {{if: 'slots.s.matches(r\"{HUGE}\")', to: b}}, {{to: b}}]}}\n  b: {{end: true}}\n"
)


@pytest.mark.parametrize(
    ("source", "code", "line", "column"),
    [(LARGE_SLOT, "bad-slot", 5, 30), (LARGE_GUARD, "guard-cost", 8, 11)],
    ids=["slot", "guard"],
)
async def test_a_pattern_that_is_too_large_is_refused_where_it_is_written(served, source, code, line, column):
    request = pb.ValidateFlowRequest(source=f"flow: f\nversion: 1\ndescription: d\n{source}")
    (found,) = [each for each in (await served.flows.ValidateFlow(request)).diagnostics if each.code == code]
    assert (found.line, found.column) == (line, column)
    assert "too large" in found.message
    assert "Repeat with + or *" in found.hint


async def test_the_patterns_of_a_flow_are_limited_together(served):
    source = slots(pattern(r"\p{L}{1,15}"))
    found = (await served.flows.ValidateFlow(pb.ValidateFlowRequest(source=source))).diagnostics
    refused = [each for each in found if each.code == "bad-slot"]
    assert refused[0].line > 10  # each alone is allowed
    assert all("too large together" in each.message for each in refused)


@pytest.mark.parametrize(
    "text",
    [r"[A-Z]{2}\d{6}", r"\p{L}+", r"\p{Han}{2,20}", r"[\w.+-]{1,64}@[\w-]{1,63}(\.[\w-]{1,63}){1,4}"],
)
async def test_the_usual_patterns_are_accepted_in_slots_and_guards(served, text):
    source = (
        f"flow: f\nversion: 1\ndescription: d\nslots: {{s: {{type: string, ask: q, pattern: '{text}'}}}}\n"
        f"states:\n a: {{collect: [s], next: [{{if: 'slots.s.matches(r\"{text}\")', to: b}}, {TO_B}"
    )
    assert not (await served.flows.ValidateFlow(pb.ValidateFlowRequest(source=source))).diagnostics


@pytest.mark.parametrize("text", ["a)|(b", "(", "(?=a)", r"(a)\1", "[b-a]"])
async def test_an_invalid_pattern_is_refused_in_slots_and_guards(served, text):
    slot = f"slots: {{s: {{type: string, ask: q, pattern: '{text}'}}}}\n{END}"
    guard = (
        "slots: {s: {type: string, ask: q}}\nstates:\n"
        f" a: {{collect: [s], next: [{{if: 'slots.s.matches(r\"{text}\")', to: b}}, {TO_B}"
    )
    for source, code in ((slot, "bad-slot"), (guard, "guard-syntax")):
        request = pb.ValidateFlowRequest(source=f"flow: f\nversion: 1\ndescription: d\n{source}")
        found = (await served.flows.ValidateFlow(request)).diagnostics
        assert [each.message for each in found if each.code == code] == [
            "The pattern is not a valid regular expression."
        ]


def processor_seconds(pid):
    """Of a process, its threads and the children that it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.integration
@pytest.mark.parametrize(
    "name",
    ["nested counted repeats of Unicode classes", "patterns in loops", "loops in each other", "many hints"],
)
async def test_a_check_does_not_outlive_its_caller_nor_delay_the_end(tmp_path, name):
    request = pb.ValidateFlowRequest(source=HOSTILE[name])
    async with scripted_peers() as (_, address):
        environment = {"CLAWDBOT_PEERS__PLUGINS": address, "CLAWDBOT_PEERS__MODEL_GATEWAY": address}
        async with (
            process("clawdbot_dialogue", state=tmp_path, environment=environment) as running,
            grpc.aio.insecure_channel(running.address) as channel,
        ):
            flows = FlowServiceStub(channel)
            calls = [flows.ValidateFlow(request, timeout=0.05) for _ in range(5)]
            assert {await call.code() for call in calls} <= {
                grpc.StatusCode.OK,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            }
            await until(partial(rests, running.pid))
            going_on = [flows.ValidateFlow(request, timeout=60) for _ in range(5)]
            await asyncio.sleep(0.1)
            stopping = time.monotonic()
            await running.stop()
            assert time.monotonic() - stopping < 2 * GENEROUS
            await asyncio.gather(*(call.code() for call in going_on))
