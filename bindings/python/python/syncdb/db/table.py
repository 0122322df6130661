"""`Table`, where programs written for the unified edition look for it."""

from syncdb.db.database import Table

__all__ = ["Table"]
