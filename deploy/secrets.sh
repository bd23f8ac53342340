#!/bin/sh
# Passwords of the store and the bus, made once and never committed. The containers read the files as another
# user, so it is the folder that keeps them private on this machine.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# An address is written last and stands for its password.
if [ ! -s store_url ]; then
    store=$(password)
    printf '%s\n' "$store" >postgres_password
    printf 'postgresql://nexus:%s@postgres:5432/nexus\n' "$store" >store_url
fi
if [ ! -s bus_url ]; then
    bus=$(password)
    printf 'user: nexus\npassword: "%s"\n' "$bus" >nats_login
    printf 'nats://nexus:%s@nats:4222\n' "$bus" >bus_url
fi
chmod 644 postgres_password store_url nats_login bus_url
