"""The native API's shapes, by noun."""
