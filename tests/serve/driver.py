"""What a Python driver (psycopg 3) asks of `tidegate sql --serve`: driver.py TEST PORT USER PASSWORD.

Each function is a test by itself, which ends with an error where something is not as it should be.
"""

import datetime as dt
import decimal
import socket
import struct
import sys
import threading
import time

import psycopg

PORT, USER, PASSWORD = int(sys.argv[2]), sys.argv[3], sys.argv[4]


def connect(**more):
    more = {"connect_timeout": 30, "sslmode": "disable", **more}
    return psycopg.connect(
        host="127.0.0.1", port=PORT, user=USER, password=PASSWORD, dbname="tidegate", autocommit=True, **more
    )


def refused(code, ask):
    try:
        ask()
    except psycopg.Error as error:
        assert error.sqlstate == code, f"{error.sqlstate} instead of {code}: {error}"
        return str(error)
    raise AssertionError(f"it was answered, and {code} was expected")


TYPES = [
    ("true", True),
    ("arrow_cast(-7, 'Int8')", -7),
    ("arrow_cast(200, 'UInt8')", 200),
    ("arrow_cast(-30000, 'Int16')", -30000),
    ("arrow_cast(60000, 'UInt16')", 60000),
    ("arrow_cast(-2000000000, 'Int32')", -2000000000),
    ("arrow_cast(4000000000, 'UInt32')", 4000000000),
    ("-9000000000000000000", -9000000000000000000),
    ("arrow_cast(18000000000000000000, 'UInt64')", decimal.Decimal(18000000000000000000)),
    ("arrow_cast(0.1, 'Float32')", struct.unpack("f", struct.pack("f", 0.1))[0]),
    ("arrow_cast(0.1, 'Float64')", 0.1),
    ("arrow_cast('12.34', 'Decimal128(10, 2)')", decimal.Decimal("12.34")),
    ("'æøå'", "æøå"),
    ("arrow_cast('\\x00ff', 'Utf8')", "\\x00ff"),
    ("decode('00ff', 'hex')", b"\x00\xff"),
    ("date '2026-01-31'", dt.date(2026, 1, 31)),
    ("timestamp '2026-01-31T12:34:56.789012'", dt.datetime(2026, 1, 31, 12, 34, 56, 789012)),
    (
        "arrow_cast('2026-01-31T12:34:56.789012Z', 'Timestamp(Microsecond, Some(\"UTC\"))')",
        dt.datetime(2026, 1, 31, 12, 34, 56, 789012, dt.timezone.utc),
    ),
    ("interval '1 day 2 hours'", dt.timedelta(days=1, hours=2)),
    ("make_array(1, 2, 3)", [1, 2, 3]),
    ("make_array('a', null)", ["a", None]),
    ("arrow_cast(null, 'Float64')", None),
    ("arrow_cast(make_array(1, -2), 'List(Int8)')", [1, -2]),
    ("arrow_cast(0.5, 'Float16')", 0.5),
    ("arrow_cast('12.34', 'Decimal256(40, 2)')", "12.34"),
    ("arrow_cast(make_array(1.5, 2.5), 'FixedSizeList(2, Float32)')", [1.5, 2.5]),
    ("make_array(make_array(1), make_array(2))", "[[1], [2]]"),
    ("arrow_cast('a', 'Dictionary(Int32, Utf8)')", "a"),
]


def types():
    with connect() as conn:
        for binary in [False, True]:
            for sql, expected in TYPES:
                # A parameter makes it the extended protocol.
                for query, values in [(f"SELECT {sql}", None), (f"SELECT {sql} WHERE 1 = %s", [1])]:
                    found = conn.cursor(binary=binary).execute(query, values).fetchone()[0]
                    if isinstance(expected, float) and not binary:
                        same = abs(found - expected) < 1e-7
                    else:
                        same = found == expected and type(found) is type(expected)
                    assert same, f"{sql}, binary {binary}: {found!r} instead of {expected!r}"


