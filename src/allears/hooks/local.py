"""Configuration of this machine: `conf/local` is read on top of every environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader

LOCAL = "local"


class LocalConfigLoader(OmegaConfigLoader):
    """Merge `conf/local`, where it exists, over `conf/base` and the environment of `--env`; `--params` wins over all.

    Kedro itself reads `conf/local` only where no other environment is named.
    """

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the merged configuration of one kind (parameters, catalog …)."""
        env = self.env or self.default_run_env
        if key in self or env == LOCAL:
            return super().__getitem__(key)  # type: ignore[no-any-return]
        try:
            found = super().__getitem__(key)
        except MissingConfigException:
            local = self._local(key)
            if not local or not Path(self.conf_source, env).is_dir():  # an unknown environment stays an error
                raise
            return local
        local = self._local(key)
        return self._merge_configs(found, local, key, LOCAL) if local else found  # type: ignore[no-any-return]

    def _local(self, key: str) -> dict[str, Any]:
        """Configuration in `conf/local`; empty without that folder."""
        folder = f"{self.conf_source}/{LOCAL}"
        if "://" not in folder and not Path(folder).is_dir():
            return {}
        try:
            return self.load_and_merge_dir_config(  # type: ignore[no-any-return]
                folder, self.config_patterns[key], key, set(), key == "credentials"
            )
        except MissingConfigException:
            return {}
