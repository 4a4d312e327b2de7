"""Model files, examined in a child process that can open nothing, and rewritten."""
