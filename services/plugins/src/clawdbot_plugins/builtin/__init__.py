"""The plugins that ship with Clawdbot. Each uses only the SDK's API, as any other plugin does."""
