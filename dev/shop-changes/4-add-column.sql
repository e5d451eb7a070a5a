-- The table gets a column while it is mirrored.
ALTER TABLE inventory.orders ADD COLUMN shipping_address TEXT DEFAULT NULL;
