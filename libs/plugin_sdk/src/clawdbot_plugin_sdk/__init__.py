"""What the author of a plugin imports: tools that models and flows call, hooks that watch over turns.

    from clawdbot_plugin_sdk import Context, Plugin

    plugin = Plugin("dice", version="1.0.0", description="Throws dice.")

    @plugin.tool(effect="none", timeout="1s")
    async def throw(sides: int, ctx: Context) -> int:
        '''Throw one die with so many sides.'''

It knows no gRPC and starts nothing: the plugin service runs what is defined here.
"""

from clawdbot_plugin_sdk.context import Attachment, Context, Launch, Partial, Progress
from clawdbot_plugin_sdk.errors import ArgumentsDoNotFit, ResultDoesNotFit, ToolError
from clawdbot_plugin_sdk.hooks import POINTS, HookDefinition, HookKind, Refusal, Subject
from clawdbot_plugin_sdk.plugin import Plugin
from clawdbot_plugin_sdk.tools import Effect, ToolDefinition, ToolReturn

__all__ = [
    "POINTS",
    "ArgumentsDoNotFit",
    "Attachment",
    "Context",
    "Effect",
    "HookDefinition",
    "HookKind",
    "Launch",
    "Partial",
    "Plugin",
    "Progress",
    "Refusal",
    "ResultDoesNotFit",
    "Subject",
    "ToolDefinition",
    "ToolError",
    "ToolReturn",
]
