"""ModelRunner's shapes, by noun. What the product's documents leave open is marked *inferred*."""
