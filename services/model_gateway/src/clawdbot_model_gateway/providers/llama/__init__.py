"""llama.cpp as a library, in a process of its own beside the gateway's."""
