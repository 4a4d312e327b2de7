"""Durable flows: jobs with named, idempotent steps, each recorded before the next begins."""
