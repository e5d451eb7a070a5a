"""A token endpoint of OAuth 2.0 (client credentials) for tests of SASL OAUTHBEARER: no package besides Python, RSA by openssl.

    token_endpoint.py make DIR                     a new key, and DIR/jwks.json, by which a server checks what it signed
    token_endpoint.py serve DIR PORT CERTIFICATE ISSUER AUDIENCE USER...    POST http://127.0.0.1:PORT/token, or https

A client whose id is one of USER authenticates with the secret USER-secret, in the header or in the form, and gets a token
(RS256) of five minutes whose subject it is. The only scope is kafka. CERTIFICATE is a PEM file with the key as well.

The query of the address says what else is to happen, and each request is a line of the log with it:
    expires_in=SECONDS   how long the token is valid
    answers=COUNT        the first requests to this very address are answered, later ones with 503
"""

import base64
import collections
import hmac
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse

LIFETIME = 300


def openssl(*arguments, data=b""):
    done = subprocess.run(("openssl",) + arguments, input=data, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit("error: openssl %s: %s" % (arguments[0], done.stderr.decode("utf-8", "replace").strip()))
    return done.stdout


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def make(folder):
    os.makedirs(folder, mode=0o700, exist_ok=True)
    key = os.path.join(folder, "token.key")
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    modulus = bytes.fromhex(openssl("rsa", "-in", key, "-noout", "-modulus").decode().strip().partition("=")[2])
    public = {"kty": "RSA", "kid": "test", "use": "sig", "alg": "RS256", "n": encoded(modulus).decode(), "e": "AQAB"}
    with open(os.path.join(folder, "jwks.json"), "w", encoding="ascii") as file:
        json.dump({"keys": [public]}, file)


def token(folder, issuer, audience, subject, lifetime):
    now = int(time.time())
    claims = {"iss": issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + lifetime, "scope": "kafka"}
    parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", "kid": "test"}, claims)]
    signed = b".".join(parts)
    signature = openssl("dgst", "-sha256", "-sign", os.path.join(folder, "token.key"), data=signed)
    return (signed + b"." + encoded(signature)).decode()


def serve(folder, port, certificate, issuer, audience, users):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    answered = collections.Counter()

    class Server(http.server.ThreadingHTTPServer):
        def finish_request(self, request, client_address):
            # A connection of TLS begins with the record of a handshake.
            if request.recv(1, socket.MSG_PEEK) != b"\x16":
                super().finish_request(request, client_address)
                return
            try:
                with tls.wrap_socket(request, server_side=True) as encrypted:
                    super().finish_request(encrypted, client_address)
            except OSError as error:
                print("a connection of TLS has failed: %s" % error, file=sys.stderr)

    class Endpoint(http.server.BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self):
            path, _, query = self.path.partition("?")
            options = dict(urllib.parse.parse_qsl(query))
            length = int(self.headers.get("Content-Length") or 0)
            form = dict(urllib.parse.parse_qsl(self.rfile.read(min(length, 65536)).decode("utf-8", "replace")))
            user, secret = self.credentials(form)
            answered[self.path] += 1
            if path.rstrip("/") != "/token":
                self.answer(404, {"error": "not_found"})
            elif answered[self.path] > int(options.get("answers", answered[self.path])):
                self.answer(503, {"error": "temporarily_unavailable", "error_description": "as the address asks for"})
            elif form.get("grant_type") != "client_credentials":
                self.answer(400, {"error": "unsupported_grant_type"})
            elif user not in users or not hmac.compare_digest(secret.encode(), (user + "-secret").encode()):
                self.answer(401, {"error": "invalid_client", "error_description": "no such client, or another secret"})
            elif form.get("scope", "kafka") != "kafka":
                self.answer(400, {"error": "invalid_scope", "error_description": "the only scope is kafka"})
            else:
                lifetime = int(options.get("expires_in", LIFETIME))
                access = token(folder, issuer, audience, user, lifetime)
                self.answer(200, {"access_token": access, "token_type": "Bearer", "expires_in": lifetime})

        def credentials(self, form):
            kind, _, text = self.headers.get("Authorization", "").partition(" ")
            if kind.lower() == "basic":
                try:
                    user, _, secret = base64.b64decode(text).decode().partition(":")
                except ValueError:
                    return "", ""
                return urllib.parse.unquote(user), urllib.parse.unquote(secret)
            return form.get("client_id", ""), form.get("client_secret", "")

        def answer(self, status, document):
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    Server(("127.0.0.1", port), Endpoint).serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", folder]:
            make(folder)
        case ["serve", folder, port, certificate, issuer, audience, *users]:
            serve(folder, int(port), certificate, issuer, audience, users)
        case _:
            sys.exit(__doc__)
