-- The first order that uses the new column.
INSERT INTO inventory.orders (order_date, purchaser, quantity, product_id, shipping_address)
VALUES ('2025-12-31', 1001, 1, 108, '3183 Moore Avenue, Euless, Texas 76036');
