"""Where the plugin service keeps what outlives a call, one folder for each kind of store."""
