"""Products on the wire. A dialect is shapes, routes, errors and policy over the same services."""
