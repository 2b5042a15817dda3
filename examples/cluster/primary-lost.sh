#!/usr/bin/env bash
# Three nodes over a primary and its synchronous standby, all on this machine, and what becomes of them when the primary
# is lost. It needs the programs of PostgreSQL (Debian: apt-get install postgresql), and tongguan.
#
#   examples/cluster/primary-lost.sh
#
# It makes both databases, starts the nodes (three-nodes.sh, which kills the first of them), kills the primary without
# warning and makes the standby the primary, as Patroni would. The nodes go on by themselves. Then the old primary comes
# back and believes that it is one still, and nobody uses it. In the end all is stopped, and the databases are removed.
#
# Root runs PostgreSQL as the user `postgres`. Everybody on this machine may use the databases meanwhile.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${TONGGUAN:-tongguan}
command -v "$program" >/dev/null || { echo "no program $program: install tongguan, or say where it is by TONGGUAN" >&2; exit 1; }
export PLACE=${PLACE:-primary-lost}
ports=(${PORTS:-5461 5462})
programs=${PGBIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)}
: "${programs:?no programs of PostgreSQL: install it, or say where they are by PGBIN}"
databases=$(mktemp -d)

pg() (
    local name=$1
    shift
    cd /
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$programs/$name" "$@"; else "$programs/$name" "$@"; fi
)
sql() { pg psql --host 127.0.0.1 --port "$1" --username postgres --tuples-only --no-align --command "$2" postgres; }
start() { pg pg_ctl start --wait --silent --pgdata "$databases/$1" --log "$databases/$1.log"; }

# Waits for a minute at most until this succeeds.
until_so() {
    local what=$1 tries=0
    shift
    until "$@"; do
        ((tries++ < 300)) || { echo "never: $what" >&2; exit 1; }
        sleep 0.2
    done
}

nodes=
stop() {
    [ -z "$nodes" ] || { kill "$nodes" && wait "$nodes"; } 2>/dev/null || true
    for database in first second; do
        pg pg_ctl stop --silent --mode immediate --pgdata "$databases/$database" 2>/dev/null || true
    done
    rm -rf "$databases"
}
trap stop EXIT

[ "$(id -u)" != 0 ] || chown postgres "$databases"
pg initdb --username postgres --auth trust --encoding UTF8 --locale C --pgdata "$databases/first" >/dev/null
listen() { printf "port = %s\nunix_socket_directories = ''\n" "$2" >>"$databases/$1/postgresql.conf"; }
listen first "${ports[0]}"
start first
sql "${ports[0]}" "CREATE ROLE tongguan LOGIN" >/dev/null
sql "${ports[0]}" "CREATE DATABASE tongguan OWNER tongguan" >/dev/null
pg pg_basebackup --checkpoint fast --write-recovery-conf --pgdata "$databases/second" \
    --dbname "host=127.0.0.1 port=${ports[0]} user=postgres"
listen second "${ports[1]}"
start second
sql "${ports[0]}" "ALTER SYSTEM SET synchronous_standby_names = '*'" >/dev/null
sql "${ports[0]}" "SELECT pg_reload_conf()" >/dev/null
synchronous() { [ "$(sql "${ports[0]}" "SELECT sync_state FROM pg_stat_replication")" = sync ]; }
until_so "the standby follows" synchronous
echo "a primary at ${ports[0]}, a synchronous standby at ${ports[1]}"

export TONGGUAN_DATABASE="postgres://tongguan@127.0.0.1:${ports[0]},127.0.0.1:${ports[1]}/tongguan?sslmode=disable"
mkdir -p -m 700 "$PLACE"
"$here/three-nodes.sh" --stay >"$PLACE/nodes.log" 2>&1 &
nodes=$!
started() { grep -qs "the database is sound" "$PLACE/nodes.log" || ! kill -0 "$nodes" 2>/dev/null; }
until_so "three nodes" started
grep -v "^ok " "$PLACE/nodes.log"
kill -0 "$nodes"

set -a
. "$PLACE/operator/root-access-key.env"
set +a
call() {
    local endpoint
    endpoint=$(sed -n "s|^node $1: http://||p" "$PLACE/nodes.log")
    shift
    "$program" call Vpc "$@" --region cn-hangzhou --endpoint "$endpoint"
}
before=$(call 1 CreateVpc --CidrBlock 10.0.0.0/8 | sed -n 's/.*"VpcId": *"\([^"]*\)".*/\1/p')

kill -9 "$(head -n 1 "$databases/first/postmaster.pid")"
echo "the primary was killed"
pg pg_ctl promote --wait --silent --pgdata "$databases/second"
echo "the standby is the primary"
reads() { call 2 DescribeVpcAttribute --VpcId "$before" >/dev/null 2>&1; }
until_so "node 2 finds the new primary" reads
echo "node 2 has what was answered before"
writes() { call 1 CreateVpc --CidrBlock 10.0.0.0/8 >/dev/null 2>&1; }
until_so "node 1 finds the new primary" writes
echo "node 1 goes on"

rm -f "$databases/first/postmaster.pid"
start first
[ "$(sql "${ports[0]}" "SELECT pg_is_in_recovery()")" = f ]
echo "the old primary is back, and takes writes"
writes && reads
"$program" status --data-dir "$PLACE/node-1" | grep "(timeline 2)"
"$program" check --data-dir "$PLACE/node-1" | tail -n 1
echo "nobody uses it"
