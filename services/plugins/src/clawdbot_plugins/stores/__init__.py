"""Stores of the plugin service: implementations of the ports in core, one package for each kind."""