def parameters():
    with connect() as conn:
        cur = conn.cursor()
        query = "SELECT count(*) FROM results WHERE distance > %s AND origin = %s"
        few = cur.execute(query, [500.0, "EWR"]).fetchone()[0]
        more = cur.execute(query, [0.0, "EWR"]).fetchone()[0]
        assert 0 < few < more < 1800, (few, more)
        for place in range(20):  # the driver prepares it after five times
            assert cur.execute("SELECT %s::int + 1", [place]).fetchone()[0] == place + 1
        assert cur.execute("SELECT %s::text", ["'; DROP TABLE results; --"]).fetchone()[0].startswith("';")
        day = dt.datetime(2013, 6, 1, 1, tzinfo=dt.timezone.utc)
        assert cur.execute("SELECT count(*) FROM results WHERE event_time < %s", [day]).fetchone()[0] > 0
        nothing = cur.execute("SELECT count(*) FROM results WHERE carrier = %s", [None]).fetchone()[0]
        assert nothing == 0, nothing
        assert cur.execute("").description is None
        columns = cur.execute("SELECT * FROM results LIMIT 3").fetchall()
        assert len(columns) == 3 and cur.description[0].name


def cursors():
    with connect() as conn:
        with conn.transaction():
            with conn.cursor("piecewise") as cur:
                cur.itersize = 70
                cur.execute("SELECT id FROM results ORDER BY id")
                ids = [row[0] for row in cur]
        assert len(ids) == 1800 and ids == sorted(ids)
        conn.execute("BEGIN READ ONLY")
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        refused("42P01", lambda: conn.execute("SELECT * FROM nothing"))
        refused("25P02", lambda: conn.execute("SELECT 1"))
        conn.execute("ROLLBACK")
        refused("34000", lambda: conn.execute("FETCH 1 FROM piecewise"))
        refused("25P01", lambda: conn.execute("DECLARE c CURSOR FOR SELECT 1"))
        conn.execute("BEGIN")
        conn.execute("DECLARE c CURSOR FOR SELECT 1")
        refused("42P03", lambda: conn.execute("DECLARE c CURSOR FOR SELECT 2"))
        conn.execute("ROLLBACK")
        refused("25006", lambda: conn.execute("BEGIN READ WRITE"))


REFUSED = [
    ("25006", "INSERT INTO results SELECT * FROM results"),
    ("25006", "DROP TABLE results"),
    ("25006", "CREATE TABLE t AS SELECT 1 AS one"),
    ("25006", "CREATE VIEW v AS SELECT 1 AS one"),
    ("25006", "EXPLAIN ANALYZE INSERT INTO results SELECT * FROM results"),
    ("25006", "PREPARE p AS SELECT 1"),
    (None, "COPY (SELECT 1) TO '/tmp/tidegate-must-not-be'"),
    (None, "COPY results TO STDOUT"),
    (None, "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'"),
    (None, "WITH x AS (SELECT 1) INSERT INTO results SELECT * FROM results"),
    (None, "DECLARE c CURSOR FOR INSERT INTO results SELECT * FROM results"),
    (None, "SELECT * FROM '/etc/passwd'"),
    (None, "SELECT * FROM 'https://example.org/x.parquet'"),
    (None, "DELETE FROM results"),
    (None, "UPDATE results SET id = 'x'"),
    (None, "CREATE SCHEMA s"),
    (None, "CREATE DATABASE d"),
    (None, "SELECT pg_read_file('/etc/passwd')"),
    ("42704", "SET datafusion.execution.batch_size = 1"),
    ("42704", "SET work_mem = '1GB'"),
    ("42601", "SELEC 1"),
    ("42703", "SELECT nothing FROM results"),
]


