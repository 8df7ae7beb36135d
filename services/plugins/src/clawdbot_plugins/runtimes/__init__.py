"""Where a plugin's code runs: one module for each runtime. There is one so far, in this process."""
