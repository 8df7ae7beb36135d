"""The API for plugin authors: tools that models and flows call, and hooks that run during turns.

    from clawdbot_plugin_sdk import Context, Plugin

    plugin = Plugin("dice", version="1.0.0", description="Rolls dice.")

    @plugin.tool(effect="none", timeout="1s")
    async def roll(sides: int, ctx: Context) -> int:
        '''Roll one die with this many sides.'''

It does not know gRPC and starts nothing: the plugin service runs what is defined here.
"""

from clawdbot_plugin_sdk.context import Attachment, Context, LifespanContext, Partial, Progress
from clawdbot_plugin_sdk.errors import InvalidArguments, InvalidResult, ToolError, Unavailable
from clawdbot_plugin_sdk.hooks import POINTS, HookDefinition, HookKind, Refusal, Subject
from clawdbot_plugin_sdk.plugin import Plugin
from clawdbot_plugin_sdk.tools import Effect, ToolDefinition, ToolReturn

__all__ = [
    "POINTS",
    "Attachment",
    "Context",
    "Effect",
    "HookDefinition",
    "HookKind",
    "InvalidArguments",
    "InvalidResult",
    "LifespanContext",
    "Partial",
    "Plugin",
    "Progress",
    "Refusal",
    "Subject",
    "ToolDefinition",
    "ToolError",
    "ToolReturn",
    "Unavailable",
]
