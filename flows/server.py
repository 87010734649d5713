"""Prefect's server for one flow, whose process is behind standard input: `python -m flows.server --socket FD`."""

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence

PATIENCE_SECONDS = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Serve on a socket that is listening already, until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m flows.server", description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="number of the listening socket")
    arguments = parser.parse_args(argv)
    # Before the imports, which take seconds: the flow may die meanwhile.
    threading.Thread(target=_end_with_input, daemon=True).start()
    # Blocks of integrations are of no use here, and registering them takes a second.
    os.environ.setdefault("PREFECT_API_BLOCKS_REGISTER_ON_START", "false")
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    server.run(sockets=[socket.socket(fileno=arguments.socket)])
    return 0 if server.started else 1


def _end_with_input() -> None:
    try:
        while os.read(0, 1024):
            pass
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
