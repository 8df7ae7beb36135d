"""The domain: the plugin registry, and how tools and hooks run. It knows no transport and no database."""
