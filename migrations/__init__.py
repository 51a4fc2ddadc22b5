"""The schema's history, one Alembic revision per file; part of the wheel so that `migrate` works anywhere."""
