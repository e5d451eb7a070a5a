-- The benchmark's table and its backlog of changes. Plain enough for MySQL 8+ and MariaDB 10.6+.
--
--   { echo "SET @rows = 1000000;"; cat dev/load.sql; } | dev/mysql sql bench      makes `bench.orders` (default: 1,000,000 rows)
--   dev/mysql sql bench bench -e 'CALL backlog(500000)'                            makes that many row changes
--
-- The table has the shape of a busy shop's: 12 columns of the common types, about 130 bytes a row. `backlog(n)` makes n
-- row changes (60 % updates, 30 % inserts, 10 % deletes): one fifth of them as transactions of a single row, the rest by
-- statements of 100 rows. Rows deleted are never touched again, and the last change is one row in `sentinel`, so a reader knows the end.
-- `inserts(n)` makes n new rows in statements of 100, `updates(n)` n updated rows likewise; each ends with a sentinel row.

SET NAMES utf8mb4;
SET time_zone = '+00:00';
SET @rows = COALESCE(@rows, 1000000);
DROP DATABASE IF EXISTS bench;
CREATE DATABASE bench CHARACTER SET utf8mb4;
USE bench;

CREATE TABLE orders (
    id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    customer_id INT          NOT NULL,
    status      ENUM ('new', 'paid', 'shipped', 'cancelled') NOT NULL,
    amount      DECIMAL(12, 2) NOT NULL,
    currency    CHAR(3)      NOT NULL DEFAULT 'EUR',
    qty         INT UNSIGNED NOT NULL,
    note        VARCHAR(255),
    email       VARCHAR(100) NOT NULL,
    is_paid     TINYINT(1)   NOT NULL,
    created_at  DATETIME(6)  NOT NULL,
    updated_at  TIMESTAMP(3) NULL,
    score       DOUBLE
);
CREATE TABLE sentinel (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20) NOT NULL, n INT NOT NULL);
CREATE TABLE hundred (n INT NOT NULL PRIMARY KEY);
INSERT INTO hundred
WITH RECURSIVE numbers AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 99) SELECT n FROM numbers;

DELIMITER //
-- Rows first..last (at most 100), in key order; what a row holds follows from its number alone.
CREATE PROCEDURE fill(first BIGINT, last BIGINT)
BEGIN
    INSERT INTO orders
    SELECT i,
           i % 50000,
           ELT(1 + i % 4, 'new', 'paid', 'shipped', 'cancelled'),
           (i % 100000) / 100,
           IF(i % 10 = 0, 'USD', 'EUR'),
           i % 17,
           IF(i % 3 = 0, NULL, CONCAT('note on order ', i, ': leave it at the back door, please')),
           CONCAT('customer', i % 50000, '@example.com'),
           i % 2,
           TIMESTAMP('2024-01-01 00:00:00') + INTERVAL (i % 30000000) SECOND + INTERVAL (i % 1000000) MICROSECOND,
           IF(i % 5 = 0, NULL, TIMESTAMP('2024-06-01 00:00:00') + INTERVAL (i % 10000000) SECOND),
           i / 7
    FROM (SELECT first + n AS i FROM hundred WHERE n <= last - first) numbered
    ORDER BY i;
END //

-- n rows behind the highest key, 10,000 a transaction.
CREATE PROCEDURE grow(n BIGINT)
BEGIN
    DECLARE first BIGINT;
    DECLARE last BIGINT;
    DECLARE stop BIGINT;
    SELECT COALESCE(MAX(id), 0) + 1 INTO first FROM orders;
    SET last = first + n - 1;
    WHILE first <= last DO
        START TRANSACTION;
        SET stop = LEAST(first + 9999, last);
        WHILE first <= stop DO
            CALL fill(first, LEAST(first + 99, stop));
            SET first = first + 100;
        END WHILE;
        COMMIT;
    END WHILE;
END //

CREATE PROCEDURE inserts(n BIGINT)
BEGIN
    DECLARE first BIGINT;
    DECLARE last BIGINT;
    SELECT COALESCE(MAX(id), 0) + 1 INTO first FROM orders;
    SET last = first + n - 1;
    WHILE first <= last DO
        CALL fill(first, LEAST(first + 99, last));
        SET first = first + 100;
    END WHILE;
    INSERT INTO sentinel (what, n) VALUES ('inserts', n);
END //

-- Updates n rows, beginning with the lowest key and starting again there; keys must have no gap.
CREATE PROCEDURE updates(n BIGINT)
BEGIN
    DECLARE done BIGINT DEFAULT 0;
    DECLARE lowest BIGINT;
    DECLARE span BIGINT;
    SELECT MIN(id), MAX(id) - MIN(id) + 1 INTO lowest, span FROM orders;
    WHILE done < n DO
        UPDATE orders SET qty = qty + 1, status = 'paid', amount = amount + 0.01
        WHERE id BETWEEN lowest + done % span AND lowest + done % span + LEAST(100, n - done) - 1;
        SET done = done + 100;
    END WHILE;
    INSERT INTO sentinel (what, n) VALUES ('updates', n);
END //

CREATE PROCEDURE backlog(n BIGINT)
BEGIN
    DECLARE lowest BIGINT;
    DECLARE next BIGINT;
    DECLARE single BIGINT DEFAULT n DIV 5;
    DECLARE i BIGINT DEFAULT 0;
    DECLARE step BIGINT DEFAULT 0;
    SELECT MIN(id), MAX(id) + 1 INTO lowest, next FROM orders;
    WHILE i < single DO
        IF i % 10 < 6 THEN
            UPDATE orders SET amount = amount + 1, status = 'paid' WHERE id = lowest + i;
        ELSEIF i % 10 < 9 THEN
            CALL fill(next, next);
            SET next = next + 1;
        ELSE
            DELETE FROM orders WHERE id = lowest + i;
        END IF;
        SET i = i + 1;
    END WHILE;
    WHILE i < n DO
        IF step % 10 < 6 THEN
            UPDATE orders SET qty = qty + 1 WHERE id BETWEEN lowest + i AND lowest + i + 99;
        ELSEIF step % 10 < 9 THEN
            CALL fill(next, next + 99);
            SET next = next + 100;
        ELSE
            DELETE FROM orders WHERE id BETWEEN lowest + i AND lowest + i + 99;
        END IF;
        SET i = i + 100, step = step + 1;
    END WHILE;
    INSERT INTO sentinel (what, n) VALUES ('backlog', n);
END //
DELIMITER ;

CALL grow(@rows);
ANALYZE TABLE orders;
SELECT COUNT(*) AS `rows` FROM orders;
