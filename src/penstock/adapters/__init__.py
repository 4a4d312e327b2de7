"""Vendor libraries behind the ports. No adapter knows another one, and none knows a service."""
