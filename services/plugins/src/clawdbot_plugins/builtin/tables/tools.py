"""The tools of the restaurant, as the flow `book_table` calls them."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Final, Literal

from clawdbot_plugin_sdk import Context, Launch, Plugin, ToolError
from pydantic import BaseModel, Field

from clawdbot_plugins.builtin.tables.inventory import Inventory, Wish
from clawdbot_plugins.builtin.tables.settings import TablesSettings, minutes

PROPOSED: Final = 6
"""Times that are proposed at most, those closest to the wish."""

Reason = Literal["taken", "full", "closed", "past", "too_far", "too_many"]
PartySize = Annotated[int, Field(ge=1, le=1000, description="How many people.")]
Day = Annotated[dt.date, Field(description="Such as 2026-11-25.")]
Time = Annotated[dt.time, Field(description="Hours and minutes, where the restaurant is: 19:30.")]

plugin = Plugin(
    "tables",
    version="1.0.0",
    description="The example: finds and reserves tables of a restaurant.",
    settings=TablesSettings,
)


class Found(BaseModel):
    """What is free on a day."""

    available: bool = Field(description="Whether there is a table at the wished time.")
    times: list[str] = Field(description="Times of that day with a free table, the closest ones, in order.")
    reason: Reason | None = Field(default=None, description="Why there is none at the wished time.")


class Reservation(BaseModel):
    """What became of a reservation."""

    ok: bool
    ref: str | None = Field(default=None, description="To be told to the guest. Only where ok is true.")
    reason: Reason | None = Field(default=None, description="Only where ok is false.")
    message: str = Field(description="One sentence.")


class Restaurant:
    """The rules about when a table can be had, over the inventory that says whether there is one."""

    def __init__(self, settings: TablesSettings, inventory: Inventory) -> None:
        self._settings = settings
        self.inventory = inventory

    def refuse(self, wish: Wish, now: dt.datetime) -> tuple[Reason, str] | None:
        """Why there can be no table for the wish, whatever is booked; None where there can."""
        settings = self._settings
        largest = max(settings.tables)
        if wish.party_size > largest:
            return "too_many", f"The largest table is for {largest}."
        if not settings.opens <= wish.time <= settings.closes:
            return "closed", f"Tables are given from {settings.opens:%H:%M} to {settings.closes:%H:%M}."
        if (wish.day, minutes(wish.time)) < (now.date(), minutes(now.time())):
            return "past", "That time is past."
        if wish.day > now.date() + dt.timedelta(days=settings.days_ahead):
            return "too_far", f"Tables are given at most {settings.days_ahead} days ahead."
        return None

    async def alternatives(self, wish: Wish, now: dt.datetime) -> list[dt.time]:
        """The free times of the day that are closest to the wish, in order."""
        # The wished time need not be one of those that are proposed.
        times = {*self._settings.proposals(), wish.time}
        possible = [time for time in times if self.refuse(replace(wish, time=time), now) is None]
        free = await self.inventory.free(wish, possible)
        closest = sorted(free, key=lambda time: (abs(minutes(time) - minutes(wish.time)), time))
        return sorted(closest[:PROPOSED])


@plugin.lifespan
async def life(launch: Launch[TablesSettings]) -> AsyncIterator[Restaurant]:
    """Keeps the inventory open."""
    inventory = await Inventory.open(launch.folder, launch.settings)
    try:
        yield Restaurant(launch.settings, inventory)
    finally:
        await inventory.close()


@plugin.tool(effect="none", timeout="5s", max_in_flight=500)
async def find(party_size: PartySize, date: Day, time: Time, ctx: Context[Restaurant]) -> Found:
    """Find out whether a table is free, and which other times of that day are."""
    restaurant, now = ctx.state, ctx.now()
    wish = Wish(ctx.tenant, party_size, date, _local(time))
    times = [f"{each:%H:%M}" for each in await restaurant.alternatives(wish, now)]
    if refused := restaurant.refuse(wish, now):
        return Found(available=False, times=times, reason=refused[0])
    if f"{wish.time:%H:%M}" in times:
        return Found(available=True, times=times)
    return Found(available=False, times=times, reason="taken" if times else "full")


@plugin.tool(effect="once", timeout="5s", max_in_flight=500, recognises_repeats=True)
async def reserve(
    party_size: PartySize,
    date: Day,
    time: Time,
    ctx: Context[Restaurant],
    name: Annotated[str, Field(max_length=200, description="Under which name.")] = "Guest",
) -> Reservation:
    """Reserve a table. The guest must have agreed to the number of people, the day and the time."""
    restaurant, now = ctx.state, ctx.now()
    wish = Wish(ctx.tenant, party_size, date, _local(time), name, ctx.request_id)
    ref = await restaurant.inventory.known(wish)
    if ref is None:
        if refused := restaurant.refuse(wish, now):
            reason, message = refused
            return Reservation(ok=False, reason=reason, message=message)
        ref = await restaurant.inventory.reserve(wish)
    if ref is None:
        others = bool(await restaurant.alternatives(wish, now))
        when = f"at {wish.time:%H:%M}" if others else "on that day"
        message = f"There is no table left for {party_size} {when}."
        return Reservation(ok=False, reason="taken" if others else "full", message=message)
    return Reservation(ok=True, ref=ref, message=f"Reserved for {party_size} at {wish.time:%H:%M} on {date}.")


def _local(time: dt.time) -> dt.time:
    """Whole minutes. ToolError for a time that comes with a zone: nobody can tell whose 19:00 is meant."""
    if time.tzinfo is not None:
        raise ToolError("Give the time as hours and minutes where the restaurant is, without a zone: 19:30.")
    return time.replace(second=0, microsecond=0)
