SELECT c.first_name || ' ' || c.last_name AS customer,
       count(lake.order_number) AS orders_lake, count(live.order_number) AS orders_live,
       sum(lake.quantity) AS units_lake, sum(live.quantity) AS units_live,
       count_if(ROW(lake.order_date, lake.purchaser, lake.quantity, lake.product_id, lake.shipping_address) IS DISTINCT FROM
                ROW(live.order_date, live.purchaser, live.quantity, live.product_id, live.shipping_address)) AS different
FROM lake.inventory.orders AS lake
FULL JOIN live.inventory.orders AS live ON live.order_number = lake.order_number
LEFT JOIN live.inventory.customers AS c ON c.id = coalesce(live.purchaser, lake.purchaser)
GROUP BY c.id, c.first_name, c.last_name
ORDER BY c.id
