"""Model files: read strictly, identified by their structure, rewritten without loss beyond what is stated.

Pure functions over bytes and headers; a child process or the worker runs them. Imports `domain` alone.
"""
