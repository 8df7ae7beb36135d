"""The restaurant's tools, which the flow `book_table` calls."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Final, Literal

from clawdbot_plugin_sdk import Context, LifespanContext, Plugin, ToolError
from pydantic import BaseModel, Field

from clawdbot_plugins.builtin.tables.inventory import Inventory, ReservationRequest
from clawdbot_plugins.builtin.tables.settings import TablesSettings, minutes_since_midnight

MAX_PROPOSED_TIMES: Final = 6
"""The times closest to the requested one are proposed."""

Reason = Literal["taken", "full", "closed", "past", "too_far", "too_many"]
PartySize = Annotated[int, Field(ge=1, le=1000, description="How many people.")]
Day = Annotated[dt.date, Field(description="For example 2026-11-25.")]
Time = Annotated[dt.time, Field(description="Hours and minutes in the restaurant's local time: 19:30.")]

plugin = Plugin(
    "tables",
    version="1.0.0",
    description="The example: finds and reserves tables of a restaurant.",
    settings=TablesSettings,
)


class Availability(BaseModel):
    """The free tables of a day."""

    available: bool = Field(description="Whether a table is free at the requested time.")
    times: list[str] = Field(
        description="Times of that day with a free table, those closest to the request, in order."
    )
    reason: Reason | None = Field(default=None, description="Why no table is free at the requested time.")


class Reservation(BaseModel):
    """The result of a reservation."""

    ok: bool
    ref: str | None = Field(default=None, description="The reference for the guest. Only if ok is true.")
    reason: Reason | None = Field(default=None, description="Only if ok is false.")
    message: str = Field(description="One sentence.")


class Restaurant:
    """The rules for reservations, on top of the inventory of bookings."""

    def __init__(self, settings: TablesSettings, inventory: Inventory) -> None:
        self._settings = settings
        self.inventory = inventory

    def refusal(self, request: ReservationRequest, now: dt.datetime) -> tuple[Reason, str] | None:
        """Returns why the rules forbid the reservation, whatever is booked; None if they allow it."""
        settings = self._settings
        largest = max(settings.tables)
        if request.party_size > largest:
            return "too_many", f"The largest table seats {largest}."
        if not settings.opens <= request.time <= settings.closes:
            return "closed", f"Tables can be reserved from {settings.opens:%H:%M} to {settings.closes:%H:%M}."
        requested = (request.day, minutes_since_midnight(request.time))
        if requested < (now.date(), minutes_since_midnight(now.time())):
            return "past", "That time has passed."
        if request.day > now.date() + dt.timedelta(days=settings.days_ahead):
            return "too_far", f"Tables can be reserved at most {settings.days_ahead} days ahead."
        return None

    async def alternatives(self, request: ReservationRequest, now: dt.datetime) -> list[dt.time]:
        """Returns the free times of the day that are closest to the requested one, in order."""
        # The requested time may not be one of the proposed times.
        times = {*self._settings.proposed_times(), request.time}
        allowed = [time for time in times if self.refusal(replace(request, time=time), now) is None]
        free = await self.inventory.free_times(request, allowed)
        requested = minutes_since_midnight(request.time)
        closest = sorted(free, key=lambda time: (abs(minutes_since_midnight(time) - requested), time))
        return sorted(closest[:MAX_PROPOSED_TIMES])


@plugin.lifespan
async def lifespan(ctx: LifespanContext[TablesSettings]) -> AsyncIterator[Restaurant]:
    """Keeps the inventory open."""
    inventory = await Inventory.open(ctx.folder, ctx.settings)
    try:
        yield Restaurant(ctx.settings, inventory)
    finally:
        await inventory.close()


@plugin.check
async def check(state: Restaurant) -> None:
    """Its tools need the bookings."""
    await state.inventory.check()


@plugin.tool(effect="none", timeout="5s", max_in_flight=500)
async def find(party_size: PartySize, date: Day, time: Time, ctx: Context[Restaurant]) -> Availability:
    """Find out whether a table is free, and at which other times of that day one is free."""
    restaurant, now = ctx.state, ctx.now()
    request = ReservationRequest(ctx.tenant, party_size, date, _whole_minutes(time))
    times = [f"{each:%H:%M}" for each in await restaurant.alternatives(request, now)]
    if refused := restaurant.refusal(request, now):
        return Availability(available=False, times=times, reason=refused[0])
    if f"{request.time:%H:%M}" in times:
        return Availability(available=True, times=times)
    return Availability(available=False, times=times, reason="taken" if times else "full")


@plugin.tool(effect="once", timeout="5s", max_in_flight=500, recognises_repeats=True)
async def reserve(
    party_size: PartySize,
    date: Day,
    time: Time,
    ctx: Context[Restaurant],
    name: Annotated[str, Field(max_length=200, description="The name of the reservation.")] = "Guest",
) -> Reservation:
    """Reserve a table. The guest must have agreed to the number of people, the day and the time."""
    restaurant, now = ctx.state, ctx.now()
    request = ReservationRequest(ctx.tenant, party_size, date, _whole_minutes(time), name, ctx.request_id)
    refused = restaurant.refusal(request, now)
    book = restaurant.inventory.find_reservation if refused else restaurant.inventory.reserve
    ref = await book(request)
    if ref is None and refused:
        reason, message = refused
        return Reservation(ok=False, reason=reason, message=message)
    if ref is None:
        others = bool(await restaurant.alternatives(request, now))
        when = f"at {request.time:%H:%M}" if others else "on that day"
        message = f"No table for {party_size} is free {when}."
        return Reservation(ok=False, reason="taken" if others else "full", message=message)
    return Reservation(
        ok=True, ref=ref, message=f"Reserved for {party_size} at {request.time:%H:%M} on {date}."
    )


def _whole_minutes(time: dt.time) -> dt.time:
    """Drops the seconds. ToolError for a time with a zone: it is ambiguous whose 19:00 is meant."""
    if time.tzinfo is not None:
        raise ToolError("Give hours and minutes in the restaurant's local time, without a time zone: 19:30.")
    return time.replace(second=0, microsecond=0)
