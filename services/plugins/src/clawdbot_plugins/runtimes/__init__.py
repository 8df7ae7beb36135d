"""Where a plugin's code runs: one module for each runtime. So far: in this process."""
