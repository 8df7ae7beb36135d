"""The plugins that ship with Clawdbot, each written with the SDK as anybody else's would be."""
