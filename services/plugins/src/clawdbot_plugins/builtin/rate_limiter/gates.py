"""The rate limiter's gates: before a turn, a generation and a tool call."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from clawdbot_plugin_sdk import Context, LifespanContext, Plugin, Refusal, Subject
from limits import RateLimitItem

from clawdbot_plugins.builtin.rate_limiter.settings import RateLimiterSettings
from clawdbot_plugins.builtin.rate_limiter.windows import FullWindow, Window, WindowStore

plugin = Plugin(
    "rate_limiter",
    version="1.0.0",
    description="Limits the turns, generations and tool calls of an API key over time.",
    settings=RateLimiterSettings,
)


class RateLimiter:
    """Applies the configured limits, using the windows that count the grants."""

    def __init__(self, settings: RateLimiterSettings, windows: WindowStore) -> None:
        self._settings = settings
        self._windows = windows

    async def check(self) -> None:
        """Raises Unavailable while nothing can be counted."""
        await self._windows.check()

    async def turn(self, context: Context) -> Refusal | None:
        """Counts a turn of the caller and of the session."""
        owner = self._owner(context)
        windows = _windows_for(self._settings.turns, "turns", owner)
        if context.session_id:
            session = (*owner[:1], context.session_id)
            windows += _windows_for(self._settings.session_turns, "turns of one session", session)
        return await self._acquire(windows)

    async def generation(self, context: Context) -> Refusal | None:
        """Counts a generation of the caller."""
        return await self._acquire(
            _windows_for(self._settings.generations, "generations", self._owner(context))
        )

    async def tool(self, context: Context) -> Refusal | None:
        """Counts a tool call of the caller."""
        return await self._acquire(_windows_for(self._settings.tools, "tool calls", self._owner(context)))

    def _owner(self, context: Context) -> tuple[str, ...]:
        return (context.tenant, context.key_id) if self._settings.per == "key" else (context.tenant,)

    async def _acquire(self, windows: Sequence[Window]) -> Refusal | None:
        full = await self._windows.acquire(windows) if windows else None
        return None if full is None else _refusal(full)


def _windows_for(limits: Sequence[RateLimitItem], counted: str, owner: tuple[str, ...]) -> list[Window]:
    # Quoted, because a tenant's name may contain a slash.
    path = "/".join(quote(part, safe="") for part in owner)
    return [
        Window(
            bucket=f"{counted}/{path}/{limit.multiples} {limit.GRANULARITY.name}",
            amount=limit.amount,
            seconds=float(limit.get_expiry()),
            label=f"{limit.amount} {counted} per {_period(limit)}",
        )
        for limit in limits
    ]


def _period(limit: RateLimitItem) -> str:
    name, multiples = limit.GRANULARITY.name, limit.multiples
    return name if multiples == 1 else f"{multiples} {name}s"


def _refusal(full: FullWindow) -> Refusal:
    # Rounded up to milliseconds, so that a retry at that time succeeds.
    wait = math.ceil(full.retry_after * 1000) / 1000
    return Refusal(
        "RATE_LIMITED",
        f"The rate limit of {full.window.label} is reached. Try again in {math.ceil(wait)} s.",
        retry_after=wait,
    )


@plugin.lifespan
async def lifespan(ctx: LifespanContext[RateLimiterSettings]) -> AsyncIterator[RateLimiter]:
    """Keeps the windows' file open."""
    windows = await WindowStore.open(ctx.folder, ctx.clock)
    try:
        yield RateLimiter(ctx.settings, windows)
    finally:
        await windows.close()


@plugin.check
async def check(state: RateLimiter) -> None:
    """Every turn, generation and tool call is counted in the file."""
    await state.check()


# Priority 10, so that it runs before other gates: a call over the limit should cost them nothing.
@plugin.gate("before_turn", priority=10, timeout="2s")
async def before_turn(subject: Subject, ctx: Context[RateLimiter]) -> Refusal | None:
    """Applies the settings `turns` and `session_turns`."""
    del subject
    return await ctx.state.turn(ctx)


@plugin.gate("before_generate", priority=10, timeout="2s")
async def before_generate(subject: Subject, ctx: Context[RateLimiter]) -> Refusal | None:
    """Applies the setting `generations`."""
    del subject
    return await ctx.state.generation(ctx)


@plugin.gate("before_tool", priority=10, timeout="2s")
async def before_tool(subject: Subject, ctx: Context[RateLimiter]) -> Refusal | None:
    """Applies the setting `tools`."""
    del subject
    return await ctx.state.tool(ctx)
