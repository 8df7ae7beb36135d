"""Where the gateway keeps what must outlive a worker."""
