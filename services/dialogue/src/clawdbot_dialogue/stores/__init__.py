"""Where sessions are kept: one file per kind of store, each held to tests/contract/stores."""
