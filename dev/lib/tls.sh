# shellcheck shell=bash
# Certificates for servers and clients on this machine, by openssl. Sourced after env.sh.

# make_certificates DIR NAME...: an authority of its own (ca.pem) and, for each NAME, a certificate that it has signed for
# localhost and 127.0.0.1: NAME.pem (certificate), NAME.key (PKCS#8, no password), NAME-full.pem (key, certificate and
# authority in one file, as Java's PEM key stores want it). The key of the authority is thrown away.
make_certificates() {
    local dir=$1 name
    shift
    "$REPO/dev/tools" openssl >/dev/null || return
    mkdir -p "$dir"
    chmod 700 "$dir"
    (
        set -e
        cd "$dir"
        exec 2>openssl.log
        printf '%s\n' 'subjectAltName=DNS:localhost,IP:127.0.0.1' 'extendedKeyUsage=serverAuth,clientAuth' >extensions
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=Lakehouse test authority' -keyout ca.key -out ca.pem
        for name; do
            openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$name.key" -out request
            openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile extensions -out "$name.pem"
            cat "$name.key" "$name.pem" ca.pem >"$name-full.pem"
        done
        rm -f ca.key ca.srl request extensions openssl.log
    ) || {
        tail -n 5 "$dir/openssl.log" >&2
        die 3 "openssl could not make certificates in $dir"
    }
}
