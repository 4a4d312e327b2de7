"""Use cases: domain decisions carried out over ports. Synchronous; they know no dialect and no vendor."""
