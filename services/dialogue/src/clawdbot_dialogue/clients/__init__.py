"""The other services, and Graphviz, behind the ports of the domain."""
