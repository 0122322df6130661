"""Rows that are edited offline on clients and brought together on a server."""

from syncdb import client as client
from syncdb import compression as compression
from syncdb import db as db
from syncdb import power as power
from syncdb import schema as schema
from syncdb import sync as sync
from syncdb.client import (
    BatteryAwareClient as BatteryAwareClient,
)
from syncdb.client import (
    ChangeTracker as ChangeTracker,
)
from syncdb.client import (
    ClientWinsResolver as ClientWinsResolver,
)
from syncdb.client import (
    Column as Column,
)
from syncdb.client import (
    CompressionLevel as CompressionLevel,
)
from syncdb.client import (
    ConflictAuditLog as ConflictAuditLog,
)
from syncdb.client import (
    ConflictManager as ConflictManager,
)
from syncdb.client import (
    ConflictResolver as ConflictResolver,
)
from syncdb.client import (
    CustomMergeResolver as CustomMergeResolver,
)
from syncdb.client import (
    Database as Database,
)
from syncdb.client import (
    DatabaseSchema as DatabaseSchema,
)
from syncdb.client import (
    LastWriteWinsResolver as LastWriteWinsResolver,
)
from syncdb.client import (
    MergeFieldsResolver as MergeFieldsResolver,
)
from syncdb.client import (
    MigrationPlan as MigrationPlan,
)
from syncdb.client import (
    NetworkSimulator as NetworkSimulator,
)
from syncdb.client import (
    OperationPriority as OperationPriority,
)
from syncdb.client import (
    PayloadCompressor as PayloadCompressor,
)
from syncdb.client import (
    PowerManager as PowerManager,
)
from syncdb.client import (
    PowerMode as PowerMode,
)
from syncdb.client import (
    PowerProfile as PowerProfile,
)
from syncdb.client import (
    SchemaMigration as SchemaMigration,
)
from syncdb.client import (
    SchemaMigrator as SchemaMigrator,
)
from syncdb.client import (
    SchemaSynchronizer as SchemaSynchronizer,
)
from syncdb.client import (
    SchemaVersionManager as SchemaVersionManager,
)
from syncdb.client import (
    ServerWinsResolver as ServerWinsResolver,
)
from syncdb.client import (
    SyncClient as SyncClient,
)
from syncdb.client import (
    SyncServer as SyncServer,
)
from syncdb.client import (
    Table as Table,
)
from syncdb.client import (
    TableSchema as TableSchema,
)
from syncdb.client import (
    Transaction as Transaction,
)
from syncdb.client import (
    VersionVector as VersionVector,
)

__version__ = "0.1.0"
