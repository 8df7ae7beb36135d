"""One file for each kind of backend: what it is configured by, its connections, and how it is asked."""
