"""Package index client that is imported at the first look-up, because its libraries are slow to import."""

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infrastructure.outbound.package_index import SimplePackageIndex


class LazyPackageIndex:
    """Implementation of `domain.ports.PackageIndex`. Use it on one event loop, and close it at the end."""

    def __init__(self, base_url: str | None) -> None:
        """Store the `base_url` of the index; None is the default of the `pypi-simple` library."""
        self._arguments = () if base_url is None else (base_url,)
        self._index: SimplePackageIndex | None = None

    async def prepare(self) -> None:
        """Import the client and load its certificates, in threads."""
        await (await self._load()).prepare()

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        """See `SimplePackageIndex.latest_versions`."""
        return await (await self._load()).latest_versions(packages)

    async def aclose(self) -> None:
        """Close the connections, if any were opened."""
        if self._index is not None:
            await self._index.aclose()

    async def _load(self) -> "SimplePackageIndex":
        if self._index is None:
            module = await asyncio.to_thread(importlib.import_module, "infrastructure.outbound.package_index")
            if self._index is None:  # another call may have been faster
                self._index = module.SimplePackageIndex(*self._arguments)
        return self._index