def only_queries():
    with connect() as conn:
        for code, query in REFUSED:
            for binary in [False, True]:  # the simple and the extended protocol
                try:
                    conn.cursor(binary=binary).execute(query)
                except psycopg.Error as error:
                    assert code in (None, error.sqlstate), f"{query}: {error.sqlstate}: {error}"
                else:
                    raise AssertionError(f"{query} was answered")
        assert conn.execute("SELECT count(*) FROM results").fetchone()[0] == 1800
    # What a client library sets, each for itself.
    with connect(options="-c statement_timeout=5000", application_name="x") as one, connect() as two:
        for query in [
            "SET client_encoding TO 'UTF8'", "SET DateStyle = ISO", "SET extra_float_digits = 3",
            "SET TIME ZONE 'Europe/Oslo'", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET default_transaction_read_only TO on", "SET search_path TO public", "RESET application_name",
        ]:
            one.execute(query)
        assert one.execute("SHOW timezone").fetchone()[0] == "Europe/Oslo"
        assert one.execute("SHOW statement_timeout").fetchone()[0] == "5000"
        assert two.execute("SHOW timezone").fetchone()[0] == "Etc/UTC"
        one.execute("DISCARD ALL")
        assert one.execute("SHOW timezone").fetchone()[0] == "Etc/UTC"


FOREVER = """SELECT sum((a.value * b.value) % 7)
FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"""


def time_limits():
    with connect() as conn:
        begun = time.monotonic()
        said = refused("57014", lambda: conn.execute(FOREVER))
        assert "sql.query_seconds" in said and time.monotonic() - begun < 20, said
        refused("57014", lambda: conn.cursor(binary=True).execute(FOREVER))
        conn.execute("SET statement_timeout = '200ms'")
        begun = time.monotonic()
        refused("57014", lambda: conn.execute(FOREVER))
        assert time.monotonic() - begun < 2.5
        conn.execute("SET statement_timeout = 0")
        threading.Timer(0.5, conn.cancel).start()
        assert "as the client asked" in refused("57014", lambda: conn.execute(FOREVER))
        assert conn.execute("SELECT 1").fetchone()[0] == 1


def room():
    """Two connections, one query at a time, a second in the queue."""
    with connect() as one, connect() as two:
        refused_at_the_door = refused(None, connect)
        assert "sql.max_connections" in refused_at_the_door, refused_at_the_door
        ended = []
        thread = threading.Thread(target=lambda: ended.append(refused("57014", lambda: one.execute(FOREVER))))
        thread.start()
        time.sleep(0.5)
        assert "sql.max_queries" in refused("53300", lambda: two.execute("SELECT count(*) FROM results"))
        one.cancel()
        thread.join(20)
        assert ended
        assert two.execute("SELECT count(*) FROM results").fetchone()[0] == 1800


def memory():
    with connect() as conn:
        all_at_once = "SELECT array_length(array_agg(value)) FROM generate_series(1, 30000000)"
        said = refused("53200", lambda: conn.execute(all_at_once))
        assert "sql.memory_mib" in said, said
        assert conn.execute("SELECT count(*) FROM results").fetchone()[0] == 1800
        # More than fits: the rest goes to disk and comes back.
        groups = "SELECT value % 4000000 AS g, count(*) AS n FROM generate_series(1, 8000000) GROUP BY 1"
        assert conn.execute(f"SELECT count(*), max(n) FROM ({groups})").fetchall() == [(4000000, 2)]


def crowd():
    failed = []

    def one(place):
        try:
            with connect() as conn:
                for _ in range(4):
                    row = conn.execute("SELECT count(*), %s::int FROM results", [place]).fetchone()
                    assert row == (1800, place), row
        except Exception as error:  # noqa: BLE001: told below
            failed.append(error)

    threads = [threading.Thread(target=one, args=[place]) for place in range(50)]
    [thread.start() for thread in threads]
    [thread.join(100) for thread in threads]
    assert not failed, failed[:3]


