"""The embedded object store: a strict, durable, single-node S3 subset, a process of its own.

It knows buckets, keys and signatures; nothing of uploads, accounts or products. Any other S3 can stand in its place.
"""
