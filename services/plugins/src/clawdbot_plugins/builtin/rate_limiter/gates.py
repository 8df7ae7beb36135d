"""The rate limiter's gates: before a turn, a generation and a tool call."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from clawdbot_plugin_sdk import Context, Launch, Plugin, Refusal, Subject
from limits import RateLimitItem

from clawdbot_plugins.builtin.rate_limiter.settings import RateLimiterSettings
from clawdbot_plugins.builtin.rate_limiter.windows import Full, Window, Windows

plugin = Plugin(
    "rate_limiter",
    version="1.0.0",
    description="Limits how many turns, generations and tool calls a key may have in a span of time.",
    settings=RateLimiterSettings,
)


class RateLimiter:
    """What is allowed, and the windows that say what is left of it."""

    def __init__(self, settings: RateLimiterSettings, windows: Windows) -> None:
        self._settings = settings
        self._windows = windows

    async def turn(self, context: Context) -> Refusal | None:
        """Takes a turn from whoever calls, and from the session."""
        whose = self._whose(context)
        wanted = _windows(self._settings.turns, "turns", whose)
        if context.session_id:
            session = (*whose[:1], context.session_id)
            wanted += _windows(self._settings.session_turns, "turns of one session", session)
        return await self._take(wanted)

    async def generation(self, context: Context) -> Refusal | None:
        """Takes a generation from whoever calls."""
        return await self._take(_windows(self._settings.generations, "generations", self._whose(context)))

    async def tool(self, context: Context) -> Refusal | None:
        """Takes a tool call from whoever calls."""
        return await self._take(_windows(self._settings.tools, "tool calls", self._whose(context)))

    def _whose(self, context: Context) -> tuple[str, ...]:
        return (context.tenant, context.key_id) if self._settings.per == "key" else (context.tenant,)

    async def _take(self, windows: Sequence[Window]) -> Refusal | None:
        full = await self._windows.take(windows) if windows else None
        return None if full is None else _refusal(full)


def _windows(allowance: Sequence[RateLimitItem], what: str, whose: tuple[str, ...]) -> list[Window]:
    # Quoted: a tenant may be called "a/b".
    who = "/".join(quote(each, safe="") for each in whose)
    return [
        Window(
            bucket=f"{what}/{who}/{each.multiples} {each.GRANULARITY.name}",
            amount=each.amount,
            seconds=float(each.get_expiry()),
            label=f"{each.amount} {what} per {_span(each)}",
        )
        for each in allowance
    ]


def _span(limit: RateLimitItem) -> str:
    name, many = limit.GRANULARITY.name, limit.multiples
    return name if many == 1 else f"{many} {name}s"


def _refusal(full: Full) -> Refusal:
    # Milliseconds, upwards: who comes back then finds room.
    wait = math.ceil(full.retry_after * 1000) / 1000
    return Refusal(
        "RATE_LIMITED",
        f"Only {full.window.label} are allowed. Try again in {math.ceil(wait)} s.",
        retry_after=wait,
    )


@plugin.lifespan
async def life(launch: Launch[RateLimiterSettings]) -> AsyncIterator[RateLimiter]:
    """Keeps the windows open."""
    windows = await Windows.open(launch.folder, launch.clock)
    try:
        yield RateLimiter(launch.settings, windows)
    finally:
        await windows.close()


# First of all gates: what is not allowed should cost the others nothing.
@plugin.gate("before_turn", priority=10, timeout="2s")
async def before_turn(subject: Subject, ctx: Context[RateLimiter]) -> Refusal | None:
    """As the settings `turns` and `session_turns` say."""
    del subject
    return await ctx.state.turn(ctx)


@plugin.gate("before_generate", priority=10, timeout="2s")
async def before_generate(subject: Subject, ctx: Context[RateLimiter]) -> Refusal | None:
    """As the setting `generations` says."""
    del subject
    return await ctx.state.generation(ctx)


@plugin.gate("before_tool", priority=10, timeout="2s")
async def before_tool(subject: Subject, ctx: Context[RateLimiter]) -> Refusal | None:
    """As the setting `tools` says."""
    del subject
    return await ctx.state.tool(ctx)