def strangers():
    """Clients that hang, talk nonsense, or send more than a login is."""
    # More than one source may have: the oldest of them make room at once, not after their time.
    hanging = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(150)]
    begun = time.monotonic()
    with connect() as conn:
        assert conn.execute("SELECT 1").fetchone()[0] == 1
    assert time.monotonic() - begun < 10
    for text in [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, b"\xff" * 64, b"\x16\x03\x01" + b"x" * 60]:
        nonsense = socket.create_connection(("127.0.0.1", PORT))
        nonsense.settimeout(30)
        nonsense.sendall(text)
    user = b"user\x00" + USER.encode() + b"\x00\x00"
    large = socket.create_connection(("127.0.0.1", PORT))
    large.settimeout(30)
    large.sendall(struct.pack("!ii", 8 + len(user), 196608) + user)
    assert large.recv(1) == b"R"
    large.sendall(b"Q" + struct.pack("!i", 500_000_000))
    try:
        for _ in range(200):
            large.sendall(b"x" * 100_000)
        raise AssertionError("20 MB were taken of somebody who is not known")
    except OSError:
        pass
    # A query before the password is no query.
    early = socket.create_connection(("127.0.0.1", PORT))
    early.settimeout(30)
    early.sendall(struct.pack("!ii", 8 + len(user), 196608) + user)
    early.sendall(b"Q" + struct.pack("!i", 4 + 9) + b"SELECT 1\x00")
    # A wrong answer ends it: what follows is not heard.
    early.sendall(b"p" + struct.pack("!i", 4 + 10) + b"PLAIN\x00" + struct.pack("!i", -1))
    early.sendall(b"Q" + struct.pack("!i", 4 + 9) + b"SELECT 1\x00")
    said = b""
    try:
        while more := early.recv(65536):
            said += more
    except ConnectionResetError:
        pass
    assert b"FATAL" in said and b"SELECT" not in said and b"\x00\x01T" not in said, said
    with connect() as conn:
        assert conn.execute("SELECT 1").fetchone()[0] == 1
    for one in hanging:
        one.settimeout(30)
        assert one.recv(1) == b"", "a client that says nothing is let go"


def idle():
    with connect() as conn:
        time.sleep(3)
        said = ""
        try:
            conn.execute("SELECT 1")
        except psycopg.Error as error:
            said = str(error)
        assert "sql.idle_seconds" in said, said


def doubled(levels):
    """Names that use the one before them twice."""
    names = ["n0 AS (SELECT 1 AS v)"]
    names += [f"n{n + 1} AS (SELECT n{n}.v FROM n{n}, n{n} x)" for n in range(levels)]
    return f"WITH {', '.join(names)} SELECT count(*) FROM n{levels}"


def deep():
    with connect() as conn:
        for query, code in [
            ("SELECT " + "1+" * 3_990 + "1", None),
            ("SELECT 1 WHERE " + " OR ".join([f"1 = {place + 2}" for place in range(1_900)]), None),
            ("SELECT " + "1+" * 60_000 + "1", "54000"),
            ("SELECT " + "(" * 60_000 + "1" + ")" * 60_000, "54001"),
            ("SELECT " + "NOT " * 30_000 + "true", "54000"),
            ("SELECT " + "NOT " * 3_000 + "true", "42601"),
            ("SELECT 1" + " UNION ALL SELECT 1" * 5_000, "54000"),
            ("SELECT 1 -- " + "x" * 200_000, "54000"),
            (doubled(8), None),
            (doubled(40), "54001"),
            ("EXPLAIN " + doubled(40), "54001"),
        ]:
            for binary in [False, True]:
                try:
                    conn.cursor(binary=binary).execute(query).fetchall()
                except psycopg.Error as error:
                    assert error.sqlstate and error.sqlstate == (code or error.sqlstate), f"{query[:30]}: {error}"
                else:
                    assert code is None, query[:30]
        assert conn.execute("SELECT 1").fetchone()[0] == 1


def unread():
    """An answer of gigabytes that nobody reads; then the client is gone."""
    user = connect()
    user.pgconn.send_query(b"SELECT repeat('x', 1000) FROM generate_series(1, 100000000)")
    user.pgconn.flush()
    time.sleep(5)


globals()[sys.argv[1]]()
