"""Compression of records: see `syncdb.compression.type_compressor`."""
