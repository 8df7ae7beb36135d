"""Which request gets a backend's next slot. Pure: without I/O, and the time comes from a clock."""
