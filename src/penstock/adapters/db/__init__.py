"""The database port and the job queue on SQLAlchemy Core: SQLite in the box, PostgreSQL beyond it, one code path."""
