"""The restaurant: a table is reserved once, and a refused request says why."""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import asynccontextmanager

import pytest
from clawdbot_plugin_sdk import Context, InvalidArguments, LifespanContext, ToolError
from clawdbot_plugins.builtin.tables import plugin
from clawdbot_plugins.builtin.tables.settings import TablesSettings

from tests.support.plugin_service import serving

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC).timestamp()


class Guest:
    """A caller of the restaurant's tools."""

    def __init__(self, state, tenant="default"):
        self._state = state
        self._tenant = tenant

    async def _call(self, tool, request_id, arguments):
        context = Context(state=self._state, tenant=self._tenant, request_id=request_id, clock=lambda: NOW)
        return (await plugin.tools[tool].invoke(arguments, context)).structured

    async def reserve(self, time="19:00", party_size=4, date="2026-11-26", request_id="", **more):
        request = {"party_size": party_size, "date": date, "time": time, **more}
        return await self._call("reserve", request_id, request)

    async def find(self, time="19:00", party_size=4, date="2026-11-26"):
        return await self._call("find", "", {"party_size": party_size, "date": date, "time": time})

    def of(self, tenant):
        return Guest(self._state, tenant)


@asynccontextmanager
async def open_restaurant(folder, **settings):
    context = LifespanContext(settings=TablesSettings(**settings), folder=folder, clock=lambda: NOW)
    async with plugin.open(context) as state:
        yield Guest(state)


@pytest.fixture
async def guest(tmp_path):
    """At a restaurant with one table for two and one for four."""
    async with open_restaurant(tmp_path, tables=(4, 2)) as guest:
        yield guest


async def test_a_reservation_has_a_reference(guest):
    booked = await guest.reserve(name="Ada")
    assert booked["ok"] is True
    assert booked["ref"].startswith("T-")
    assert booked["reason"] is None
    assert booked["message"] == "Reserved for 4 at 19:00 on 2026-11-26."


async def test_a_reserved_table_is_taken_for_the_whole_stay(guest):
    await guest.reserve("19:00")
    for time in ("17:01", "18:00", "19:00", "20:59"):
        refused = await guest.reserve(time)
        assert (refused["ok"], refused["reason"], refused["ref"]) == (False, "taken", None)
    assert (await guest.reserve("17:00"))["ok"]
    assert (await guest.reserve("21:00"))["ok"]


async def test_a_small_party_gets_the_smallest_free_table(guest):
    assert (await guest.reserve(party_size=2))["ok"]
    assert (await guest.reserve(party_size=4))["ok"]
    assert (await guest.reserve(party_size=1))["reason"] == "taken"


async def test_a_day_without_a_free_table_is_full(tmp_path):
    async with open_restaurant(tmp_path, tables=(4,), opens="19:00", closes="20:00") as guest:
        await guest.reserve("19:00")
        refused = await guest.reserve("20:00")
        assert (refused["reason"], refused["message"]) == (
            "full",
            "No table for 4 is free on that day.",
        )
        found = await guest.find("20:00")
        assert found == {"available": False, "times": [], "reason": "full"}
        assert (await guest.reserve("19:00", date="2026-11-27"))["ok"]


async def test_find_returns_the_closest_free_times_in_order(guest):
    assert await guest.find() == {
        "available": True,
        "times": ["17:30", "18:00", "18:30", "19:00", "19:30", "20:00"],
        "reason": None,
    }
    await guest.reserve("19:00")
    found = await guest.find()
    assert found == {
        "available": False,
        "times": ["16:00", "16:30", "17:00", "21:00", "21:30", "22:00"],
        "reason": "taken",
    }
    for time in found["times"]:
        assert (await guest.find(time))["available"]


async def test_a_time_between_the_proposed_ones_can_be_reserved(guest):
    assert "19:10" in (await guest.find("19:10"))["times"]
    assert (await guest.reserve("19:10"))["ok"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"party_size": 5}, "too_many"),
        ({"time": "10:59"}, "closed"),
        ({"time": "22:01"}, "closed"),
        ({"date": "2026-11-25", "time": "11:59"}, "past"),
        ({"date": "2025-01-01"}, "past"),
        ({"date": "2028-01-01"}, "too_far"),
    ],
)
async def test_a_refused_request_says_why(guest, request_, reason):
    refused = await guest.reserve(**request_)
    assert (refused["ok"], refused["reason"]) == (False, reason)
    assert refused["message"].endswith(".")
    found = await guest.find(**request_)
    assert (found["available"], found["reason"]) == (False, reason)


