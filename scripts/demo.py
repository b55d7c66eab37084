"""`make demo`: from nothing to a live, audited endpoint."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from slipway.client import Client, ClientError

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".slipway"
EXAMPLE = ROOT / "examples" / "movie_review_sentiment"
USER = "jpublic"
ALGORITHM = f"{USER}/movie_review_sentiment"
SENTENCE = "An unforgettable, beautifully acted film."
PORT = 8080
CELL_SECONDS = 900


def main() -> int:
    """Tell the whole story; 1 if a part of it fails."""
    begun = time.time()
    url = start_platform()
    key = user_key(url)
    heading("The notebook")
    if not run_notebook(url, key):
        return 1
    heading("A call")
    call(url, key)
    heading("The audit (UTC)")
    show_audit(begun)
    heading("Your turn")
    print(INSTRUCTIONS.format(url=url, key=key, algorithm=ALGORITHM, sentence=SENTENCE, command=command()))
    return 0


def start_platform() -> str:
    """The address of the platform on `.slipway`, started if it does not run."""
    running = status()
    if not running["running"]:
        slipway("up", "--data", str(DATA), "--port", str(free_port()), "--detach")
        running = status()
    else:
        print(f"the platform runs already, on {running['url']}")
    return str(running["url"])


def status() -> dict[str, Any]:
    """What `slipway status` tells."""
    words = [*SLIPWAY, "status", "--data", str(DATA), "--json"]
    output = subprocess.run(words, capture_output=True, text=True, check=False)
    if not output.stdout:
        raise SystemExit(output.stderr.strip())
    found: dict[str, Any] = json.loads(output.stdout)
    return found


def user_key(url: str) -> str:
    """A key of the demo's user, kept beside the admin's."""
    kept = DATA / f"{USER}.key"
    if kept.exists() and works(url, kept.read_text().strip()):
        return kept.read_text().strip()
    admin = os.environ.get("SLIPWAY_ADMIN_KEY") or (DATA / "admin.key").read_text().strip()
    with Client(url, admin) as client:
        if USER not in [account.username for account in client.accounts()]:
            client.create_account(USER)
        key = client.create_key(USER, "demo").key
    kept.touch(mode=0o600)
    kept.write_text(f"{key}\n")
    return key


def works(url: str, key: str) -> bool:
    """Whether the platform knows the key."""
    try:
        with Client(url, key) as client:
            return client.whoami().username == USER
    except ClientError:
        return False


def run_notebook(url: str, key: str) -> bool:
    """Execute the notebook and print what its cells print; whether all went well."""
    notebook: Any = nbformat.read(EXAMPLE / "train_and_deploy.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    environment = {**os.environ, "SLIPWAY_API": url, "SLIPWAY_API_KEY": key, "SLIPWAY_USER": USER}
    # The kernel of this environment, whatever else the user has; its history and settings stay out of it.
    environment |= {"JUPYTER_PREFER_ENV_PATH": "1", "IPYTHONDIR": str(DATA / "ipython")}
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(EXAMPLE)}},
        on_cell_executed=lambda cell, cell_index, execute_reply: show_outputs(cell),
    )
    # What libraries tell the terminal behind the notebook's back is kept, not shown.
    log = (DATA / "logs" / "notebook.log").open("wb")
    try:
        client.execute(env=environment, stdout=log, stderr=log)
    except CellExecutionError as error:
        print(error.evalue, file=sys.stderr)
        return False
    finally:
        log.close()
        nbformat.write(notebook, DATA / "train_and_deploy.ipynb")  # type: ignore[no-untyped-call]
    return not any(is_error(output) for cell in notebook.cells for output in cell.get("outputs", ()))


def show_outputs(cell: Mapping[str, Any]) -> None:
    """What a cell printed."""
    for output in cell.get("outputs", ()):
        if output.get("output_type") == "stream" and output.get("name") == "stdout":
            print(output["text"], end="", flush=True)
        elif is_error(output):
            print("\n".join(output["traceback"]), file=sys.stderr)


def is_error(output: Mapping[str, Any]) -> bool:
    """Whether a cell's output is an error."""
    return bool(output.get("output_type") == "error")


def call(url: str, key: str) -> None:
    """Call the endpoint as anybody would."""
    if shutil.which("curl") is None:
        with Client(url, key) as client:
            print(client.call(ALGORITHM, SENTENCE).result)
        return
    words = ["curl", "--silent", "--show-error", f"{url}/v1/algo/{ALGORITHM}", "-H", "Content-Type: text/plain"]
    print(
        f"$ curl {url}/v1/algo/{ALGORITHM} -H 'Content-Type: text/plain' -H 'Authorization: Simple …' -d '{SENTENCE}'"
    )
    # From standard input: the key is nobody else's business who lists this machine's processes.
    header = f'header = "Authorization: Simple {key}"\n'
    subprocess.run([*words, "-d", SENTENCE, "--config", "-"], input=header, text=True, check=True)
    print()


def show_audit(since: float) -> None:
    """The records that this run left."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))
    slipway("audit", "--data", str(DATA), "--caller", USER, "--since", moment)


def free_port() -> int:
    """8080, unless somebody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT


def slipway(*words: str) -> None:
    """Run a command of the platform's; what it says goes to the terminal, its failure ends this one."""
    done = subprocess.run([*SLIPWAY, *words], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def command() -> str:
    """How to run `slipway` from here."""
    return ".venv/bin/python -m slipway.cli.main"


def heading(text: str) -> None:
    """A line between two parts."""
    print(f"\n--- {text} ---", flush=True)


SLIPWAY = (sys.executable, "-m", "slipway.cli.main")

INSTRUCTIONS = """\
The platform listens on {url}
The key of the user jpublic: {key}   (kept in .slipway/jpublic.key; the admin's in .slipway/admin.key)

curl:
    curl {url}/v1/algo/{algorithm} \\
      -H 'Authorization: Simple {key}' -H 'Content-Type: text/plain' -d '{sentence}'

Python:
    import json, urllib.request
    request = urllib.request.Request("{url}/v1/algo/{algorithm}", b"{sentence}",
        {{"Authorization": "Simple {key}", "Content-Type": "text/plain"}})
    print(json.load(urllib.request.urlopen(request))["result"])

JavaScript:
    const reply = await fetch("{url}/v1/algo/{algorithm}", {{
      method: "POST", body: "{sentence}",
      headers: {{"Authorization": "Simple {key}", "Content-Type": "text/plain"}}}});
    console.log((await reply.json()).result);

What runs:       {command} status --data .slipway
Follow it:       {command} audit --data .slipway --follow
Stop it:         make stop"""


if __name__ == "__main__":
    sys.exit(main())
