"""The address of the service and the key that it gets: checked once, and never shown."""

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Self

import httpx

API_PATH = "/api/v1"


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where the API is, and the headers of each request. Its text has no key."""

    url: httpx.URL
    headers: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, address: str, api_key: str | None) -> Self:
        """Return the address of a service, such as `https://vibe8.example.org`, with a path where it is mounted there.

        Raises ValueError for an address that is none or holds a password, and for a key that no header can hold. The
        text of the error has neither.
        """
        headers = {"User-Agent": f"vibe8-client/{_version()}", "Accept-Encoding": "gzip"}
        if api_key is not None:
            headers["Authorization"] = f"Bearer {header_value('the API key', api_key.strip())}"
        return cls(_base(address), headers)

    def of_call(self, path: str) -> httpx.URL:
        """Return the URL of a call; `path` is below `/api/v1`, and its segments are quoted."""
        return self.url.copy_with(raw_path=self.url.raw_path.rstrip(b"/") + f"{API_PATH}{path}".encode("ascii"))


def header_value(name: str, text: str) -> str:
    """Return the text. Raises ValueError, which does not show it, where it is empty or no header can hold it."""
    if not text or not all("!" <= character <= "~" for character in text):
        raise ValueError(f"{name} must be visible ASCII characters without spaces, and not empty")
    return text


def _base(address: str) -> httpx.URL:
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("the address of the service must begin with http:// or https:// and have a host name")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the address of the service must have no user, password, query or fragment")
    return url


def _version() -> str:
    try:
        return version("vibe8-client")
    except PackageNotFoundError:  # run from a checkout
        return "0"
