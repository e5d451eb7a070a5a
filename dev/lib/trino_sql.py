"""Runs statements on a Trino server over its REST protocol and prints the rows, tab-separated or as a table.

    trino_sql.py --server URL [--user NAME] [--password-env NAME] [--ca FILE] [--catalog C] [--schema S] [--header] [--table] SQL...

Without SQL, statements are read from the standard input, each ended by ";" at the end of a line. They share a session: USE
and SET SESSION hold for those that follow. NULL is \\N; tab, newline and backslash are \\t, \\n and \\\\; arrays, maps and
rows are JSON. With --table the rows of a statement are held until its end, then printed in aligned columns, under their
names, numbers to the right, NULL as NULL. Exit codes: 0 done, 2 usage, 3 the server refuses, 130 interrupted (the query is cancelled).
"""

import argparse
import base64
import json
import os
import ssl
import sys
import time
import unicodedata
import urllib.error
import urllib.parse
import urllib.request

ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Refused(Exception):
    """What the server said against a statement, or that it cannot be reached."""


class Session:
    def __init__(self, server, user, password, ca, catalog, schema):
        self.server = server.rstrip("/")
        self.headers = {"X-Trino-User": user, "X-Trino-Source": "dev/trino", "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME,PATH"}
        if password is not None:
            self.headers["Authorization"] = "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()
        self.properties = {}
        self.place = {"Catalog": catalog, "Schema": schema}
        handlers = [urllib.request.ProxyHandler({})]  # the server is on this machine
        if ca:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
        self.opener = urllib.request.build_opener(*handlers)

    def request(self, url, body=None, method=None):
        """One page. What the server asks for by 429, 502, 503 and 504, to come again, is done for a minute."""
        headers = dict(self.headers)
        if body is not None:
            headers.update({"X-Trino-" + name: value for name, value in self.place.items() if value})
            if self.properties:
                headers["X-Trino-Session"] = ",".join("%s=%s" % pair for pair in self.properties.items())
        deadline = time.monotonic() + 60
        while True:
            try:
                with self.opener.open(urllib.request.Request(url, body, headers, method=method), timeout=120) as response:
                    self.remember(response.headers)
                    return response.read()
            except urllib.error.HTTPError as error:
                if error.code not in (429, 502, 503, 504) or time.monotonic() > deadline:
                    text = error.read(300).decode("utf-8", "replace").strip()
                    raise Refused("Trino answers %d %s: %s" % (error.code, error.reason, text)) from None
                time.sleep(0.2)
            except OSError as error:
                raise Refused("Trino cannot be reached at %s: %s" % (self.server, error)) from None

    def remember(self, headers):
        for name in self.place:
            self.place[name] = headers.get("X-Trino-Set-" + name, self.place[name])
        for pair in headers.get_all("X-Trino-Set-Session", []):
            name, _, value = pair.partition("=")
            self.properties[name] = value
        for name in headers.get_all("X-Trino-Clear-Session", []):
            self.properties.pop(name, None)

    def run(self, statement, on_columns, on_row):
        page = json.loads(self.request(self.server + "/v1/statement", statement.encode()))
        named = False
        try:
            while True:
                if page.get("error"):
                    raise Refused(describe(page["error"], page["id"]))
                if page.get("columns") and not named:
                    named = True
                    on_columns(page["columns"])
                for row in page.get("data") or []:
                    on_row(row)
                following = page.get("nextUri")
                if not following:
                    return
                page = json.loads(self.request(following))
        except (KeyboardInterrupt, BrokenPipeError):
            if page.get("nextUri"):
                self.request(page["nextUri"], method="DELETE")
            raise


def describe(error, query):
    place = error.get("errorLocation")
    where = " at line %d, column %d" % (place["lineNumber"], place["columnNumber"]) if place else ""
    return "%s%s: %s (query %s)" % (error["errorName"], where, error["message"], query)


def text(value):
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(ESCAPES)
    return json.dumps(value, ensure_ascii=False).translate(ESCAPES) if not isinstance(value, (int, float)) else json.dumps(value)


NUMBERS = {"tinyint", "smallint", "integer", "bigint", "real", "double", "decimal"}


class Table:
    """The rows of one statement, held until all are there, because a column is as wide as its widest value."""

    def __init__(self):
        self.lines = []
        self.right = []

    def columns(self, columns):
        self.lines.append([text(column["name"]) for column in columns])
        self.right = [column["type"].split("(")[0] in NUMBERS for column in columns]

    def row(self, row):
        self.lines.append(["NULL" if value is None else text(value) for value in row])

    def print(self):
        widths = [max(map(width, cells)) for cells in zip(*self.lines)]
        for line in self.lines:
            cells = []
            for cell, wide, right in zip(line, widths, self.right):
                pad = " " * (wide - width(cell))
                cells.append(pad + cell if right else cell + pad)
            sys.stdout.write("  ".join(cells).rstrip() + "\n")


def width(cell):
    """The columns that a text takes on a terminal: East Asian characters take two, marks that combine with others none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in cell)


def statements(lines):
    """Statements of a text; each ends with a line that ends with ";"."""
    collected = []
    for line in lines:
        if collected or line.strip():
            collected.append(line)
        if line.rstrip().endswith(";"):
            yield "".join(collected)
            collected = []
    if "".join(collected).strip():
        yield "".join(collected)


def main():
    parser = argparse.ArgumentParser(prog="dev/trino sql NAME", description="Runs statements and prints the rows, tab-separated or as a table.")
    parser.add_argument("--server", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password-env", help="the environment variable that holds the password")
    parser.add_argument("--ca", help="the certificate of the authority, PEM")
    parser.add_argument("--catalog")
    parser.add_argument("--schema")
    parser.add_argument("--header", action="store_true", help="names of the columns first")
    parser.add_argument("--table", action="store_true", help="aligned columns, with their names")
    parser.add_argument("sql", nargs="*")
    given = parser.parse_args()
    password = os.environ.get(given.password_env) if given.password_env else None
    session = Session(given.server, given.user, password, given.ca, given.catalog, given.schema)

    def line(values):
        sys.stdout.write("\t".join(map(text, values)) + "\n")

    def names(columns):
        if given.header:
            line([column["name"] for column in columns])

    try:
        for statement in given.sql or statements(sys.stdin):
            statement = statement.strip().rstrip(";")  # Trino takes one statement, without its end
            if statement:
                if given.table:
                    table = Table()
                    session.run(statement, table.columns, table.row)
                    table.print()
                else:
                    session.run(statement, names, line)
        sys.stdout.flush()
    except Refused as error:
        sys.stdout.flush()
        sys.stderr.write("error: %s\n" % error)
        return 3
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
