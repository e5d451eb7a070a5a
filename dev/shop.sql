-- The shop: database `inventory`, six tables, 36 rows. Plain enough for MySQL 8+ and MariaDB 10.6+.
-- Load it with  dev/mysql sql NAME < dev/shop.sql . An earlier `inventory` is thrown away.

SET NAMES utf8mb4;
SET time_zone = '+00:00';
DROP DATABASE IF EXISTS inventory;
CREATE DATABASE inventory CHARACTER SET utf8mb4;
USE inventory;

CREATE TABLE products (
    id          INT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name        VARCHAR(255) NOT NULL,
    description VARCHAR(512),
    weight      FLOAT
) AUTO_INCREMENT = 101;

CREATE TABLE products_on_hand (
    product_id INT NOT NULL PRIMARY KEY,
    quantity   INT NOT NULL,
    FOREIGN KEY (product_id) REFERENCES products (id)
);

CREATE TABLE customers (
    id         INT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    first_name VARCHAR(255) NOT NULL,
    last_name  VARCHAR(255) NOT NULL,
    email      VARCHAR(255) NOT NULL UNIQUE
) AUTO_INCREMENT = 1001;

CREATE TABLE addresses (
    id          INT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    customer_id INT          NOT NULL,
    street      VARCHAR(255) NOT NULL,
    city        VARCHAR(255) NOT NULL,
    state       VARCHAR(255) NOT NULL,
    zip         VARCHAR(255) NOT NULL,
    type        ENUM ('SHIPPING', 'BILLING', 'LIVING') NOT NULL,
    FOREIGN KEY (customer_id) REFERENCES customers (id)
) AUTO_INCREMENT = 10;

CREATE TABLE orders (
    order_number INT  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    order_date   DATE NOT NULL,
    purchaser    INT  NOT NULL,
    quantity     INT  NOT NULL,
    product_id   INT  NOT NULL,
    FOREIGN KEY (purchaser) REFERENCES customers (id),
    FOREIGN KEY (product_id) REFERENCES products (id)
) AUTO_INCREMENT = 10001;

CREATE TABLE geom (
    id INT      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    g  GEOMETRY NOT NULL,
    h  GEOMETRY
);

INSERT INTO products (name, description, weight) VALUES
    ('scooter',            'Small scooter with two wheels',               3.14),
    ('car battery',        'Car battery, 12 V',                           8.1),
    ('12-pack drill bits', 'Twelve drill bits, number 40 to number 3',    0.8),
    ('hammer',             'Claw hammer for carpenters, 12 oz',           0.75),
    ('hammer',             'Claw hammer for carpenters, 14 oz',           0.875),
    ('hammer',             'Claw hammer for carpenters, 16 oz',           1.0),
    ('rocks',              'A box of rocks, assorted',                    5.3),
    ('jacket',             'Black windbreaker, keeps the rain out',       0.1),
    ('spare tire',         'Spare tire, 24 inches',                       22.2);

INSERT INTO products_on_hand (product_id, quantity) VALUES
    (101, 3), (102, 8), (103, 18), (104, 4), (105, 5), (106, 0), (107, 44), (108, 2), (109, 5);

INSERT INTO customers (first_name, last_name, email) VALUES
    ('Sally',  'Thomas',    'sally.thomas@acme.com'),
    ('George', 'Bailey',    'gbailey@foobar.com'),
    ('Edward', 'Walker',    'ed@walker.com'),
    ('Anne',   'Kretchmar', 'annek@noanswer.org');

INSERT INTO addresses (customer_id, street, city, state, zip, type) VALUES
    (1001, '3183 Moore Avenue',    'Euless',        'Texas',          '76036', 'SHIPPING'),
    (1001, '2389 Hidden Valley',   'Harrisburg',    'Pennsylvania',   '17116', 'BILLING'),
    (1002, '281 Riverside Drive',  'Augusta',       'Georgia',        '30901', 'BILLING'),
    (1003, '3787 Brownton Road',   'Columbus',      'Mississippi',    '39701', 'SHIPPING'),
    (1003, '2458 Lost Creek Road', 'Bethlehem',     'Pennsylvania',   '18018', 'SHIPPING'),
    (1003, '4800 Simpson Street',  'Hillsdale',     'Illinois',       '61257', 'BILLING'),
    (1004, '1289 College Street',  'Canehill',      'Arkansas',       '72717', 'LIVING');

INSERT INTO orders (order_date, purchaser, quantity, product_id) VALUES
    ('2016-01-16', 1001, 1, 102),
    ('2016-01-17', 1002, 2, 105),
    ('2016-02-19', 1002, 2, 106),
    ('2016-02-21', 1003, 1, 107);

INSERT INTO geom (g, h) VALUES
    (ST_GeomFromText('POINT(1 1)'), NULL),
    (ST_GeomFromText('LINESTRING(2 1, 6 6)'), NULL),
    (ST_GeomFromText('POLYGON((0 5, 2 5, 2 7, 0 7, 0 5))'), ST_GeomFromText('POINT(1 6)', 4326));
