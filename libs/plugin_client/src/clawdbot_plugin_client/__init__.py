"""How a service calls the plugin service. It runs no plugin code: that is the plugin service's work."""
