"""llama.cpp as a library, in its own process next to the gateway's."""
