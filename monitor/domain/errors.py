"""Every error the fleet raises on purpose: one root, and a message written for the operator.

A message says what failed, why, and what to do next. A sick Ollama server is data
(see `probe.ProbeResult`), never one of these.
"""


class FleetError(Exception):
    """Root of all errors raised on purpose; `str(error)` is one sentence for the operator."""


class ConfigurationError(FleetError):
    """A setting or a file the operator wrote cannot be used; the process ends with exit code 78."""


class KeyRingError(ConfigurationError):
    """The key ring cannot be used, or is not the one that the stored credentials were sealed with."""


class InvalidUrlError(FleetError, ValueError):
    """The text is not a base URL that the fleet accepts."""


class InvalidModelNameError(FleetError, ValueError):
    """The text is not a model name that Ollama could have."""


class InvalidPemError(FleetError, ValueError):
    """The text holds no certificates or no private key that can be used; says what it must be, without its name."""


class ImportFileError(FleetError):
    """A file to import servers from cannot be read as a `.env`."""


class UnavailableError(FleetError):
    """What we depend on is away for now; asking again later may well succeed."""


class DatabaseUnavailableError(UnavailableError):
    """PostgreSQL cannot be reached, went away in the middle of a statement, or cannot do it for the moment."""


class DatabaseRefusesError(DatabaseUnavailableError):
    """PostgreSQL lets nobody in: a wrong password, no such database, a role that may not log in, no such certificate.

    Once anything has worked, that is to be waited for like any absence. Before, what is set is wrong.
    """


class DatabaseFaultError(DatabaseUnavailableError):
    """PostgreSQL found a fault of its own or in its files; to try the same again may not help."""


class ApiUnavailableError(UnavailableError):
    """An API elsewhere cannot be reached, or cannot reach its database."""


class SchemaMismatchError(FleetError):
    """The schema in the database is older or newer than this program knows."""


class EmbeddedPostgresError(FleetError):
    """The PostgreSQL that `ollama-fleet up` runs itself cannot be prepared, started or stopped."""
