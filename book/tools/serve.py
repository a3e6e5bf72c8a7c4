"""Show the built site on this machine: ``make serve``."""

import argparse
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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


def serving(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server for a folder, on loopback only; port 0 takes any that is free."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


if __name__ == "__main__":
    main()
