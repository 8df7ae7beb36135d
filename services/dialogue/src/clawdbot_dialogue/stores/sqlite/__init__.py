"""A session store in one SQLite file, which the processes of one machine may share: the default.

session_store.py  the store: encodes and decodes on the event loop's side; one thread writes, one reads
schema.py         tables and migrations
sessions.py       SQL of sessions and leases
turns.py          SQL of turns
timers.py         SQL of timers
journal.py        SQL of the journal
flows.py          SQL of deployed flows
rows.py           what goes to and comes from the SQL
decoder.py        from rows back to records
"""
