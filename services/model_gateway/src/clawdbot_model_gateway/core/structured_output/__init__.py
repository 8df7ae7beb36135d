"""Replies of a given form, from backends that have no field to ask for one.

form.py     what form a reply shall have, and where in a text it may be
judge.py    whether a text fits a schema
checking.py the same within bounds, whatever the schema
asking.py   how it is asked for instead: by a tool, or in words; and once more
reply.py    where in a reply the answer is, and what it cost
keeper.py   the provider that does so
"""
