"""What tables are declared to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tandemdb._native import syncdb as native

__all__ = ["Column", "DatabaseSchema", "TableSchema"]


@dataclass
class Column(native.ColumnMethods):
    """A column: its name, the type of its values, whether it is part of the key, and its default.

    `default` is a value or a callable without arguments, taken when a row without the column is inserted.
    """

    name: str
    data_type: Any
    primary_key: bool = False
    nullable: bool = True
    default: Any = None


@dataclass
class TableSchema(native.TableSchemaMethods):
    """A table: its name, columns and version. At least one column is part of the primary key."""

    name: str
    columns: list[Column]
    version: int = 1
    _column_dict: dict[str, Column] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Files the columns by name; `ValueError` without a primary key."""
        self._column_dict = {column.name: column for column in self.columns}
        self._cache = native.SchemaCache()
        if not self.primary_keys:
            raise ValueError(f"Table {self.name} must have at least one primary key")

    def to_dict(self) -> dict[str, Any]:
        """The schema as a dictionary, types by name."""
        columns = [
            {
                "name": column.name,
                "data_type": getattr(column.data_type, "__name__", str(column.data_type)),
                "primary_key": column.primary_key,
                "nullable": column.nullable,
                "default": column.default,
            }
            for column in self.columns
        ]
        return {"name": self.name, "version": self.version, "columns": columns}


@dataclass
class DatabaseSchema:
    """Tables by name, and the version of them all."""

    tables: dict[str, TableSchema]
    version: int = 1

    def get_table(self, name: str) -> TableSchema | None:
        """The table of that name, or `None`."""
        return self.tables.get(name)

    def add_table(self, table: TableSchema) -> None:
        """Files a table under its name; databases that exist do not get it."""
        self.tables[table.name] = table

    def to_dict(self) -> dict[str, Any]:
        """The schema as a dictionary, types by name."""
        return {"version": self.version, "tables": {name: table.to_dict() for name, table in self.tables.items()}}
