#!/bin/bash
# Records captures/web.pcapng anew: real programs talk between two network namespaces that a veth pair
# joins, and everything the client's end sees is captured. Run as root on Debian:
#
#   scripts/record-capture.sh [OUTPUT]
#
# Nothing outside the two namespaces is touched but /etc/netns (their resolver settings) and a temporary
# folder, and both are removed at the end, also when a step fails. captures/README.md says what is recorded.
set -euo pipefail

output=${1:-$(dirname "$0")/../captures/web.pcapng}
limit=1000000

die() {
  echo "record-capture: $*" >&2
  exit 2
}

[ "$(id -u)" = 0 ] || die "network namespaces and raw capture need root; run it as: sudo $0"

declare -A package_of=(
  [ip]=iproute2 [ethtool]=ethtool [dumpcap]=wireshark-common [editcap]=wireshark-common
  [iperf3]=iperf3 [dnsmasq]=dnsmasq-base [dig]=dnsutils [curl]=curl [ping]=iputils-ping [python3]=python3
)
missing=()
for tool in "${!package_of[@]}"; do
  command -v "$tool" >/dev/null || missing+=("${package_of[$tool]}")
done
if [ ${#missing[@]} -gt 0 ]; then
  packages=$(printf '%s\n' "${missing[@]}" | sort -u | paste -sd ' ')
  die "programs are missing; install them with: apt-get install --no-install-recommends $packages"
fi
[ -d "$(dirname "$output")" ] || die "the folder of $output does not exist"

# The process number in the names lets two recordings run side by side and leaves foreign namespaces alone.
client=vring-client-$$
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
  ip netns del "$client" 2>/dev/null || true
  ip netns del "$server" 2>/dev/null || true
  rm -rf "/etc/netns/$client" "$work"
  rmdir /etc/netns 2>/dev/null || true
  [ "$code" = 0 ] || echo "record-capture: failed with code $code; nothing was written" >&2
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What a step prints is of interest only when the step fails.
quietly() {
  "$@" >"$work/step.log" 2>&1 || {
    cat "$work/step.log" >&2
    die "this step failed: $*"
  }
}

on_client() { quietly ip netns exec "$client" "$@"; }
on_server() { quietly ip netns exec "$server" "$@"; }

# `ip netns exec` replaces itself by the program, so the job's number is the program's.
in_background() {
  local namespace=$1 log=$2
  shift 2
  ip netns exec "$namespace" "$@" >"$work/$log.log" 2>&1 &
  started+=($!)
}

wait_for() {
  local what=$1
  shift
  for _ in $(seq 100); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  cat "$work"/*.log >&2
  die "$what did not start within 10 s"
}

offloads() {
  for namespace in "$client" "$server"; do
    quietly ip netns exec "$namespace" ethtool -K eth0 tso "$1" gso "$1" gro "$1"
  done
}

# --- The network: documentation addresses, and MACs that are set because udev may derive them from the
# machine's identity.
mkdir -p "/etc/netns/$client"
echo "nameserver 192.0.2.1" >"/etc/netns/$client/resolv.conf"
echo "hosts: dns" >"/etc/netns/$client/nsswitch.conf"
ip netns add "$client"
ip netns add "$server"
ip link add eth0 netns "$client" address 02:00:00:00:00:02 type veth \
  peer name eth0 netns "$server" address 02:00:00:00:00:01
ip -n "$server" addr add 192.0.2.1/24 dev eth0
ip -n "$server" addr add 2001:db8::1/64 dev eth0 nodad
ip -n "$client" addr add 192.0.2.2/24 dev eth0
ip -n "$client" addr add 2001:db8::2/64 dev eth0 nodad
for namespace in "$client" "$server"; do
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link set eth0 up
done

# --- What the web server serves: pages and small answers are text, images are random bytes of their size.
site=$work/site
mkdir -p "$site/api" "$site/img"
words() { yes 'A ring has two halves and each of them trusts the other as little as it can.' | head -c "$1" || true; }
{ echo '<!doctype html><title>A page</title><p>'; words 5200; } >"$site/index.html"
{ echo '<!doctype html><title>Another page</title><p>'; words 1900; } >"$site/about.html"
words 2800 >"$site/style.css"
words 9000 >"$site/app.js"
sizes=(350 900 1400 2100 2600 3300 3900 4700 5600 6800 9500 14000)
for size in "${sizes[@]}"; do
  head -c "$size" /dev/urandom >"$site/img/$size"
done
for n in $(seq 40); do
  { echo "{\"item\":$n,\"text\":\""; words $((40 + n * 9)); echo '"}'; } >"$site/api/$n.json"
done
find "$site" -exec touch -d '2024-01-01 00:00:00 UTC' {} +

# --- The servers.
in_background "$server" dnsmasq dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= \
  --no-hosts --no-resolv --user=root --log-facility=- --bind-interfaces --interface=eth0 --local=/test/ \
  --host-record=www.example.test,192.0.2.1,2001:db8::1 --host-record=v4.example.test,192.0.2.1 \
  --host-record=v6.example.test,2001:db8::1 --host-record=api.example.test,192.0.2.1 \
  --cname=cdn.example.test,www.example.test --mx-host=example.test,www.example.test,10 \
  --srv-host=_http._tcp.example.test,www.example.test,80 \
  --txt-record="text.example.test,$(words 230),$(words 230),$(words 230)"
in_background "$server" web4 python3 -m http.server --protocol HTTP/1.1 --bind 192.0.2.1 --directory "$site" 80
in_background "$server" web6 python3 -m http.server --protocol HTTP/1.1 --bind 2001:db8::1 --directory "$site" 80
in_background "$server" iperf3 iperf3 --server
wait_for "the DNS server" ip netns exec "$server" dig +tries=1 +time=1 @192.0.2.1 www.example.test
wait_for "the web server" ip netns exec "$server" curl -sf http://192.0.2.1/about.html
wait_for "the web server (IPv6)" ip netns exec "$server" curl -sf 'http://[2001:db8::1]/about.html'
wait_for "iperf3" sh -c "ip netns exec $server ss -ltn | grep -q ':5201 '"

# --- The capture. Classic pcap first, because dumpcap's pcapng would name the machine's CPU and kernel.
in_background "$client" dumpcap dumpcap -q -P -i eth0 -s 262144 -B 32 -w "$work/raw.pcap"
capture=${started[-1]}
wait_for "dumpcap" grep -q '^File:' "$work/dumpcap.log"
sleep 0.5

# --- Ping, also fragmented, over both protocols.
echo "ping"
for size in 16 56 120 512; do
  on_client ping -c 4 -i 0.02 -s "$size" 192.0.2.1
  on_client ping -c 3 -i 0.02 -s "$size" 2001:db8::1
done
for size in 1472 4000; do
  on_client ping -c 1 -s "$size" 192.0.2.1
  on_client ping -c 1 -s "$size" 2001:db8::1
done

# --- DNS: answers of every size, names that do not exist, reverse look-ups, over UDP and TCP.
echo "dns"
for round in $(seq 9); do
  for query in "www.example.test A" "www.example.test AAAA" "v4.example.test A" "v6.example.test AAAA" \
    "cdn.example.test A" "example.test MX" "_http._tcp.example.test SRV" "text.example.test TXT" \
    "host$round.example.test A" "-x 192.0.2.1" "api.example.test A"; do
    echo "$query"
  done
done >"$work/queries"
on_client dig +tries=2 +time=2 @192.0.2.1 -f "$work/queries"
on_client dig +tries=2 +time=2 @2001:db8::1 -f <(head -n 44 "$work/queries")
on_client dig +tcp @192.0.2.1 text.example.test TXT www.example.test A

# --- Web: pages with what belongs to them, then many small requests, some on one connection, some on many.
page_with() {
  local host=$1 args=() path
  shift
  for path in "$@"; do
    args+=(-o /dev/null "http://$host/$path")
  done
  on_client curl -sSf "${args[@]}"
}
visit() {
  page_with "$1" index.html style.css app.js about.html
  page_with "$1" "${@:2}"
}
small_requests() {
  local n
  for n in $(seq "$2" "$3"); do
    page_with "$1" "api/$n.json"
  done
}
echo "web, offloads on"
offloads on
visit www.example.test "${sizes[@]/#/img/}"
visit v4.example.test img/{2600,3900,5600,9500}
page_with api.example.test api/{1..40}.json
page_with v6.example.test api/{1..20}.json
small_requests api.example.test 1 40
small_requests v6.example.test 21 34

# --- iperf3 with offloads: the sender hands over segments of up to 64 KiB that nobody has cut yet.
echo "iperf3, offloads on"
on_client iperf3 -c 192.0.2.1 -n 48K -l 16K
# A first window of 45 segments makes a frame of more than 60,000 bytes certain, not a matter of timing.
route=(192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.2)
ip -n "$client" route change "${route[@]}" initcwnd 45
on_client iperf3 -c 192.0.2.1 -n 128K -l 128K
ip -n "$client" route change "${route[@]}"
on_client iperf3 -c 192.0.2.1 -n 24K -l 8K -R
on_client iperf3 -c 2001:db8::1 -n 24K -l 8K

echo "web and iperf3, offloads off"
offloads off
visit v4.example.test img/{350,2100,4700}
page_with v6.example.test index.html img/6800
small_requests v4.example.test 1 12
on_client iperf3 -c 192.0.2.1 -n 40K -l 8K
on_client iperf3 -c 2001:db8::1 -n 24K -l 8K

echo "iperf3, UDP"
on_client iperf3 -c 192.0.2.1 -u -b 3M -l 172 -n 30K
on_client iperf3 -c 192.0.2.1 -u -b 8M -l 1400 -n 8400
on_client iperf3 -c 2001:db8::1 -u -b 4M -l 512 -n 10K

sleep 0.5
kill -INT "$capture"
wait "$capture" || true
grep -Eq 'dropped.*: [0-9]+/0( |$)' "$work/dumpcap.log" || die "the capture lost packets: $(tail -n 1 "$work/dumpcap.log")"

# --- To pcapng without any word about the machine, and only then to its place.
quietly editcap -F pcapng "$work/raw.pcap" "$work/web.pcapng"
for word in "$(uname -n)" "$(uname -r)"; do
  # Random image bytes contain any shorter word by chance.
  [ ${#word} -ge 5 ] || continue
  ! grep -qaF -- "$word" "$work/web.pcapng" || die "the capture contains this machine's \"$word\""
done
bytes=$(stat -c %s "$work/web.pcapng")
[ "$bytes" -le "$limit" ] || die "the capture has $bytes bytes, more than the $limit that the repository allows"
cp "$work/web.pcapng" "$output"
echo "wrote $output: $bytes bytes"
