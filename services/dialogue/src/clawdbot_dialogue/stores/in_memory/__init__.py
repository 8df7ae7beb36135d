"""A session store in the memory of one process."""
