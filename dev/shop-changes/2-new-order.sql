-- Two orders arrive, in one transaction with the stock that they take.
START TRANSACTION;
INSERT INTO inventory.orders (order_date, purchaser, quantity, product_id) VALUES ('2025-12-30', 1003, 2, 101), ('2025-12-31', 1004, 4, 107);
UPDATE inventory.products_on_hand SET quantity = quantity - 2 WHERE product_id = 101;
UPDATE inventory.products_on_hand SET quantity = quantity - 4 WHERE product_id = 107;
COMMIT;
