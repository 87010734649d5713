"""`doctor` says what will not work, why, and what to do."""

import http.server
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mtquant.cli.doctor import _combinations as combinations
from mtquant.cli.doctor import findings
from mtquant.cli.doctor_servers import mlflow, prefect
from mtquant.cli.doctor_store import store as look_at_store
from mtquant.cli.findings import BAD, OK, WARNING
from mtquant.store.runs import create_run, load_run, run_folder, unit_of_run

NOBODY = "http://127.0.0.1:9"


def test_doctor_looks_at_everything(cli):
    ended = cli("doctor")
    assert ended.code == 0, ended.out
    levels = {entry["what"]: entry["level"] for entry in json.loads(cli("doctor", "--json").out)}
    assert levels["store"] in ("ok", WARNING)
    assert levels["settings"] == levels["prefect"] == "ok"


def test_doctor_knows_bad_combinations(cli, monkeypatch, tmp_path):
    versions = {"prefect": (3, 8, 8), "fastapi": (0, 165, 0), "mlflow": (3, 16, 0), "stable-baselines3": (2, 10, 0)}
    assert [entry.level for entry in combinations(versions.get)] == [BAD, BAD, WARNING]
    versions = {"prefect": (3, 8, 8), "fastapi": (0, 150, 0), "mlflow": (3, 17, 2), "stable-baselines3": (2, 9, 2)}
    assert combinations(versions.get) == []
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("MTQUANT_STORE", str(tmp_path / "taken"))
    assert BAD in {entry.level for entry in findings() if entry.what == "store"}
    assert cli("doctor").code == 1


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with what the server was told, and remembers who asked."""

    def do_GET(self):
        self.server.heard.append(self.headers.get("Authorization"))
        code, text = self.server.answer
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def answering(code: int, text: str = "") -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.answer, server.heard = (code, text), []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def address(server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("code", "text", "level", "said"),
    [
        (200, "{}", OK, "answers"),
        (403, "Invalid Host header - possible DNS rebinding attack detected", BAD, "--allowed-hosts"),
        (401, "You are not authenticated.", BAD, "MLFLOW_TRACKING_PASSWORD"),
        (500, "broken", BAD, "HTTP 500: broken"),
    ],
)
def test_an_mlflow_server(code, text, level, said):
    with answering(code, text) as server:
        found = mlflow(address(server).replace("//", "//ann:secret@"))
        assert server.heard == ["Basic YW5uOnNlY3JldA=="]
        port = server.server_port
    assert (found.level, said in found.text) == (level, True)
    assert "secret" not in found.text
    assert "--allowed-hosts" not in found.text or f'"127.0.0.1:{port},' in found.text


def test_an_mlflow_server_that_is_away_stops_nothing():
    found = mlflow(NOBODY)
    assert (found.level, "does not answer" in found.text, "mtquant sync" in found.text) == (WARNING, True, True)


def test_a_tracking_database(tmp_path):
    path = tmp_path / "mlflow.db"
    uri = f"sqlite:///{path}"
    assert (mlflow(uri).level, "does not exist yet" in mlflow(uri).text) == (OK, True)
    assert not path.exists()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (id)")
        connection.execute("INSERT INTO runs VALUES (1)")
    assert mlflow(uri).text == f"{path} with 1 MLflow runs"
    connection.execute("BEGIN IMMEDIATE")
    found = mlflow(uri)
    connection.close()
    assert (found.level, "another process" in found.text) == (WARNING, True)
    path.write_bytes(b"no database at all, but long enough to be read as a header " * 20)
    found = mlflow(uri)
    assert (found.level, "damaged" in found.text, "mtquant sync" in found.text) == (BAD, True, True)
    path.unlink()
    sqlite3.connect(path).close()
    assert (mlflow(uri).level, "no such table" in mlflow(uri).text) == (BAD, True)
    assert mlflow("postgresql+psycopg2://ann:secret@db/mlflow").level == OK


def test_a_prefect_server(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    note = tmp_path / "prefect" / "server.url"
    note.parent.mkdir()
    assert prefect(tmp_path, None).text.startswith("none runs")
    with answering(200, "true") as server:
        note.write_text(f"{address(server)}/api")
        assert (prefect(tmp_path, None).level, prefect(tmp_path, f"{address(server)}/api").level) == (OK, OK)
        assert server.heard == [None, None], "a password of MLflow is none of Prefect's business"
    note.write_text(f"{NOBODY}/api")
    found = prefect(tmp_path, None)
    assert (found.level, "left by a killed" in found.text) == (WARNING, True)
    found = prefect(tmp_path, f"{NOBODY}/api")
    assert (found.level, "unset PREFECT_API_URL" in found.text) == (BAD, True)


def levels(root):
    return {entry.what: (entry.level, entry.text) for entry in look_at_store(root)}


def test_a_store_is_looked_through(finished, monkeypatch):
    found = levels(finished.root)
    assert {level for level, _ in found.values()} == {OK}
    assert found["runs"][1].startswith("1; markers and sizes fit")
    assert "the largest run here takes" in found["disk"][1]
    assert finished("doctor").code == 0
    record = load_run(finished.root)
    (unit_of_run(finished.root, record, "phase2-meta").outputs / "weights.json").write_text("")
    level, text = levels(finished.root)["runs"]
    assert (level, f"phase2-meta of {record.run_id}: " in text) == (WARNING, True)
    (run_folder(finished.root, record.run_id) / "run.json").write_text("{")
    level, text = levels(finished.root)["runs"]
    assert (level, "run.json is damaged" in text) == (WARNING, True)


def test_a_dead_run_is_told(cli):
    record = create_run(cli.root, [], {}, "direct")
    level, text = levels(cli.root)["runs"]
    assert (level, f"mtquant resume {record.run_id}" in text) == (WARNING, True)


def test_little_room_is_told(finished, monkeypatch):
    monkeypatch.setattr("mtquant.cli.doctor_store.LEAST_FREE", 10**18)
    level, text = levels(finished.root)["disk"]
    assert (level, "`mtquant gc`" in text) == (WARNING, True)


def test_doctor_proves_that_leaks_are_found(cli, monkeypatch):
    from mtquant.evaluation.causality import suite

    few = {name: suite.LEAKS[name] for name in ("centred mean", "survivors")}
    monkeypatch.setattr(suite, "LEAKS", few)
    monkeypatch.setattr(suite, "CLEAN", {"phase 1": suite.CLEAN["phase 1"]})
    ended = cli("doctor", "--leaks")
    assert ended.code == 0, ended.err
    assert [line.split("  ")[0] for line in ended.out.splitlines()] == ["pipeline", *few, "clean: phase 1"]
    monkeypatch.setattr(suite, "CLEAN", {"phase 1": (few["centred mean"].factory, "not clean")})
    ended = cli("doctor", "--leaks", "--json")
    assert ended.code == 8
    assert [row["passed"] for row in json.loads(ended.out)["leaks"]] == [True, True, False]


def test_doctor_proves_that_learners_learn(cli, monkeypatch):
    from mtquant.gates import definitions, runner
    from tests.gates.test_runner import Trainings, gate

    monkeypatch.setattr(runner, "finish", lambda root, training, seed: Trainings()(training, seed))
    monkeypatch.setattr(definitions, "small_gates", lambda: (gate(),))
    assert cli("doctor", "--learning").code == 0
    monkeypatch.setattr(definitions, "small_gates", lambda: (gate(threshold=2.0),))
    ended = cli("doctor", "--learning")
    assert ended.code == 8
    assert "NOT MET" in ended.out and "made" in ended.err
