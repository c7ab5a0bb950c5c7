"""The module that Django looks for in a database backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        name = str(params["database"])
        if not name.startswith(("file:", ":memory:")):
            params["database"] = f"{Path(name).absolute().as_uri()}?mode=rw"
        return params
