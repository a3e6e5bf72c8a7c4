"""Show the built site on this machine: ``make serve``. Tools and tests use the same server."""

import argparse
import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from book.extensions.address import site_url
from book.tools import layout


def main() -> None:
    """Serve _build/html on the loopback address until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    folder = layout.ROOT / "_build" / "html"
    if not (folder / "index.html").is_file():
        sys.exit("There is no site yet: run `make book` first.")
    try:
        server = serving(folder, port)
    except OSError as error:
        sys.exit(f"Port {port} cannot be used ({error.strerror}): make serve ARGS='--port 8001'.")
    print(f"Open http://127.0.0.1:{server.server_port}/ (stop with Ctrl-C)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


def serving(folder: Path, port: int, prefix: str = "/") -> ThreadingHTTPServer:
    """A server for a folder, on loopback only; port 0 takes any that is free.

    As on the host, an address without a file is answered by the site's own page for that.
    """
    handler = functools.partial(_Handler, prefix, directory=str(folder))
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


@contextmanager
def served(folder: Path, prefix: str | None = None) -> Iterator[str]:
    """Serve a folder on a free port, below the path that its host will use if none is given."""
    if prefix is None:
        url, _ = layout.repository()
        prefix = urlsplit(site_url(url)).path
    with serving(folder, 0, prefix) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, prefix: str, *args: Any, **options: Any) -> None:
        self.prefix = prefix
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        """Find the file of an address below the prefix; any other address has none."""
        inside = path.removeprefix(self.prefix)
        return super().translate_path(f"/{inside}" if inside != path else "/404-outside")

    def send_error(self, code: int, *words: Any) -> None:
        """Send the site's own page where a file is missing."""
        page = Path(self.directory, "404.html")
        if code != 404 or not page.is_file():
            return super().send_error(code, *words)
        content = page.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        return None

    def log_message(self, *words: object) -> None:
        """Write no line for each request."""


if __name__ == "__main__":
    main()
