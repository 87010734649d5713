#!/bin/sh
# Bring all databases to the installed versions' schemas, once, before any server starts.
set -eu

PGUSER=prefect PGPASSWORD="$PREFECT_DB_PASSWORD" \
PREFECT_SERVER_DATABASE_CONNECTION_URL=postgresql+asyncpg:///prefect \
    prefect server database upgrade --yes

export PGUSER=mlflow PGPASSWORD="$MLFLOW_DB_PASSWORD"
mlflow db upgrade postgresql+psycopg2:///mlflow
python -m mlflow.server.auth db upgrade --url postgresql+psycopg2:///mlflow_auth
