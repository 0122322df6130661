"""Versions of schemas, and migration between them: see `syncdb.schema.schema_manager`."""
