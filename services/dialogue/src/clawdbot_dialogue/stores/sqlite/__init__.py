"""Sessions in one SQLite file that the processes of a machine share: the default store."""
