"""Pure values, tables and decisions. No I/O, no clock, no randomness: time, ids and bytes are passed in."""
