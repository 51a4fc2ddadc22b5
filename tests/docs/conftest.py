"""What the tests of pages take over from those of the stores."""

from tests.postgres.conftest import fleet_database, lease

__all__ = ["fleet_database", "lease"]
