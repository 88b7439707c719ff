#!/bin/busybox sh
# /init of the guest: loads the modules in order and leaves a shell on the serial port, without a prompt and
# without echo, for a test to talk to.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root PS1=""
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in @MODULES@; do
  insmod /modules/$module.ko || echo "guest: $module.ko could not be loaded"
done
# Neither is wanted in a test that counts frames: router solicitations, duplicate address detection.
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
stty -F /dev/ttyS0 -echo -onlcr
echo "guest: ready"
# The shell is not process 1: that one gets the orphans, and busybox's shell takes the signal of a child's end for the
# end of its input.
setsid sh -c 'exec sh < /dev/ttyS0 > /dev/ttyS0 2>&1'
