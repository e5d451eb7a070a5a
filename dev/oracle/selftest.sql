-- Every type that the oracle has a canonical text for, at its edges. Needs sql_mode = '' for the zero dates.
SET NAMES utf8mb4;
SET time_zone = '+00:00';
SET sql_mode = '';
DROP DATABASE IF EXISTS oracle;
CREATE DATABASE oracle CHARACTER SET utf8mb4;
USE oracle;
CREATE TABLE plain (id INT NOT NULL PRIMARY KEY, name VARCHAR(40));
INSERT INTO plain VALUES (1, 'one'), (2, 'two'), (3, NULL), (4, 'tab\tand\nnewline and \\ and NULL'), (5, 'NULL'), (6, '日本語 😀');
CREATE TABLE pairs (a INT, b VARCHAR(10));
INSERT INTO pairs VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
CREATE TABLE edges (
    id BIGINT NOT NULL PRIMARY KEY, tiny TINYINT, zf INT(8) ZEROFILL, ub BIGINT UNSIGNED, d0 DECIMAL(10, 0),
    d DECIMAL(20, 6), d65 DECIMAL(65, 30), f FLOAT, db DOUBLE, b1 BIT(1), b12 BIT(12), c CHAR(10) CHARACTER SET latin1,
    bin BINARY(4), vb VARBINARY(10), dt DATE, tm TIME(6), ts TIMESTAMP(3) NULL, dtm DATETIME(6), y YEAR, e ENUM ('a', 'b,c'),
    s SET ('x', 'y'), j TEXT, g GEOMETRY, zero DATE NOT NULL
);
INSERT INTO edges VALUES
    (1, -128, 42, 18446744073709551615, -9999999999, 0.000001, 12345678901234567890123456789012345.123456789012345678901234567890,
     1.1, 1e308, b'1', b'100000000001', 'Zoë', x'01', x'00FF', '9999-12-31', '-838:59:58.000001', '2038-01-19 03:14:07.999',
     '1000-01-01 00:00:00.000001', 2155, 'b,c', 'x,y', '{"a": 1}', ST_GeomFromText('POINT(1 2)'), '2024-02-29'),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '0000-00-00', NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, '0000-00-00'),
    (3, 127, 0, 0, 0, -12345678901234.000100, 0, -0e0, 2.2250738585072014e-308, b'0', b'0', '', '', '', '1000-01-01', '00:00:00.5',
     '1970-01-01 00:00:01', '9999-12-31 23:59:59.999999', 1901, 'a', '', '', ST_GeomFromText('LINESTRING(0 0, 1 1)', 4326), '1000-01-01');
