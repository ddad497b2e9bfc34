"""What an HTTP client takes from the environment: proxies and certificates."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

from fgbench import ConfigurationError
from fgbench_plugins.language_models.faults import is_out_of_files

CLIENT_VARIABLES = tuple(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
                  "SSLKEYLOGFILE")
    for name in (upper, upper.lower())
)  # fmt: skip
"""Environment variables that the HTTP client reads."""


def is_loopback(endpoint: str) -> bool:
    """Return whether an endpoint is on this machine."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return host.rstrip(".") == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return host.endswith(".localhost")


def proxy_of(endpoint: str) -> str | None:
    """Return the proxy that the environment names for an endpoint, None without one."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(endpoint)
    if is_loopback(endpoint) or proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


@contextmanager
def explained_environment(endpoint: str) -> Iterator[None]:
    """Convert errors of proxies and certificates in the environment to `ConfigurationError`."""
    import httpx2

    try:
        yield
    except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
        if is_out_of_files(error):
            raise
        names = [name for name in CLIENT_VARIABLES if os.environ.get(name)]
        if isinstance(error, ImportError):
            fix = "pip install 'httpx2[socks]', or unset the variable"
        else:
            fix = "correct or unset the variable"
        raise ConfigurationError(
            f"No client for {endpoint} can be made with the environment variable "
            f"{' or '.join(names) or 'SSL_CERT_FILE'} ({type(error).__name__}: "
            f"{_without_password(str(error))}): {fix}."
        ) from None


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//…@", text).strip().partition("\n")[0].rstrip(".")
