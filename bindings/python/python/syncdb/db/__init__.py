"""Tables of rows in memory, and their schemas."""
