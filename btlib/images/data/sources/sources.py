"""Registry of image sources. To add one, write a module with `scan` and add it here."""

from collections.abc import Callable

from btlib.images.data.sources import figshare, folder, phantom
from btlib.images.data.sources.entry import Request, Scan

SOURCES: dict[str, Callable[[Request], Scan]] = {
    "phantom": phantom.scan,
    "folder": folder.scan,
    "figshare": figshare.scan,
}
