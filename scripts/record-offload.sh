#!/bin/bash
# Records what Linux's own segmentation makes of frames: captures/offload-*. Run as root on Debian:
#
#   scripts/record-offload.sh [FOLDER]
#
#   client namespace          switch namespace                    server namespace
#   eth0: segmentation  ----  in  ------ bridge ------- out  ---- eth0: what arrives
#   offload on                tap (frames by hand) --/  all offloads off
#
# The client's kernel hands over frames of up to 64 KiB with a virtio_net_hdr each. They cross the bridge as
# they are; at the port named out, which can do nothing for itself, the kernel cuts them. The tap takes frames
# that no socket sends. Nothing outside of the three namespaces is touched but a temporary folder, and all
# are removed at the end, also when a step fails. captures/README.md says what is recorded.
set -euo pipefail

folder=${1:-$(dirname "$0")/../captures}
traffic=$(dirname "$0")/offload-traffic.py
limit=400000

die() {
  echo "record-offload: $*" >&2
  exit 2
}

[ "$(id -u)" = 0 ] || die "network namespaces and raw capture need root; run it as: sudo $0"
declare -A package_of=([ip]=iproute2 [ethtool]=ethtool [python3]=python3)
for tool in "${!package_of[@]}"; do
  command -v "$tool" >/dev/null || die "$tool is missing; install it with: apt-get install --no-install-recommends ${package_of[$tool]}"
done
[ -d "$folder" ] || die "there is no folder $folder"

client=vring-client-$$
switch=vring-switch-$$
server=vring-server-$$
work=$(mktemp -d)
started=()

clean_up() {
  local code=$?
  trap - EXIT
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  for namespace in "$client" "$switch" "$server"; do
    ip netns del "$namespace" 2>/dev/null || true
  done
  rm -rf "$work"
  [ "$code" = 0 ] || echo "record-offload: failed with code $code; nothing was written" >&2
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

quietly() {
  "$@" >"$work/step.log" 2>&1 || {
    cat "$work/step.log" >&2
    die "this step failed: $*"
  }
}

# Starts a part of the traffic in a namespace, and waits until it says that it is ready.
in_background() {
  local namespace=$1 log=$work/$2.log
  shift 2
  ip netns exec "$namespace" python3 "$traffic" "$@" >"$log" 2>&1 &
  started+=($!)
  for _ in $(seq 100); do
    grep -q ready "$log" && return
    sleep 0.1
  done
  cat "$log" >&2
  die "$* did not start within 10 s"
}

finish() {
  kill "$1"
  wait "$1" || die "a capture ended with code $?"
}

# --- The network: documentation addresses, and MACs that are set because udev may derive them from the machine.
for namespace in "$client" "$switch" "$server"; do
  ip netns add "$namespace"
  ip -n "$namespace" link set lo up
done
ip link add eth0 netns "$client" address 02:00:00:00:00:02 type veth peer name in netns "$switch"
ip link add eth0 netns "$server" address 02:00:00:00:00:01 type veth peer name out netns "$switch"
ip -n "$switch" link add bridge type bridge mcast_snooping 0
for port in in out; do
  ip -n "$switch" link set "$port" master bridge up
done
ip -n "$switch" link set bridge up
quietly ip netns exec "$switch" ethtool -K out tx off sg off tso off gso off tx-udp-segmentation off
quietly ip netns exec "$server" ethtool -K eth0 gro off

addresses() {
  local namespace=$1 host=$2 remote=$3
  ip -n "$namespace" addr add "192.0.2.$host/24" dev eth0
  ip -n "$namespace" addr add "2001:db8::$host/64" dev eth0 nodad
  ip -n "$namespace" link set eth0 up
  # Two tunnels, the second with an outer checksum; fixed MACs.
  ip -n "$namespace" link add vxlan0 address "02:00:00:00:01:0$host" type vxlan id 7 \
    local "192.0.2.$host" remote "192.0.2.$remote" dev eth0 dstport 4789 noudpcsum
  ip -n "$namespace" addr add "198.51.100.$host/24" dev vxlan0
  ip -n "$namespace" link add vxlan1 address "02:00:00:00:02:0$host" type vxlan id 9 \
    local "2001:db8::$host" remote "2001:db8::$remote" dev eth0 dstport 4789 noudp6zerocsumtx
  ip -n "$namespace" addr add "2001:db8:1::$host/64" dev vxlan1 nodad
  ip -n "$namespace" link set vxlan0 up
  ip -n "$namespace" link set vxlan1 up
}
addresses "$client" 2 1
addresses "$server" 1 2
# A first window of 45 segments makes frames of 30,000 bytes certain, not a matter of timing.
ip -n "$client" route change 192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.2 initcwnd 45
sleep 1

# --- What sockets send.
in_background "$server" serve serve
in_background "$client" sent capture eth0 sent "$work/offload-sent.pcapng"
sent=${started[-1]}
in_background "$server" received capture eth0 received "$work/offload-received.pcapng"
received=${started[-1]}
quietly ip netns exec "$client" python3 "$traffic" send
sleep 0.5
finish "$sent"
finish "$received"

# --- What the tap hands over: kinds of frames that no socket sends.
mkfifo "$work/go"
ip netns exec "$switch" python3 "$traffic" inject tap "$work/offload-tap-sent.pcapng" <"$work/go" >"$work/inject.log" 2>&1 &
inject=$!
started+=("$inject")
exec 3>"$work/go"
for _ in $(seq 100); do
  grep -q ready "$work/inject.log" && break
  sleep 0.1
done
ip -n "$switch" link set tap master bridge up
sleep 1
in_background "$server" tap capture eth0 received "$work/offload-tap-received.pcapng"
received=${started[-1]}
echo go >&3
wait "$inject" || die "injecting failed: $(cat "$work/inject.log")"
sleep 0.5
finish "$received"

bytes=$(cat "$work"/offload-* | wc -c)
[ "$bytes" -le "$limit" ] || die "the captures have $bytes bytes, more than the $limit that the repository allows"
for word in "$(uname -n)" "$(uname -r)"; do
  [ ${#word} -ge 5 ] || continue
  ! grep -qaF -- "$word" "$work"/offload-* || die "a capture contains this machine's \"$word\""
done
cp "$work"/offload-* "$folder"
echo "wrote $folder/offload-*: $bytes bytes"
