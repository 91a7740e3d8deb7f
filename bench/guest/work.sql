-- The SQLite workload: inserts, an index, joins, aggregates, updates, text functions; in memory. Prints checksums.
PRAGMA journal_mode = MEMORY;
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, price REAL);
CREATE TABLE sale(id INTEGER PRIMARY KEY, item INTEGER, quantity INTEGER);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
  INSERT INTO item SELECT i, i * 7919 % 97, printf('item-%05d', i * 31337 % 99991), (i * 37 % 1000) / 8.0 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
  INSERT INTO sale SELECT i, 1 + i * 6151 % 4000, 1 + i % 9 FROM n;
COMMIT;
CREATE INDEX sale_item ON sale(item);
CREATE INDEX item_name ON item(name);
SELECT 'sqlite', count(*), sum(quantity * price) FROM sale JOIN item ON item.id = sale.item WHERE kind < 50;
UPDATE item SET price = price * 1.5 WHERE name LIKE 'item-1%';
SELECT kind, count(*), round(avg(price), 3) FROM item GROUP BY kind ORDER BY 3 DESC LIMIT 2;
SELECT sum(length(replace(upper(name), 'ITEM', 'x'))) FROM item WHERE id IN (SELECT item FROM sale WHERE quantity > 5);
DELETE FROM sale WHERE quantity = 3;
SELECT count(*), sum(quantity), max(id) FROM sale;
