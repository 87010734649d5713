"""`mtquant ui`: both pages answer on loopback, and end with the command."""

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from mtquant.cli.servers import free_port
from mtquant.errors import MTQuantError
from tests.cli.conftest import environment


def answers(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status == 200 and b"<html" in answer.read().lower()


@pytest.mark.slow
def test_both_pages_answer_until_the_command_ends(store):
    command = [sys.executable, "-m", "mtquant.cli", "ui", "--mlflow-port", "0", "--prefect-port", "0"]
    own = {name: value for name, value in environment(store).items() if name != "MLFLOW_TRACKING_URI"}
    own |= {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True) as process:
        try:
            mlflow = re.search(r"http://\S+", process.stdout.readline()).group()
            prefect = re.search(r"http://\S+", process.stdout.readline()).group()
            assert answers(mlflow)
            assert answers(prefect)
            assert (store / "prefect" / "server.url").read_text() == f"{prefect}/api"
            assert (store / "prefect" / "mlflow.url").read_text() == mlflow
            # Ctrl-C is pressed by the test of the commands in README.md.
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert not list((store / "prefect").glob("*.url"))
    for url in (mlflow, prefect):
        with pytest.raises(urllib.error.URLError, match="refused"):
            answers(url)


def test_a_taken_port_is_an_error_that_names_the_option():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MTQuantError, match="--mlflow-port"):
            free_port(taken.getsockname()[1], "MLflow", "--mlflow-port")
    assert free_port(0, "MLflow", "--mlflow-port") > 0
