# Has strongSwan load $SWANCTL_DIR/swanctl.conf, and prints the connections that it has then. Runs in namespaces of its own, as
# root: nothing of the machine's is touched.
set -e
mount -t tmpfs tmpfs /run
ip link set lo up
"$CHARON" >"$SWANCTL_DIR/charon.log" 2>&1 &
charon=$!
until swanctl --stats >/dev/null 2>&1; do
    kill -0 "$charon" || { cat "$SWANCTL_DIR/charon.log" >&2; exit 1; }
    sleep 0.05
done
swanctl --load-all
swanctl --list-conns
kill "$charon"
wait "$charon" || true
