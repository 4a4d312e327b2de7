"""Runflow shapes: snake_case throughout, ids as bare UUIDs. What the product's documents leave open is *inferred*."""
