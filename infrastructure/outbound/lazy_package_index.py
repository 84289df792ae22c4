"""The package index's client, loaded when a package is first looked up: its libraries take long to import."""

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infrastructure.outbound.package_index import SimplePackageIndex


class LazyPackageIndex:
    """Implements `domain.ports.PackageIndex`. For one event loop; close it in the end."""

    def __init__(self, base_url: str | None) -> None:
        """`base_url` of the index; None: the `pypi-simple` library's own."""
        self._address = () if base_url is None else (base_url,)
        self._index: SimplePackageIndex | None = None

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        """See `SimplePackageIndex.latest_versions`."""
        return await (await self._loaded()).latest_versions(packages)

    async def aclose(self) -> None:
        """Close the connections, if any were opened."""
        if self._index is not None:
            await self._index.aclose()

    async def _loaded(self) -> "SimplePackageIndex":
        if self._index is None:
            module = await asyncio.to_thread(importlib.import_module, "infrastructure.outbound.package_index")
            self._index = module.SimplePackageIndex(*self._address)
        return self._index
