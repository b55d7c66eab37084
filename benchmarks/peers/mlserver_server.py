"""MLServer with its defaults, so one parallel worker, over the V2 protocol. Usage: mlserver_server.py PORT"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main(port: int) -> None:
    """Write MLServer's folder of models, then become it. It takes the two ports after the given one as well."""
    folder = Path(tempfile.mkdtemp())
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    (folder / "settings.json").write_text(json.dumps({**ports, "host": "127.0.0.1"}))
    for name, implementation in (("echo", "mlserver_models.Echo"), ("predict", "mlserver_models.Predict")):
        (folder / name).mkdir()
        settings = {"name": name, "implementation": implementation}
        (folder / name / "model-settings.json").write_text(json.dumps(settings))
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execve(program, [program, "start", str(folder)], environment)


if __name__ == "__main__":
    main(int(sys.argv[1]))
