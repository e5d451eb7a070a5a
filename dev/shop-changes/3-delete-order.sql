-- An order is cancelled: its row goes.
DELETE FROM inventory.orders WHERE order_number = 10003;
