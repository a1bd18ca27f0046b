"""``spad serve``: the engine as a service."""

from __future__ import annotations

import argparse
import logging
import socket
import ssl
from pathlib import Path

from spad.checkpoint import model_path, shipped
from spad.serving.limits import Limits
from spad.serving.tokens import Tokens

__all__ = ["add_arguments", "run"]

_LAST_PORT = 65535
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad serve``."""
    add, default = parser.add_argument, Limits()
    add("--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine alone)")
    add("--port", type=int, default=8750, help="port (8750)")
    add("--tokens", type=Path, help="file of one token a line; else those of SPAD_TOKEN")
    add("--model", action="append", default=[], help="a model more to offer, by file or name")
    add("--device", default="auto", help="cuda:0,cuda:1 or cpu: a process each (auto: each GPU)")
    add("--certificate", type=Path, help="TLS: file of the certificate (PEM)")
    add("--key", type=Path, help="TLS: file of its key (PEM)")
    for name, text in (
        ("request-mb", "MB of the arrays of one run"),
        ("model-mb", "MB of a model that a desk sends; 0: none is taken"),
        ("waiting", "runs in the queue"),
        ("waiting-each", "runs in the queue of one token"),
        ("minutes", "minutes of one run"),
        ("linger-s", "seconds that a run waits for a desk whose line dropped"),
    ):
        value = getattr(default, name.replace("-", "_"))
        add(f"--{name}", type=type(value), default=value, help=f"{text} ({value:g})")
    parser.epilog = "Needs the extra `serve`. docs/serving.md: TLS, tokens, systemd, containers."


def run(args: argparse.Namespace) -> int:
    """Serve until it is stopped.

    Raises
    ------
    ValueError
        Other machines could use it without a token; or a setting that does not fit.
    ImportError
        The extra is missing.
    """
    names = ("request_mb", "model_mb", "waiting", "waiting_each", "minutes", "linger_s")
    limits = Limits(**{name: getattr(args, name) for name in names})
    if not 1 <= args.port <= _LAST_PORT:
        raise ValueError(f"--port {args.port}: give a number from 1 to {_LAST_PORT}")
    tokens = Tokens.read(args.tokens)
    if args.host not in LOOPBACK and not len(tokens):
        raise ValueError(
            f"--host {args.host} lets other machines in, and no token is set: write one a line "
            "into a file (chmod 600) and give --tokens FILE, or set SPAD_TOKEN"
        )
    if bool(args.certificate) != bool(args.key):
        raise ValueError("--certificate and --key belong together: give both")
    _refuse_missing(args.certificate, args.key)
    _refuse_taken(args.host, args.port)
    try:
        import uvicorn

        from spad.serving.app import make_app
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{error.name or error} is missing: pip install 'napari-spad[serve]'"
        ) from error
    from spad.serving.device_process import devices_here
    from spad.serving.service import Service

    models = {**shipped(), **{Path(m).stem: model_path(m) for m in args.model}}
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    devices = devices_here() if args.device == "auto" else args.device.split(",")
    service = Service(models, devices, limits)
    log = logging.getLogger("spad.serving")
    scheme = "https" if args.certificate else "http"
    host = f"[{args.host}]" if ":" in args.host else args.host
    log.info("serving at %s://%s:%d on %s", scheme, host, args.port, ", ".join(devices))
    if scheme == "http" and args.host not in LOOPBACK:
        log.warning("without TLS images and tokens can be read on the way: --certificate, --key")
    try:
        uvicorn.run(
            make_app(service, tokens),
            host=args.host,
            port=args.port,
            ssl_certfile=args.certificate,
            ssl_keyfile=args.key,
            access_log=False,  # who asked what, and when, is nobody's
            log_level="warning",
            timeout_graceful_shutdown=3,
        )
    except ssl.SSLError as error:
        raise ValueError(f"{args.certificate} and {args.key} are no pair ({error})") from error
    return 0


def _refuse_missing(*files: Path | None) -> None:
    for file in files:
        if file is not None:
            file.open("rb").close()  # ssl tells of a file that it cannot read without its name


def _refuse_taken(host: str, port: int) -> None:
    """Raise a ValueError where nobody can listen, before models are opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ValueError(
            f"--host {host} --port {port}: {error.strerror or error}; end what listens there, or "
            "choose another port, and an address of this machine (0.0.0.0: all of them)"
        ) from error
