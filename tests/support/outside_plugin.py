"""A third-party plugin, written to a folder where a service's process finds it as if it were installed."""

from __future__ import annotations

from pathlib import Path

SOURCE = '''
"""A till, written by a third party."""

import asyncio
from pathlib import Path

from clawdbot_plugin_sdk import Context, Plugin
from pydantic import BaseModel


class TillSettings(BaseModel):
    book: str = "book.txt"


plugin = Plugin("till", version="0.1.0", settings=TillSettings)


@plugin.lifespan
async def lifespan(ctx):
    yield ctx.folder / ctx.settings.book


@plugin.tool(effect="once", timeout="30s")
async def take(amount: int, ctx: Context[Path], hang: bool = False) -> int:
    """Take money and write it to the book."""
    with ctx.state.open("a") as book:
        book.write(f"{amount}\\n")
    await ctx.progress(0.5, "written")
    if hang:
        await asyncio.Event().wait()
    return amount
'''


def install(folder: Path) -> dict[str, str]:
    """Writes the plugin `till` to the folder. Returns the environment in which a process finds it."""
    info = folder / "till-0.1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "till_plugin.py").write_text(SOURCE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: till\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[clawdbot.plugins]\ntill = till_plugin:plugin\n")
    return {"PYTHONPATH": str(folder)}
