#!/usr/bin/env bash
# Three nodes over one PostgreSQL, on this machine, to see what docs/cluster.md says: an empty database whose owner the
# role of the URL is, and the program.
#
#   createdb tongguan
#   TONGGUAN_DATABASE='postgres://me@%2Frun%2Fpostgresql/tongguan' examples/cluster/three-nodes.sh
#
# It makes the database, starts the nodes, writes by one and reads by the next, kills one without warning, goes on with
# the others, and stops. With --stay the two that are left go on until Ctrl-C. In production each node is on a machine of
# its own, under systemd: the settings are the same.
set -euo pipefail

: "${TONGGUAN_DATABASE:?the URL of an empty PostgreSQL database}"
program=${TONGGUAN:-tongguan}
command -v "$program" >/dev/null || { echo "no program $program: install tongguan, or say where it is by TONGGUAN" >&2; exit 1; }
place=${PLACE:-three-nodes}
listen=(${LISTEN:-127.0.0.1:8080 127.0.0.1:8082 127.0.0.1:8084})
admin=(${ADMIN_LISTEN:-127.0.0.1:8081 127.0.0.1:8083 127.0.0.1:8085})
export TONGGUAN_MASTER_KEY_FILE=$place/master.key
mkdir -p -m 700 "$place"

nodes=()
stop() { for node in "${nodes[@]}"; do kill "$node" 2>/dev/null || true; done; wait; }
trap stop EXIT

# What a node has printed after this word: where it listens.
said() { sed -n "s|^$2 on http://||p" "$place/node-$1.out" 2>/dev/null; }

start() {
    local number=$1 tries=0
    "$program" serve --data-dir "$place/node-$number" --listen "${listen[number]}" \
        --admin-listen "${admin[number]}" >"$place/node-$number.out" 2>"$place/node-$number.log" &
    nodes[number]=$!
    until [ -n "$(said "$number" admin)" ]; do
        kill -0 "${nodes[number]}" 2>/dev/null && ((tries++ < 600)) || { cat "$place/node-$number.log" >&2; exit 1; }
        sleep 0.1
    done
    "$program" ready --wait 30s --url "http://$(said "$number" admin)" >&2
    echo "node $number: http://$(said "$number" listening)"
}

call() {
    local number=$1
    shift
    "$program" call Vpc "$@" --region cn-hangzhou --endpoint "$(said "$number" listening)"
}

"$program" database init --data-dir "$place/operator"
for number in 0 1 2; do start "$number"; done
"$program" database status

set -a
. "$place/operator/root-access-key.env"
set +a
vpc=$(call 0 CreateVpc --CidrBlock 10.0.0.0/8 | sed -n 's/.*"VpcId": *"\([^"]*\)".*/\1/p')
echo "node 0 has made $vpc"
call 1 DescribeVpcAttribute --VpcId "$vpc" >/dev/null
echo "node 1 has it"

kill -9 "${nodes[0]}"
wait "${nodes[0]}" 2>/dev/null || true
echo "node 0 was killed"
# What it had accepted and not applied, another takes up when its lease has ended, within 10 s.
tries=0
until call 1 DescribeVpcAttribute --VpcId "$vpc" | grep -q '"Available"'; do
    ((tries++ < 300)) || { echo "nobody has taken up what node 0 had accepted" >&2; exit 1; }
    sleep 0.1
done
call 2 ModifyVpcAttribute --VpcId "$vpc" --VpcName again >/dev/null
call 1 DescribeVpcAttribute --VpcId "$vpc" | grep -q '"again"'
echo "nodes 1 and 2 go on"
"$program" check

if [ "${1-}" = --stay ]; then
    unset "nodes[0]"
    wait
fi
