"""SQLite for stores: one file, threads that work on it, transactions that commit together.

connection.py  the file: how it is opened, migrated and locked, and what an operator reads if that fails
executor.py    the thread that runs operations, so that the event loop never waits for a disk

Several processes of one machine may share a file. It knows no table.
"""

from clawdbot_servicekit.sqlite.connection import SqliteFile, execute_script
from clawdbot_servicekit.sqlite.executor import SqliteExecutor

__all__ = ["SqliteExecutor", "SqliteFile", "execute_script"]
