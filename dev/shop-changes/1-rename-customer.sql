-- Customer 1001 changes her first name.
UPDATE inventory.customers SET first_name = 'Sarah' WHERE id = 1001;