async def test_times_later_today_are_proposed_and_past_ones_are_not(guest):
    found = await guest.find("11:30", date="2026-11-25")
    assert found["reason"] == "past"
    assert found["times"][0] == "12:00"


@pytest.mark.parametrize(
    "request_",
    [
        {"party_size": 0},
        {"party_size": -4},
        {"party_size": 2.5},
        {"date": "tomorrow"},
        {"date": "2026-02-30"},
        {"time": "25:00"},
        {"time": "soon"},
        {"name": "x" * 201},
        {"table": 7},
    ],
)
async def test_an_invalid_request_is_refused(guest, request_):
    with pytest.raises(InvalidArguments):
        await guest.reserve(**request_)


async def test_a_time_with_a_zone_is_refused(guest):
    with pytest.raises(ToolError, match="without a time zone"):
        await guest.reserve("19:00:00Z")


async def test_a_repeated_request_id_gets_the_same_reference_and_no_second_table(guest):
    first = await guest.reserve(party_size=2, request_id="r-1")
    assert (await guest.reserve(party_size=2, request_id="r-1"))["ref"] == first["ref"]
    assert (await guest.reserve(party_size=2, request_id="r-2"))["ok"]
    assert (await guest.reserve(party_size=2, request_id="r-3"))["reason"] == "taken"


async def test_requests_without_an_id_are_separate(guest):
    refs = {(await guest.reserve(party_size=2))["ref"] for _ in range(2)}
    assert len(refs) == 2


async def test_each_tenant_has_its_own_restaurant(guest):
    assert (await guest.reserve(request_id="r-1"))["ok"]
    other = await guest.of("acme").reserve(request_id="r-1")
    assert other["ok"]


async def test_of_a_hundred_requests_for_the_last_table_one_succeeds(guest):
    booked = await asyncio.gather(*(guest.reserve(request_id=f"r-{number}") for number in range(100)))
    assert [each["ok"] for each in booked].count(True) == 1
    assert {each["reason"] for each in booked} == {None, "taken"}


async def test_of_a_hundred_requests_at_two_workers_one_succeeds(tmp_path):
    async with open_restaurant(tmp_path, tables=(4,)) as one, open_restaurant(tmp_path, tables=(4,)) as two:
        calls = (worker.reserve(request_id=f"{number}") for number in range(50) for worker in (one, two))
        booked = await asyncio.gather(*calls)
    # Each id is also sent to the other worker, which returns the same reference.
    refs = {each["ref"] for each in booked if each["ok"]}
    assert len(refs) == 1


async def test_of_a_hundred_calls_over_the_wire_one_succeeds(tmp_path):
    async with serving(tmp_path, {"tables": {"tables": [4]}}, clock=lambda: NOW) as served:
        request = {"party_size": 4, "date": "2026-11-26", "time": "19:00"}
        calls = (
            served.client.structured("tables.reserve", f"r-{number}", **request) for number in range(100)
        )
        results = await asyncio.gather(*calls)
    assert [each["ok"] for each in results].count(True) == 1
    assert {each["reason"] for each in results} == {None, "taken"}


async def test_bookings_outlive_the_service(tmp_path):
    async with open_restaurant(tmp_path) as guest:
        first = await guest.reserve(request_id="r-1", party_size=8)
    async with open_restaurant(tmp_path) as guest:
        assert (await guest.reserve(party_size=8))["reason"] == "taken"
        assert (await guest.reserve(request_id="r-1", party_size=8))["ref"] == first["ref"]


async def test_the_booking_flows_arguments_are_valid(guest):
    """As the flow book_table of services/dialogue sends them, and what it reads from the results."""
    args = {"party_size": 4, "date": "2026-11-26", "time": "19:00", "name": "Guest"}
    booked = await guest.reserve(**args)
    assert booked["ok"]
    assert booked["ref"]
    del args["name"]
    assert isinstance((await guest.find(**args))["times"], list)
