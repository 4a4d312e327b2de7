"""Small Protocols between the use cases and the world. Each docstring states what is raised and what a retry does."""
