"""What statements read and take, named so that the rest of the API need not know the driver."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import asyncpg

Row: TypeAlias = asyncpg.Record
Values: TypeAlias = Mapping[str, Any]
