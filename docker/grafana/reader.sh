#!/bin/sh
# Runs once, when the database's volume is new: a role for Grafana that can read what the engine makes, and no more.
set -eu
: "${GRAFANA_READER_PASSWORD:?set it in .env}"
export GRAFANA_READER_PASSWORD

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv password GRAFANA_READER_PASSWORD
CREATE ROLE grafana_reader LOGIN PASSWORD :'password';
ALTER ROLE grafana_reader SET default_transaction_read_only = on;
-- A board asked for ten years must not keep the engine from working.
ALTER ROLE grafana_reader SET statement_timeout = '30s';
GRANT USAGE ON SCHEMA public TO grafana_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO grafana_reader;
-- The engine makes its tables later, as the role that runs this.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO grafana_reader;
SQL
