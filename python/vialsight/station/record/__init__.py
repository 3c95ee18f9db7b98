"""The record: a chain of entries in SQLite, pictures beside it, and what can be read of them."""
