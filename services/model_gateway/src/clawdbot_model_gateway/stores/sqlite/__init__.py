"""The stores in SQLite files, which all workers of a machine share."""
