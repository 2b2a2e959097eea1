-- Every sale of every source. A new source adds one branch here, and one in rejected_sales.

select source, sale_id, date, country, region, city, salesman_id, salesman_name, amount
from {{ ref('shop_sales') }}
where reject_reason is null

union all

select source, sale_id, date, country, region, city, salesman_id, salesman_name, amount
from {{ ref('branches_sales') }}
where reject_reason is null

union all

select source, sale_id, date, country, region, city, salesman_id, salesman_name, amount
from {{ ref('partner_sales') }}
where reject_reason is null
